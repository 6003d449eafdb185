"""OpenTelemetry: spans and metrics as the SDK's in-memory exporters see them."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NoOpTracerProvider, SpanKind, StatusCode

from kombu import Connection, Exchange, Queue
from kombu.middleware import OpenTelemetry, Retry

DEAD = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}


class Telemetry:
    """What was traced and measured."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader])

    def middleware(self, **options: Any) -> OpenTelemetry:
        return OpenTelemetry(self.tracers, self.meters, **options)

    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self.exporter.get_finished_spans()}

    def points(self, name: str) -> list[Any]:
        data = self.reader.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def total(self, name: str) -> int:
        return sum(point.value for point in self.points(name))


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


@pytest.fixture
def connection(telemetry: Telemetry, request: pytest.FixtureRequest) -> Iterator[Connection]:
    with Connection(
        "memory://", virtual_host=request.node.name, middleware=[telemetry.middleware()]
    ) as connection:
        yield connection


def consume_one(connection: Connection, queue: Queue, handle: Any) -> None:
    with connection.Consumer(queue, callbacks=[lambda body, message: handle(message)]):
        connection.drain_events(timeout=5)


def test_one_trace_from_publish_to_settlement(connection: Connection, telemetry: Telemetry) -> None:
    queue = Queue("q", Exchange("e"), "k")
    queue(connection.channel()).declare()
    tracer = telemetry.tracers.get_tracer("test")
    with tracer.start_as_current_span("order"):
        connection.Producer().publish(
            "x", exchange="e", routing_key="k", message_id="m1", correlation_id="c1"
        )

    def handle(message: Any) -> None:
        with tracer.start_as_current_span("work"):
            message.ack()

    consume_one(connection, queue, handle)
    spans = telemetry.spans()
    assert set(spans) == {"order", "publish e:k", "process e:k:q", "work", "ack e:k:q"}
    publish, process, ack = spans["publish e:k"], spans["process e:k:q"], spans["ack e:k:q"]
    assert (publish.kind, process.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    assert ack.kind is SpanKind.CLIENT
    assert publish.parent is not None and process.parent is not None and ack.parent is not None
    assert publish.parent.span_id == spans["order"].context.span_id
    assert process.parent.span_id == publish.context.span_id
    assert ack.parent.span_id == spans["work"].context.span_id
    assert {span.context.trace_id for span in spans.values()} == {publish.context.trace_id}
    (link,) = process.links
    assert link.context.span_id == publish.context.span_id
    assert dict(publish.attributes or {}) == {
        "messaging.system": "memory",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.name": "e:k",
        "messaging.rabbitmq.destination.routing_key": "k",
        "messaging.message.id": "m1",
        "messaging.message.conversation_id": "c1",
        "messaging.message.body.size": 1,
        "server.address": "localhost",
    }
    assert process.attributes is not None
    assert process.attributes["messaging.operation.type"] == "process"
    assert process.attributes["messaging.message.id"] == "m1"
    assert ack.attributes is not None
    assert ack.attributes["messaging.operation.type"] == "settle"


def test_links_only(telemetry: Telemetry) -> None:
    with Connection(
        "memory:///links", middleware=[telemetry.middleware(links_only=True, settle_spans=False)]
    ) as connection:
        connection.Producer().publish("x", routing_key="q")
        consume_one(connection, Queue("q"), lambda message: message.ack())
    spans = telemetry.spans()
    assert set(spans) == {"publish q", "process q"}
    process = spans["process q"]
    assert process.parent is None
    assert process.links[0].context.span_id == spans["publish q"].context.span_id


def test_settled_later_in_another_thread(connection: Connection, telemetry: Telemetry) -> None:
    connection.Producer().publish("x", routing_key="q")
    kept: list[Any] = []
    with connection.Consumer(Queue("q"), on_message=kept.append):
        connection.drain_events(timeout=5)
        thread = threading.Thread(target=kept[0].ack)
        thread.start()
        thread.join(5)
    spans = telemetry.spans()
    parent = spans["ack q"].parent
    assert parent is not None and parent.span_id == spans["process q"].context.span_id


def test_errors(connection: Connection, telemetry: Telemetry) -> None:
    connection.Producer().publish("x", routing_key="q")

    def fail(message: Any) -> None:
        raise LookupError("x")

    with pytest.raises(LookupError):
        consume_one(connection, Queue("q"), fail)
    process = telemetry.spans()["process q"]
    assert process.status.status_code is StatusCode.ERROR
    assert process.attributes is not None and process.attributes["error.type"] == "LookupError"
    (point,) = telemetry.points("messaging.process.duration")
    assert point.attributes["error.type"] == "LookupError"


def test_errors_that_others_deal_with(connection: Connection, telemetry: Telemetry) -> None:
    connection.middleware.add(Retry(max_attempts=1))
    test_errors_of_a_policy(connection, telemetry)


def test_errors_of_a_policy(connection: Connection, telemetry: Telemetry) -> None:
    connection.Producer().publish("x", routing_key="q")

    def fail(body: Any, message: Any) -> None:
        raise LookupError("x")

    with connection.Consumer(Queue("q"), callbacks=[fail], failure_policy="reject-on-error"):
        connection.drain_events(timeout=5)
    spans = telemetry.spans()
    assert spans["process q"].status.status_code is StatusCode.ERROR
    assert "reject q" in spans


def test_asked_for(connection: Connection, telemetry: Telemetry) -> None:
    connection.Producer().publish("x", routing_key="q")
    Queue("q")(connection.channel()).get().ack()
    receive = telemetry.spans()["receive q"]
    assert receive.kind is SpanKind.CLIENT
    assert len(receive.links) == 1


def test_a_batch_has_creation_contexts(connection: Connection, telemetry: Telemetry) -> None:
    producer = connection.Producer()
    with producer.batch():
        producer.publish("x", routing_key="q")
    create = telemetry.spans()["create q"]
    Queue("q")(connection.channel()).get()
    (link,) = telemetry.spans()["receive q"].links
    assert link.context.span_id == create.context.span_id
    assert telemetry.total("messaging.client.sent.messages") == 1
    assert not telemetry.points("messaging.client.operation.duration")


def test_names_have_few_values(connection: Connection, telemetry: Telemetry) -> None:
    reply = "6f1b9b5e-0f0c-4b52-9d62-5e2f0a3c1a77"
    connection.Producer().publish("x", routing_key=reply)
    span = telemetry.spans()["publish {id}"]
    assert span.attributes is not None
    assert span.attributes["messaging.destination.name"] == reply
    assert span.attributes["messaging.destination.template"] == "{id}"
    (point,) = telemetry.points("messaging.client.sent.messages")
    assert point.attributes["messaging.destination.name"] == "{id}"


def test_metrics(connection: Connection, telemetry: Telemetry) -> None:
    channel = connection.channel()
    Queue("dead")(channel).declare()
    queue = Queue("q", queue_arguments=DEAD)(channel)
    queue.declare()
    producer = connection.Producer()
    for number in range(4):
        producer.publish(number, routing_key="q")
    queue.get().ack()
    queue.get().reject()
    queue.get().requeue()
    assert queue.get().delivery_info["redelivered"]
    connection.collect()
    connection.connect()
    totals = {
        "messaging.client.sent.messages": 4,
        "messaging.client.consumed.messages": 4,
        "kombu.messages.acked": 1,
        "kombu.messages.rejected": 1,
        "kombu.messages.requeued": 1,
        "kombu.messages.redelivered": 1,
        "kombu.messages.dead_lettered": 1,
        "kombu.connection.reconnects": 1,
    }
    assert {name: telemetry.total(name) for name in totals} == totals
    waited = telemetry.points("kombu.message.queue_time")
    assert sum(point.count for point in waited) == 4
    assert all(0 <= point.sum < 60 for point in waited)
    durations = telemetry.points("messaging.client.operation.duration")
    assert {point.attributes["messaging.operation.name"] for point in durations} == {
        "publish",
        "ack",
        "reject",
        "requeue",
    }


def test_foreign_headers_are_no_context(connection: Connection, telemetry: Telemetry) -> None:
    channel = connection.channel()
    headers = {"traceparent": 17, "baggage": ["x"], "x-kombu-published-at": "soon"}
    channel.basic_publish(channel.prepare_message("x", headers=headers), "", "q")
    Queue("q")(channel).get().ack()
    assert telemetry.spans()["receive q"].parent is None
    channel.basic_publish(
        channel.prepare_message("x", headers={"x-kombu-published-at": 10**400}), "", "q"
    )
    Queue("q")(channel).get().ack()


def test_no_hooks_without_anyone_to_see() -> None:
    quiet = OpenTelemetry(NoOpTracerProvider(), NoOpMeterProvider())
    with Connection("memory://", middleware=[quiet]) as connection:
        chain = connection.middleware
        assert chain.publish is chain.deliver is chain.settle is chain.notice is None
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def _python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def test_what_is_missing_is_named() -> None:
    said = _python(
        "import sys\nsys.modules['opentelemetry'] = None\n"
        "import importlib.util\nfind = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda n, *a: None if 'telemetry' == n[4:] else find(n, *a)\n"
        "from kombu.middleware import OpenTelemetry\n"
        "try:\n    OpenTelemetry()\nexcept ImportError as exc:\n    print(exc)\n"
    )
    assert "pip install 'kombu[opentelemetry]'" in said


def test_importing_kombu_imports_no_telemetry() -> None:
    assert "opentelemetry" not in _python(
        "import sys, kombu, kombu.messaging, kombu.connection, kombu.middleware\n"
        "print([name for name in sys.modules if 'opentelemetry' in name])"
    )
