"""Counters and histograms."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

from opentelemetry import metrics

import kombu
from kombu.middleware.chain import Middleware
from kombu.middleware.events import Delivery, Notice, Publishing, Reconnection, Settlement
from kombu.middleware.telemetry.attributes import (
    ERROR_TYPE,
    error_type,
    place_of,
)
from kombu.middleware.telemetry.tracing import place_of_delivery

__all__ = ("PUBLISHED_AT", "Metrics")

#: Header with the time of publishing, in milliseconds since 1970.
PUBLISHED_AT = "x-kombu-published-at"

#: Buckets of durations of calls, as the conventions have them.
_CALLS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)

#: Buckets of waiting in a queue: from what is at once to a day.
_WAITING = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400)


class Metrics(Middleware):
    """What is counted and measured; the names are in the guide, page Observability.

    Arguments:
        provider: by default the global one.
    """

    def __init__(self, provider: metrics.MeterProvider | None = None) -> None:
        meter = metrics.get_meter("kombu", kombu.__version__, provider)
        self.enabled = is_measured(meter)
        counter = meter.create_counter
        self._sent = counter(
            "messaging.client.sent.messages", "{message}", "Messages that were to be published."
        )
        self._consumed = counter(
            "messaging.client.consumed.messages", "{message}", "Messages that were delivered."
        )
        self._settled = {
            "ack": counter("kombu.messages.acked", "{message}", "Acknowledged messages."),
            "reject": counter("kombu.messages.rejected", "{message}", "Rejected messages."),
            "requeue": counter("kombu.messages.requeued", "{message}", "Messages given back."),
        }
        self._redelivered = counter(
            "kombu.messages.redelivered", "{message}", "Deliveries of messages delivered before."
        )
        self._dead = counter(
            "kombu.messages.dead_lettered", "{message}", "Messages dead-lettered by kombu."
        )
        self._reconnects = counter(
            "kombu.connection.reconnects", "{attempt}", "Attempts to connect again."
        )
        self._renewed = counter("kombu.leases.renewed", "{lease}", "Leases of messages renewed.")
        self._calls = meter.create_histogram(
            "messaging.client.operation.duration", "s", "Duration of publishing and settling.",
            explicit_bucket_boundaries_advisory=_CALLS,
        )  # fmt: skip
        self._handling = meter.create_histogram(
            "messaging.process.duration", "s", "Duration of handling a message.",
            explicit_bucket_boundaries_advisory=_CALLS,
        )  # fmt: skip
        self._waited = meter.create_histogram(
            "kombu.message.queue_time", "s", "From publishing to delivery.",
            explicit_bucket_boundaries_advisory=_WAITING,
        )  # fmt: skip

    def on_publish(self, publishing: Publishing, proceed: Callable[[Publishing], Any]) -> Any:
        publishing.headers.setdefault(PUBLISHED_AT, int(time.time() * 1000))
        place = place_of(publishing.connection, publishing.exchange, publishing.routing_key)
        measured = place.measured_at("publish", "send")
        begin = time.perf_counter()
        try:
            return proceed(publishing)
        except BaseException as exc:
            measured = {**measured, ERROR_TYPE: error_type(exc)}
            raise
        finally:
            self._sent.add(1, measured)
            if not publishing.batched:
                self._calls.record(time.perf_counter() - begin, measured)

    def on_deliver(self, delivery: Delivery, proceed: Callable[[Delivery], Any]) -> Any:
        message, place = delivery.message, place_of_delivery(delivery)
        name = "receive" if delivery.pulled else "process"
        measured = place.measured_at(name, name)
        waited = _seconds_since(message.headers.get(PUBLISHED_AT))
        if waited is not None:
            self._waited.record(waited, measured)
        if message.delivery_info.get("redelivered"):
            self._redelivered.add(1, measured)
        begin = time.perf_counter()
        try:
            return proceed(delivery)
        finally:
            if delivery.error is not None:
                measured = {**measured, ERROR_TYPE: error_type(delivery.error)}
            self._consumed.add(1, measured)
            if not delivery.pulled:
                self._handling.record(time.perf_counter() - begin, measured)

    def on_settle(self, settlement: Settlement, proceed: Callable[[Settlement], Any]) -> Any:
        action, place = settlement.action, place_of_delivery(settlement.delivery)
        measured = place.measured_at(action, "settle")
        begin = time.perf_counter()
        try:
            result = proceed(settlement)
        except BaseException as exc:
            measured = {**measured, ERROR_TYPE: error_type(exc)}
            raise
        else:
            self._settled[action].add(1, measured)
            return result
        finally:
            self._calls.record(time.perf_counter() - begin, measured)

    def on_reconnect(
        self, reconnection: Reconnection, proceed: Callable[[Reconnection], Any]
    ) -> Any:
        measured = _of_connection(reconnection.connection)
        try:
            return proceed(reconnection)
        except BaseException as exc:
            measured = {**measured, ERROR_TYPE: error_type(exc)}
            raise
        finally:
            self._reconnects.add(1, measured)

    def on_notice(self, notice: Notice) -> None:
        if notice.kind == "lease_renewed":
            self._renewed.add(notice.count, _of_connection(notice.connection))
        else:
            place = place_of(notice.connection, "", notice.queue or "")
            self._dead.add(notice.count, {**place.measured, "kombu.reason": notice.reason or ""})


def is_measured(meter: metrics.Meter) -> bool:
    """Whether what this meter measures may be seen by anyone."""
    if isinstance(meter, metrics.NoOpMeter):
        return False
    # The API's stand-in for a provider that is set later; only the SDK has one.
    late = type(meter).__name__ == "_ProxyMeter"
    return not late or find_spec("opentelemetry.sdk") is not None


def _of_connection(connection: Any) -> dict[str, Any]:
    measured: Mapping[str, Any] = place_of(connection, "", "").measured
    return {key: value for key, value in measured.items() if "destination" not in key}


def _seconds_since(stamp: Any) -> float | None:
    """Seconds since a time in milliseconds; ``None`` where there is none."""
    if not isinstance(stamp, (int, float)):
        return None
    try:
        # The publisher's clock may be ahead of ours.
        return max(0.0, time.time() - stamp / 1000)
    except OverflowError:  # no time, whoever wrote it
        return None
