"""SQS and SNS."""

from __future__ import annotations

import glob
import sys

from t.services.processes import HOST, free_port
from t.services.programs import need, pip_dir, which
from t.services.readiness import http_ready
from t.services.service import Service


class SQS(Service):
    name = "sqs"
    doc = "SQS, SNS and STS: moto_server (PyPI)"
    pip = ("moto[server]",)
    env_prefix = "SQS"

    def missing(self):
        return need(moto_server=which(str(pip_dir("moto") / "bin/moto_server"), "moto_server"))

    def server(self, port):
        self.spawn(
            "moto",
            [
                which(str(pip_dir("moto") / "bin/moto_server"), "moto_server"),
                "-H",
                HOST,
                "-p",
                port,
            ],
            env={"PYTHONPATH": str(pip_dir("moto"))},
        )
        self.wait(http_ready(f"http://{HOST}:{port}/moto-api/data.json"), "no moto")

    def start(self):
        port = free_port()
        self.server(port)
        p = self.env_prefix
        return {
            f"{p}_URL": f"sqs://key:secret@{HOST}:{port}//",
            f"{p}_ENDPOINT": f"http://{HOST}:{port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }


class MiniStack(SQS):
    name = "sqs-ministack"
    doc = "SQS, SNS and STS: ministack (PyPI), another opinion, SNS FIFO works"
    pip = ("ministack",)
    env_prefix = "MINISTACK"

    def missing(self):
        return need(ministack=glob.glob(str(pip_dir("ministack") / "ministack")))

    def server(self, port):
        self.spawn(
            "ministack",
            [sys.executable, "-m", "ministack"],
            env={
                "PYTHONPATH": str(pip_dir("ministack")),
                "BIND_HOST": HOST,
                "MINISTACK_HOST": HOST,
                "GATEWAY_PORT": str(port),
                "SERVICES": "sqs,sns,sts",
                "LOG_LEVEL": "WARNING",
                "HOME": str(self.dir),
                "TMPDIR": str(self.dir),
                "S3_DATA_DIR": str(self.dir / "s3"),
            },
        )
        self.wait(http_ready(f"http://{HOST}:{port}/_ministack/health"), "no ministack")
