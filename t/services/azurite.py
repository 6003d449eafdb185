"""Azure Storage Queues."""

from __future__ import annotations

from t.services.processes import HOST, free_port
from t.services.programs import need, npm_bin, which
from t.services.readiness import http_ready
from t.services.service import Service

AZURITE_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq"
    "/K1SZFPTOtr/KBHBeksoGMGw=="
)  # Azurite's documented test key


class Azurite(Service):
    name = "azurite"
    doc = "Azure Storage Queues: Azurite (npm, Microsoft)"
    apt = ("nodejs",)
    npm = ("azurite",)

    def missing(self):
        return need(
            node=which("node"),
            azurite=which(str(npm_bin("azurite", "azurite-queue")), "azurite-queue"),
        )

    def start(self):
        port = free_port()
        self.spawn(
            "azurite",
            [
                which(str(npm_bin("azurite", "azurite-queue")), "azurite-queue"),
                "--silent",
                "--queueHost",
                HOST,
                "--queuePort",
                port,
                "--location",
                self.path("data"),
                "--skipApiVersionCheck",
                "--disableTelemetry",
            ],
        )
        # without a signature: 403 when it is up
        self.wait(
            http_ready(f"http://{HOST}:{port}/devstoreaccount1?comp=list", (200, 400, 403)),
            "no azurite",
        )
        account = f"http://{HOST}:{port}/devstoreaccount1"
        return {
            "AZURE_QUEUES_URL": f"azurestoragequeues://{AZURITE_KEY}@{account}",
            "AZURE_QUEUES_ACCOUNT_URL": account,
            "AZURE_QUEUES_KEY": AZURITE_KEY,
        }
