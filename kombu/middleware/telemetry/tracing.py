"""Spans, and the context that goes with a message in its headers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

from opentelemetry import context as contexts
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter, TextMapPropagator
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode

import kombu
from kombu.middleware.chain import Middleware
from kombu.middleware.events import Delivery, Publishing, Settlement
from kombu.middleware.telemetry.attributes import (
    DELIVERY_TAG,
    ERROR_TYPE,
    Place,
    error_type,
    of_message,
    place_of,
)

__all__ = ("Tracing",)


class _Headers(Getter[Mapping[str, Any]]):
    """Headers are anything; only texts can be a context."""

    def get(self, carrier: Mapping[str, Any], key: str) -> list[str] | None:
        value = carrier.get(key)
        return [value] if isinstance(value, str) else None

    def keys(self, carrier: Mapping[str, Any]) -> list[str]:
        return [key for key in carrier if isinstance(key, str)]


_HEADERS = _Headers()


class Tracing(Middleware):
    """Spans of kind producer around publishes, consumer around handlers, client around settling.

    Arguments:
        provider, propagator, settle_spans, links_only: see
            :class:`~kombu.middleware.telemetry.OpenTelemetry`.
    """

    def __init__(
        self,
        provider: trace.TracerProvider | None = None,
        propagator: TextMapPropagator | None = None,
        settle_spans: bool = True,
        links_only: bool = False,
    ) -> None:
        self._tracer = trace.get_tracer("kombu", kombu.__version__, provider)
        self._propagator = propagator
        self.links_only = links_only
        self.settle_spans = settle_spans
        self.enabled = is_traced(self._tracer)

    def on_publish(self, publishing: Publishing, proceed: Callable[[Publishing], Any]) -> Any:
        place = place_of(publishing.connection, publishing.exchange, publishing.routing_key)
        # What is gathered is not sent yet, but this is the context it is created in.
        name, kind = ("create", "create") if publishing.batched else ("publish", "send")
        span = self._tracer.start_span(
            f"{name} {place.name}",
            kind=SpanKind.PRODUCER,
            attributes={
                **place.traced_at(name, kind),
                **of_message(publishing.properties, publishing.body),
            },
        )
        context = trace.set_span_in_context(span)
        self._inject(publishing.headers, context)
        return _within(span, context, proceed, publishing)

    def on_deliver(self, delivery: Delivery, proceed: Callable[[Delivery], Any]) -> Any:
        message = delivery.message
        place = place_of_delivery(delivery)
        name, kind = ("receive", SpanKind.CLIENT) if delivery.pulled else _PROCESS
        origin = self._extract(message.headers)
        tag = message.delivery_tag
        created = trace.get_current_span(origin).get_span_context()
        span = self._tracer.start_span(
            f"{name} {place.name}",
            context=None if self.links_only else origin,
            kind=kind,
            links=[Link(created)] if created.is_valid else None,
            attributes={
                **place.traced_at(name, name),
                **({DELIVERY_TAG: tag} if isinstance(tag, int) else {}),
                **of_message(message.properties, message.body),
            },
        )
        delivery.span = span
        base = contexts.get_current() if self.links_only else origin
        return _within(span, trace.set_span_in_context(span, base), proceed, delivery)

    def on_settle(self, settlement: Settlement, proceed: Callable[[Settlement], Any]) -> Any:
        if not self.settle_spans:
            return proceed(settlement)
        delivery = settlement.delivery
        place = place_of_delivery(delivery)
        # Within its processing, or after that, maybe in another thread.
        within = trace.get_current_span().get_span_context().is_valid or delivery.span is None
        span = self._tracer.start_span(
            f"{settlement.action} {place.name}",
            context=None if within else trace.set_span_in_context(delivery.span),
            kind=SpanKind.CLIENT,
            attributes=place.traced_at(settlement.action, "settle"),
        )
        return _within(span, trace.set_span_in_context(span), proceed, settlement)

    def _inject(self, headers: dict[str, Any], context: Context) -> None:
        if self._propagator is None:
            propagate.inject(headers, context)
        else:
            self._propagator.inject(headers, context)

    def _extract(self, headers: Mapping[str, Any]) -> Context:
        """The publisher's context; without one that of here."""
        if self._propagator is None:
            return propagate.extract(headers, getter=_HEADERS)
        return self._propagator.extract(headers, getter=_HEADERS)


_PROCESS = ("process", SpanKind.CONSUMER)


def is_traced(tracer: trace.Tracer) -> bool:
    """Whether spans of this tracer may be seen by anyone."""
    if isinstance(tracer, trace.NoOpTracer):
        return False
    # The API's stand-in for a provider that is set later; only the SDK has one.
    return not isinstance(tracer, trace.ProxyTracer) or find_spec("opentelemetry.sdk") is not None


def place_of_delivery(delivery: Delivery) -> Place:
    """Where a message came from."""
    info = delivery.message.delivery_info
    return place_of(
        delivery.connection,
        str(info.get("exchange") or ""),
        str(info.get("routing_key") or ""),
        delivery.queue,
    )


def _within(span: Span, context: Context, proceed: Callable[[Any], Any], event: Any) -> Any:
    """Go on in the context of a span, and end that, with what went wrong."""
    token = contexts.attach(context)
    try:
        result = proceed(event)
    except BaseException as exc:
        _failed(span, exc)
        raise
    else:
        # Another middleware may have dealt with it.
        if type(event) is Delivery and event.error is not None:
            _failed(span, event.error)
        return result
    finally:
        contexts.detach(token)
        span.end()


def _failed(span: Span, error: BaseException) -> None:
    if span.is_recording():
        span.record_exception(error)
        span.set_attribute(ERROR_TYPE, error_type(error))
        span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))
