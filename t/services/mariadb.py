"""MariaDB."""

from __future__ import annotations

import os

from t.services.processes import HOST, free_port
from t.services.programs import call, need, which
from t.services.readiness import cmd_ready
from t.services.service import Service


class MariaDB(Service):
    name = "mariadb"
    doc = "MariaDB"
    apt = ("mariadb-server",)

    def missing(self):
        return need(
            mariadbd=which("mariadbd", "mysqld"), mariadb_install_db=which("mariadb-install-db")
        )

    def start(self):
        port = free_port()
        data, sock = self.path("data"), self.dir / "mysqld.sock"
        user = ["--user=root"] if os.getuid() == 0 else []
        call(
            [
                which("mariadb-install-db"),
                "--no-defaults",
                f"--datadir={data}",
                *user,
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
            ]
        )
        self.spawn(
            "mariadbd",
            [
                which("mariadbd", "mysqld"),
                "--no-defaults",
                *user,
                f"--datadir={data}",
                f"--port={port}",
                f"--bind-address={HOST}",
                f"--socket={sock}",
                f"--pid-file={self.dir}/mysqld.pid",
                "--skip-name-resolve",
                "--skip-log-bin",
                "--innodb-flush-log-at-trx-commit=0",
                "--innodb-buffer-pool-size=64M",
                "--character-set-server=utf8mb4",
            ],
        )
        sql = [which("mariadb", "mysql"), "--no-defaults", "-h", HOST, "-P", str(port), "-uroot"]
        self.wait(cmd_ready([*sql, "-e", "select 1"], "1"), "no select")
        call(
            [
                *sql,
                "-e",
                "create database kombu; create user kombu@'%' identified by 'kombu';"
                "grant all on kombu.* to kombu@'%'",
            ]
        )
        return {
            "MYSQL_URL": f"mysql+pymysql://kombu:kombu@{HOST}:{port}/kombu",
            "SQLA_MYSQL_URL": f"sqla+mysql+pymysql://kombu:kombu@{HOST}:{port}/kombu",
        }
