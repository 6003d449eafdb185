"""MongoDB: a server that speaks its wire protocol."""

from __future__ import annotations

from t.services.processes import HOST, free_port
from t.services.programs import need, pip_dir, which
from t.services.readiness import tcp_ready
from t.services.service import Service


class MongoDB(Service):
    name = "mongodb"
    doc = "SecantusDB: MongoDB wire protocol on WiredTiger (PyPI)"
    pip = ("secantusdb",)
    # No mongod in PyPI, npm or Debian.  Does transactions, change streams, TTL
    # indexes (a sweep a minute) and tailable cursors; says it is a
    # one-node replica set.

    def missing(self):
        return need(
            secantusd=which(str(pip_dir("secantusdb") / "bin/secantusd-py"), "secantusd-py")
        )

    def start(self):
        port = free_port()
        self.spawn(
            "secantusd",
            [
                which(str(pip_dir("secantusdb") / "bin/secantusd-py"), "secantusd-py"),
                "--host",
                HOST,
                "--port",
                port,
                "--storage-path",
                self.path("data"),
                "--cache-size",
                "128M",
                "--log-level",
                "WARNING",
            ],
            env={"PYTHONPATH": str(pip_dir("secantusdb"))},
        )
        # OP_MSG {hello: 1, $db: "admin"}
        body = (
            b"\x1f\x00\x00\x00\x10hello\x00\x01\x00\x00\x00\x02$db\x00\x06\x00\x00\x00admin\x00\x00"
        )
        body = len(body).to_bytes(4, "little") + body[4:]
        msg = b"\x01\0\0\0\0\0\0\0\xdd\x07\0\0" + b"\0\0\0\0\0" + body
        msg = (len(msg) + 4).to_bytes(4, "little") + msg
        self.wait(tcp_ready(port, msg, b"maxWireVersion"), "no hello")
        return {"MONGODB_URL": f"mongodb://{HOST}:{port}/kombu_default", "MONGODB_PORT": port}
