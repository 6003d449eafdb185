"""An empty database of each kind."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import sqlalchemy as sa

from t.services.pool import Servers

#: Kind of database -> the server it needs.
KINDS = {"sqlite": None, "postgresql": "postgres", "mariadb": "mariadb"}


def new_database(kind: str, servers: Servers, folder: Path) -> str:
    """URL of a database that nobody has used yet."""
    if kind == "sqlite":
        return f"sqlite:///{folder}/{uuid4().hex[:8]}.db"
    name = f"kombu_{uuid4().hex[:8]}"
    if kind == "postgresql":
        url = sa.make_url(servers.env("postgres")["POSTGRES_URL"])
        url = url.set(drivername="postgresql+psycopg")
    else:
        given = sa.make_url(servers.env("mariadb")["MYSQL_URL"])
        url = sa.URL.create(given.drivername, "root", None, given.host, given.port, "mysql")
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return url.set(database=name).render_as_string(hide_password=False)
