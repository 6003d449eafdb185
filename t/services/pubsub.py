"""Google's Pub/Sub emulator."""

from __future__ import annotations

import glob
import os

from t.services.processes import HOST, free_port
from t.services.programs import need, which
from t.services.readiness import http_ready
from t.services.service import Service


class PubSub(Service):
    name = "pubsub"
    doc = "Google's own Pub/Sub emulator (a jar of google-cloud-cli)"
    apt = ("default-jre-headless",)
    # Comes with Google's package google-cloud-cli-pubsub-emulator: find it or do without.
    jars = (
        os.environ.get("PUBSUB_EMULATOR_JAR", ""),
        "/usr/lib/google-cloud-sdk/platform/pubsub-emulator/lib/cloud-pubsub-emulator-*.jar",
    )

    def jar(self):
        return next((j for pat in self.jars if pat for j in sorted(glob.glob(pat))), None)

    def missing(self):
        return need(java=which("java"), pubsub_emulator_jar=self.jar())

    def start(self):
        port = free_port()
        self.spawn(
            "pubsub",
            [
                "java",
                "-Xmx256m",
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "-jar",
                self.jar(),
                f"--host={HOST}",
                f"--port={port}",
            ],
        )
        self.wait(http_ready(f"http://{HOST}:{port}/"), "no pubsub")
        return {
            "PUBSUB_EMULATOR_HOST": f"{HOST}:{port}",
            "PUBSUB_PROJECT_ID": "test-project",
            "PUBSUB_URL": "gcpubsub://projects/test-project",
        }
