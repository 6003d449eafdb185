"""Transport options for the servers of the tests."""

from __future__ import annotations

from typing import Any

#: Tansu counts a batch of records as one in what it says of a topic's end, holds whoever joins
#: for half of the session's timeout and a second at least, and looks twice in the wait of a fetch.
#: A member that leaves while it joins (a loaded machine, right after a restart) may stay its
#: group's leader for ever, for whom all others wait; Kafka's own broker ends it with its session.
TANSU: dict[str, Any] = {
    "kafka_producer_config": {"batch.num.messages": 1},
    "kafka_consumer_config": {
        "session.timeout.ms": 2000,
        "heartbeat.interval.ms": 300,
        "fetch.wait.max.ms": 20,
    },
}
