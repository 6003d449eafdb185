"""etcd."""

from __future__ import annotations

import os

from t.services.processes import HOST, free_port
from t.services.programs import need, which
from t.services.readiness import http_ready
from t.services.service import Service


class Etcd(Service):
    name = "etcd"
    doc = "etcd 3.4 with the v2 API switched on"
    apt = ("etcd-server",)

    def missing(self):
        return need(etcd=which("etcd"))

    def start(self):
        client, peer = free_port(), free_port()
        c, p = f"http://{HOST}:{client}", f"http://{HOST}:{peer}"
        self.spawn(
            "etcd",
            [
                "etcd",
                "--name",
                "t",
                "--data-dir",
                self.path("data"),
                "--listen-client-urls",
                c,
                "--advertise-client-urls",
                c,
                "--listen-peer-urls",
                p,
                "--initial-advertise-peer-urls",
                p,
                "--initial-cluster",
                f"t={p}",
                "--enable-v2=true",
                "--unsafe-no-fsync",
                "--log-level",
                "error",
            ],
            env={"ETCD_UNSUPPORTED_ARCH": os.uname().machine},
        )
        self.wait(http_ready(f"{c}/health"), "no health")
        return {"ETCD_URL": f"etcd://{HOST}:{client}", "ETCD_ENDPOINT": c}
