"""What ``transport_options`` a Pub/Sub connection takes."""

from __future__ import annotations

from dataclasses import dataclass

from kombu.transport.options import boolean, option, seconds
from kombu.transport.virtual.settings import VirtualOptions

#: What Pub/Sub allows for a deadline, in seconds.
SHORTEST_DEADLINE, LONGEST_DEADLINE = 10, 600


@dataclass(frozen=True)
class PubSubOptions(VirtualOptions):
    """Names and defaults as published, and below them those that are ours."""

    queue_name_prefix: str = option("kombu-", "put before every queue's name that lacks it")
    ack_deadline_seconds: int = option(
        240, "acknowledgement deadline of new subscriptions, 10 to 600 seconds", parse=int
    )
    expiration_seconds: int = option(
        86400, "seconds without use after which Pub/Sub deletes a subscription", parse=int
    )
    wait_time_seconds: int = option(10, "seconds of one pull that waits", parse=int)
    retry_timeout_seconds: float = option(
        300, "seconds for which a call of the administration is tried again", parse=seconds
    )
    bulk_max_messages: int = option(32, "messages of one pull", parse=int)
    enable_exactly_once_delivery: bool = option(
        False, "new subscriptions have exactly-once delivery", parse=boolean
    )
    ack_modify_batch_size: int = option(1000, "messages of one call that settles", parse=int)

    lease: float | None = option(
        None,
        "seconds a dead consumer's messages are held back; None: ack_deadline_seconds",
        parse=seconds,
    )
    request_timeout: float = option(
        30.0, "seconds any one publish or settlement may take", parse=seconds
    )

    @property
    def lease_seconds(self) -> float:
        return min(self.lease or float(self.ack_deadline_seconds), LONGEST_DEADLINE)
