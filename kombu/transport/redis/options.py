"""Transport options of the Redis transports (published ones first, then ours)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from kombu.transport.options import boolean, option, seconds
from kombu.transport.virtual.settings import VirtualOptions
from kombu.utils.scheduling import cycle_by_name

#: Seconds a reply may take unless ``socket_timeout`` says otherwise: nothing waits for ever.
SOCKET_TIMEOUT = 30.0


def _steps(value: Any) -> tuple[int, ...]:
    if isinstance(value, str):
        value = [part for part in value.replace(",", " ").split() if part]
    steps = tuple(sorted({int(step) for step in value}))
    if not steps or steps[0] < 0:
        raise ValueError("must be a list of priorities from 0 up")
    return steps


def _positive(value: Any) -> int:
    number = int(value)
    if number < 1:
        raise ValueError("must be at least 1")
    return number


def _order(value: Any) -> Any:
    try:
        found = cycle_by_name(value)
    except (ImportError, AttributeError, ValueError) as exc:
        raise ValueError(
            "must be round_robin, sorted, priority, or name a class of cycles"
        ) from exc
    if not all(callable(getattr(found, name, None)) for name in ("update", "consume", "rotate")):
        raise ValueError("must be a class with the methods update, consume and rotate")
    return value


def _fanout_prefix(value: Any) -> bool | str:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return boolean(value)
    return value if isinstance(value, str) else bool(value)


# Without a repr of its own: arguments of connections may be secrets.
@dataclasses.dataclass(frozen=True, repr=False)
class RedisOptions(VirtualOptions):
    """What ``transport_options`` of a Redis transport may hold."""

    sep: str = option("\x06\x16", "between queue and priority step, and inside binding members")
    priority_steps: tuple[int, ...] = option(
        (0, 3, 6, 9), "one list per queue and step; low numbers are served first", parse=_steps
    )
    queue_order_strategy: Any = option(
        "round_robin",
        "order in which queues are served: round_robin (each in turn), priority (as they were "
        "first consumed), sorted (by name), or a class like those of kombu.utils.scheduling, or "
        "its dotted name; more urgent priority steps go first in any case",
        parse=_order,
    )
    ack_emulation: bool = option(
        True, "False: plain pop, nothing is held or restored", parse=boolean
    )
    unacked_key: str = option("unacked", "hash of the messages that are held")
    unacked_index_key: str = option("unacked_index", "sorted set of the owners' last signs of life")
    unacked_mutex_key: str = option(
        "unacked_mutex", "lock of published peers; not needed by ours, whose restore is atomic"
    )
    unacked_mutex_expire: float | None = option(300, "seconds that lock lasts", parse=seconds)
    visibility_timeout: float | None = option(
        None,
        "seconds after an owner's last sign of life until its messages return; also the time "
        "granted to published peers' claims (3600 unless given)",
        parse=seconds,
    )
    unacked_restore_limit: int | None = option(None, "messages restored per sweep", parse=_positive)
    unacked_restore_interval: float | None = option(
        10, "most seconds between sweeps while somebody else's messages are held", parse=seconds
    )
    unacked_restore_throttle: int = option(10, "of the published transport; ours needs none")
    fanout_prefix: bool | str = option(
        True, "True: /<db>. before channels; False: nothing; or a text", parse=_fanout_prefix
    )
    fanout_patterns: bool = option(True, "routing keys are part of fanout channels", parse=boolean)
    global_keyprefix: str = option("", "before every key and channel")
    socket_timeout: float | None = option(None, "seconds a reply may take (30)", parse=seconds)
    socket_connect_timeout: float | None = option(
        None, "seconds connecting may take (the connection's connect_timeout, 5)", parse=seconds
    )
    socket_keepalive: bool | None = option(None, "TCP keepalive (on)", parse=boolean)
    socket_keepalive_options: Mapping[Any, int] | None = option(
        None, "socket constants -> values (idle 30 s, then 3 probes, 10 s apart)"
    )
    max_connections: int = option(10, "most connections of a channel's pool", parse=_positive)
    health_check_interval: float | None = option(
        25, "seconds of silence after which a connection is checked", parse=seconds
    )
    reauth_check_interval: float | None = option(
        10,
        "of the published transport; ours authenticates as soon as credentials are renewed",
        parse=seconds,
    )
    retry_on_timeout: bool | None = option(None, "given to the client library", parse=boolean)
    client_name: str | None = option(None, "shown by CLIENT LIST")
    credential_provider: Any = option(None, "a redis-py CredentialProvider, or its dotted name")
    # ours
    lease: float | None = option(
        None,
        "seconds after its owner's last sign of life until a message returns (60)",
        parse=seconds,
    )
    wait_replicas: int = option(
        0, "replicas that must have a message before publish returns", parse=int
    )
    wait_replicas_timeout: float | None = option(
        1.0, "seconds that publish waits for those replicas", parse=seconds
    )
    claim_window: int = option(
        100, "messages one claim takes for a consumer without a prefetch limit", parse=_positive
    )
    waking: bool = option(
        True, "False: look for messages in growing intervals instead of being woken", parse=boolean
    )
    cluster_tags: bool | None = option(
        None,
        "hash tag per queue; None: on a cluster, unless global_keyprefix has a tag",
        parse=boolean,
    )
    # of Sentinel
    master_name: str | None = option(None, "name of the monitored primary")
    min_other_sentinels: int = option(0, "sentinels that must be known to the one asked", parse=int)
    sentinel_kwargs: Mapping[str, Any] | None = option(
        None, "arguments of connections to sentinels"
    )
    sentinel_fanout_compat: bool = option(
        False, "also use the channel /{db}.<exchange> of old sentinel peers", parse=boolean
    )

    @property
    def lease_seconds(self) -> float:
        """How long a message stays with an owner that gives no sign of life."""
        for value in (self.lease, self.visibility_timeout):
            if value:
                return float(value)
        return 60.0

    @property
    def peer_patience(self) -> float:
        """How long a published peer, which never renews, may hold a message."""
        return 3600.0 if self.visibility_timeout is None else float(self.visibility_timeout)
