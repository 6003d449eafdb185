"""PostgreSQL."""

from __future__ import annotations

import os
import signal

from t.services.processes import HOST, free_port
from t.services.programs import call, need, pip_dir, which
from t.services.readiness import cmd_ready
from t.services.service import Service


class Postgres(Service):
    name = "postgres"
    doc = 'PostgreSQL, with the PGMQ functions in database "pgmq"'
    apt = ("postgresql",)
    pip = ("pgmq",)  # ships pgmq.sql: installs without a server extension
    timeout = 60

    def bin(self, prog):
        return which(f"/usr/lib/postgresql/*/bin/{prog}", prog)

    def missing(self):
        return need(initdb=self.bin("initdb"))

    def start(self):
        port = free_port()
        user = "postgres" if os.getuid() == 0 else None  # refuses to run as root
        data = self.dir / "data"
        self.path("sock")
        su = []
        if user:
            call(["chown", user, self.dir, self.dir / "sock"])
            su = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        call(
            [
                *su,
                self.bin("initdb"),
                "-D",
                data,
                "-U",
                "postgres",
                "-A",
                "trust",
                "--no-sync",
                "-E",
                "UTF8",
                "--locale=C.UTF-8",
            ],
            cwd=self.dir,
        )
        self.spawn(
            "postgres",
            [
                self.bin("postgres"),
                "-D",
                data,
                "-p",
                port,
                "-h",
                HOST,
                "-k",
                self.dir / "sock",
                "-c",
                "fsync=off",
                "-c",
                "synchronous_commit=off",
                "-c",
                "full_page_writes=off",
                "-c",
                "max_connections=200",
                "-c",
                "wal_level=logical",
            ],
            user=user,
            sig=signal.SIGINT,
        )
        psql = [
            self.bin("psql"),
            "-h",
            HOST,
            "-p",
            str(port),
            "-U",
            "postgres",
            "-qtAX",
            "-v",
            "ON_ERROR_STOP=1",
        ]
        self.wait(cmd_ready([*psql, "-c", "select 1"], "1"), "no select")
        call([*psql, "-c", "create database kombu"])
        env = {
            "POSTGRES_URL": f"postgresql://postgres@{HOST}:{port}/kombu",
            "SQLA_POSTGRES_URL": f"sqla+postgresql://postgres@{HOST}:{port}/kombu",
        }
        sql = pip_dir("pgmq") / "pgmq/sql/pgmq.sql"
        if sql.exists():
            call([*psql, "-c", "create database pgmq"])
            call(
                [*psql, "-d", "pgmq", "--single-transaction", "-c", "create schema pgmq", "-f", sql]
            )
            env["PGMQ_URL"] = f"pgmq://postgres@{HOST}:{port}/pgmq"
            env["PGMQ_DSN"] = f"postgresql://postgres@{HOST}:{port}/pgmq"
        return env
