"""Transport options for the servers of the tests."""

from __future__ import annotations

from typing import Any

#: Tansu counts a batch of records as one in what it says of a topic's end, holds whoever joins
#: for half of the session's timeout and a second at least, and looks twice in the wait of a fetch.
TANSU: dict[str, Any] = {
    "kafka_producer_config": {"batch.num.messages": 1},
    "kafka_consumer_config": {
        "session.timeout.ms": 2000,
        "heartbeat.interval.ms": 300,
        "fetch.wait.max.ms": 20,
    },
}
