"""Every test of a store runs on every kind of database."""

from __future__ import annotations

from pathlib import Path

import pytest

from t.integration.sqlalchemy.databases import KINDS, new_database
from t.services.pool import Servers

DATABASES = [
    pytest.param(kind, marks=[pytest.mark.server(server)] if server else [])
    for kind, server in KINDS.items()
]


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> str:
    """URL of an empty database."""
    return new_database(request.param, servers, tmp_path)
