"""Published kombu and ours on the same SQS queues and SNS topics, both ways.

5.7 has no priorities on SQS, keeps bindings to its own process, and its remote control needs
an event loop there (known fault 30). The server is moto.
"""

from __future__ import annotations

import pytest

from t.interop.both_ways import FanoutBothWays, ReadsAndWrites, Site
from t.services.pool import Servers


@pytest.mark.server("sqs")
class TestSQS(ReadsAndWrites, FanoutBothWays):
    published_keeps_order = False

    @pytest.fixture
    def site(self, servers: Servers, monkeypatch: pytest.MonkeyPatch) -> Site:
        environment = servers.env("sqs")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
            monkeypatch.setenv(name, environment[name])
        options = {
            "endpoint_url": environment["SQS_ENDPOINT"],
            "is_secure": False,
            "region": "us-east-1",
            "wait_time_seconds": 1,
            "supports_fanout": True,
            "visibility_timeout": 20,
        }
        return Site(environment["SQS_URL"], options, options)
