"""What ``transport_options`` a connection to Azure Service Bus takes."""

from __future__ import annotations

from dataclasses import dataclass

from kombu.transport.options import boolean, option, seconds
from kombu.transport.virtual.settings import VirtualOptions


@dataclass(frozen=True, eq=False)
class ServiceBusOptions(VirtualOptions):
    """Names and defaults as published, and below them those that are ours."""

    queue_name_prefix: str = option("", "put before every queue's name")
    wait_time_seconds: int = option(5, "seconds of one wait for messages", parse=int)
    peek_lock_seconds: int = option(
        60, "seconds of a lock, of new queues: 5 to 300; it is the lease", parse=int
    )
    uamqp_keep_alive_interval: int = option(
        30, "seconds between signs of life on an idle link", parse=int
    )
    retry_total: int = option(3, "how often the client tries an operation again", parse=int)
    retry_backoff_factor: float = option(0.8, "seconds, doubled with each retry", parse=float)
    retry_backoff_max: float = option(120, "longest seconds between retries", parse=seconds)
    use_lock_renewal: bool = option(
        False,
        "locks are renewed for max_lock_renewal_duration; else as long as the consumer lives",
        parse=boolean,
    )
    max_lock_renewal_duration: float = option(
        3600.0,
        "seconds a lock is renewed at most, under use_lock_renewal (max_hold counts for more)",
        parse=seconds,
    )

    request_timeout: float = option(
        30.0,
        "seconds to open a link, to send, or for one attempt to settle",
        parse=seconds,
    )
    max_delivery_count: int | None = option(
        2000,
        "of new queues: deliveries after which Service Bus itself dead-letters a message, where "
        "no consumer sees it; None: the service's default, 10",
        parse=int,
    )
    topics: bool = option(
        True, "fanout exchanges are topics, which the Basic tier lacks", parse=boolean
    )
    emulator: bool = option(
        False, "the URL names an emulator: host and port as they are, no TLS", parse=boolean
    )
    connection_verify: str | None = option(
        None, "file of certificates to verify the service by, instead of the usual ones"
    )

    def __post_init__(self) -> None:
        if self.use_lock_renewal and self.max_hold is None:
            object.__setattr__(self, "max_hold", self.max_lock_renewal_duration)
