"""Name servers of Pyro4 and Pyro5, and a broker process of ours at the latter."""

from __future__ import annotations

import glob
import sys

from t.services.processes import HOST, free_port
from t.services.programs import need, pip_dir
from t.services.readiness import cmd_ready, tcp_ready
from t.services.service import Service


class Pyro(Service):
    name = "pyro"
    doc = "Pyro4 name server (start kombu.broker with --python of the project)"
    pip = ("Pyro4",)
    module, prefix, ns = "Pyro4", "PYRO4", "Pyro4.naming"

    def missing(self):
        return need(Pyro4=glob.glob(str(pip_dir(self.module) / self.module)))

    def start(self):
        port = free_port()
        self.spawn(
            "nameserver",
            [sys.executable, "-m", self.ns, "-n", HOST, "-p", port, "-x"],
            env={"PYTHONPATH": str(pip_dir(self.module))},
        )
        self.wait(tcp_ready(port), "no name server")
        return {
            f"{self.prefix}_NS": f"{HOST}:{port}",
            f"{self.prefix}_URL": f"pyro://{HOST}:{port}/kombu.broker",
        }


class Pyro5(Pyro):
    name = "pyro5"
    doc = "Pyro5 name server with a broker process of kombu"
    pip = ("Pyro5",)
    module, prefix, ns = "Pyro5", "PYRO5", "Pyro5.nameserver"

    def missing(self):
        return need(Pyro5=glob.glob(str(pip_dir("Pyro5") / "Pyro5")))

    def start(self):
        env = super().start()
        host, port = env["PYRO5_NS"].split(":")
        command = [sys.executable, "-m", "kombu.transport.pyro", "--host", host]
        self.spawn("broker", [*command, "--ns-host", host, "--ns-port", port])
        listing = [sys.executable, "-m", "Pyro5.nsc", "-n", host, "-p", port, "list"]
        self.wait(cmd_ready(listing, "kombu.broker"), "no broker")
        return env
