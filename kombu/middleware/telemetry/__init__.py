"""OpenTelemetry: spans and metrics of a connection's messages.

By the semantic conventions for messaging, semconv 1.30 and later (their status is
"development"), with RabbitMQ's rules about destinations for all transports, as all of them
have exchanges, routing keys and queues. Nothing here is loaded before it is asked for.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from kombu.middleware.chain import Middleware

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.propagators.textmap import TextMapPropagator
    from opentelemetry.trace import TracerProvider

__all__ = ("OpenTelemetry",)


class OpenTelemetry(Middleware):
    """Traces and measures what is published, delivered and settled.

    Put it first, so that it sees what other middleware does. Without a provider of the SDK
    (only the API is installed, or a no-op provider is given) its hooks are not called at all.

    Arguments:
        tracer_provider: by default the global one.
        meter_provider: by default the global one.
        propagator: writes the context into headers and reads it; by default the global one.
        spans: whether there are spans.
        settle_spans: whether acknowledging, rejecting and requeueing have spans, too.
        links_only: let the processing of a message begin a trace of its own, linked to the
            publisher's, where by default it goes on with that.
        metrics: whether there are metrics.

    Raises:
        ImportError: OpenTelemetry is not installed; says what to install.
    """

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        propagator: TextMapPropagator | None = None,
        spans: bool = True,
        settle_spans: bool = True,
        links_only: bool = False,
        metrics: bool = True,
    ) -> None:
        if find_spec("opentelemetry") is None:
            raise ImportError(
                "OpenTelemetry is not installed. "
                "Install it with: pip install 'kombu[opentelemetry]'",
                name="opentelemetry",
            )
        # Optional, so only now.
        from kombu.middleware.telemetry.metrics import Metrics
        from kombu.middleware.telemetry.tracing import Tracing

        parts: list[Any] = []
        if spans:
            parts.append(Tracing(tracer_provider, propagator, settle_spans, links_only))
        if metrics:
            parts.append(Metrics(meter_provider))
        self.parts = tuple(parts)
