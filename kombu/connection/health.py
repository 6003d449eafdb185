"""Whether the broker can be reached, for readiness probes."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

from kombu.connection.masking import MASK
from kombu.utils.deadlines import limited
from kombu.utils.logfields import log_fields, server_of
from kombu.utils.loggers import get_logger
from kombu.utils.uuid import uuid

__all__ = ("Health", "HealthCheck")

logger = get_logger(__name__)

_CREDENTIALS = re.compile(r"(?<=://)[^/\s]*@")


@dataclass(frozen=True)
class Health:
    """What a health check found.

    Arguments:
        healthy: whether the broker answered.
        transport: the connection's transport, e.g. ``"redis"``.
        host: host and port that were asked, without credentials.
        latency: seconds of one question and its answer; ``None`` when there was none.
        took: seconds of the whole check, connecting included.
        error: what went wrong: the exception's class and text, without passwords.
    """

    healthy: bool
    transport: str
    host: str
    latency: float | None
    took: float
    error: str | None = None

    def __bool__(self) -> bool:
        return self.healthy


class HealthCheck:
    """:meth:`check_health` of a connection."""

    def check_health(self, timeout: float = 5.0) -> Health:
        """Ask the broker something, over a connection of its own; never raises its errors.

        It may be called by any thread, also while this connection is in use, and changes
        nothing at the broker. It connects and logs in as this connection would, asks for a
        queue that is not there, and disconnects.

        Arguments:
            timeout: seconds for all of it; alternates share them. After that it is unhealthy.

        Raises:
            KeyError, ImportError, ValueError: no such transport, its client library is missing,
                or an option is wrong: what no waiting mends.
        """
        probe: Any = self.clone()  # type: ignore[attr-defined]
        refused = (*probe.channel_errors,)
        lost = (*probe.connection_errors, *probe.recoverable_connection_errors, OSError)
        latency, error = None, None
        begin = time.monotonic()
        try:
            with limited(timeout):
                probe._ensure_connection(
                    max_retries=max(0, len(probe.alt) - 1),
                    interval_start=0, interval_step=0, interval_max=0,
                    timeout=timeout, reraise_as_library_errors=False,
                )  # fmt: skip
                asked = time.monotonic()
                _ask(probe, refused)
                latency = time.monotonic() - asked
        except (*lost, *refused) as exc:
            error = _named(exc, probe.password)
        finally:
            probe.collect(socket_timeout=min(timeout, 1.0))
        host, port = server_of(probe)
        health = Health(
            error is None,
            str(log_fields(probe)["kombu_transport"]),
            f"{host}:{port}" if port else host,
            latency,
            time.monotonic() - begin,
            error,
        )
        if error is not None:
            logger.warning("the broker is not healthy: %s", error, extra=log_fields(probe))
        return health


def _ask(probe: Any, refused: tuple[type[BaseException], ...]) -> None:
    """A question that any broker answers, and that leaves nothing behind."""
    channel = probe.channel()
    try:
        channel.queue_declare(f"kombu-health-{uuid()}", passive=True)
    except refused as exc:
        if getattr(exc, "reply_code", getattr(exc, "code", None)) != 404:
            raise


def _named(exc: BaseException, password: Any) -> str:
    """Class and text of an exception, and of what it was raised from, without the password."""
    texts: list[str] = []
    current: BaseException | None = exc
    while current is not None and len(texts) < 3:
        text = f"{type(current).__name__}: {current}".rstrip(": ")
        if text not in texts:
            texts.append(text)
        current = current.__cause__
    said = _CREDENTIALS.sub(f"{MASK}@", "; from ".join(texts))
    if isinstance(password, str) and password:
        said = said.replace(password, MASK)
    return said
