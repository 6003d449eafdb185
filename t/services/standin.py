"""Stand-ins as services."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from t.services.processes import HOST, free_port
from t.services.programs import need, pip_dir, which
from t.services.readiness import tcp_ready
from t.services.service import Service
from t.services.tls import make_tls

REPOSITORY = Path(__file__).resolve().parents[2]


class StandIn(Service):
    """A module of ``t.services.standins``, run in a process of its own."""

    module = ""
    packages: tuple[str, ...] = ()

    def run(self, *arguments: Any) -> int:
        port = free_port()
        paths = [str(REPOSITORY), *(str(pip_dir(name)) for name in self.packages)]
        self.spawn(
            self.module,
            [sys.executable, "-m", f"t.services.standins.{self.module}", port, *arguments],
            env={"PYTHONPATH": os.pathsep.join(paths)},
        )
        self.wait(tcp_ready(port), "does not listen")
        return port


class Consul(StandIn):
    name = "consul"
    doc = "stand-in: Consul agent (key/value, sessions, blocking queries)"
    module = "consul"

    def start(self) -> Mapping[str, Any]:
        return {"CONSUL_URL": f"consul://{HOST}:{self.run()}"}


class SoftLayer(StandIn):
    name = "slmq"
    doc = "stand-in: SoftLayer Message Queue"
    module = "slmq"

    def start(self) -> Mapping[str, Any]:
        port = self.run()
        return {
            "SLMQ_URL": f"slmq://user:key@{HOST}:{port}",
            "SLMQ_ENDPOINT": f"http://{HOST}:{port}",
        }


class ServiceBus(StandIn):
    name = "servicebus"
    doc = "stand-in: Azure Service Bus queues and topics over AMQP 1.0"
    apt = ("openssl",)
    pip = ("python-qpid-proton",)
    module = "servicebus"
    packages = ("python-qpid-proton",)

    def missing(self) -> list[str]:
        return need(
            openssl=which("openssl"),
            python_qpid_proton=glob.glob(str(pip_dir("python-qpid-proton") / "proton")),
        )

    def start(self) -> Mapping[str, Any]:
        tls = make_tls(self.dir / "tls")
        port = self.run(tls["cert"], tls["key"])
        return {
            "SERVICEBUS_URL": "azureservicebus://RootManageSharedAccessKey:SAS_KEY_VALUE"
            f"@{HOST}:{port}",
            "SERVICEBUS_CONNECTION": f"Endpoint=sb://{HOST}:{port};"
            "SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true;",
            "SERVICEBUS_CA": tls["ca"],
            "SERVICEBUS_PORT": port,
        }
