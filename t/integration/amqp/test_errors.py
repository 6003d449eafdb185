"""Errors of a channel stay with the channel, and say what they are."""

from __future__ import annotations

import warnings

import pytest
from amqp.exceptions import ConsumerCancelled, NotFound, PreconditionFailed

from t.integration.amqp.conftest import receive

pytestmark = pytest.mark.server("rabbitmq")


class TestChannelErrors:
    def test_404_and_406_leave_the_connection_and_the_channel_usable(
        self, connection, queue_of, name
    ):
        queue = queue_of()
        channel = connection.default_channel
        with pytest.raises(NotFound) as missing:
            channel.queue_declare(f"{name}-none", passive=True)
        with pytest.raises(PreconditionFailed):
            channel.queue_declare(queue, durable=False, auto_delete=False)
        assert missing.value.code == 404
        assert isinstance(missing.value, connection.channel_errors)
        assert not isinstance(missing.value, connection.connection_errors)
        assert connection.connected
        assert channel.queue_declare(queue, passive=True).queue == queue

    def test_an_unknown_delivery_tag_is_406_at_the_next_read(self, connection, queue_of):
        queue = queue_of()
        channel = connection.default_channel
        channel.basic_ack(77)
        with pytest.raises(PreconditionFailed, match="unknown delivery tag"):
            channel.queue_declare(queue, passive=True)
        assert connection.connected

    def test_another_channel_does_not_notice(self, connection, queue_of, name):
        queue = queue_of()
        first, second = connection.channel(), connection.channel()
        received = []
        second.basic_consume(queue, callback=received.append)
        with pytest.raises(NotFound):
            first.queue_declare(f"{name}-none", passive=True)
        message = second.prepare_message("x", content_encoding="utf-8")
        second.basic_publish(message, routing_key=queue)
        connection.drain_events(timeout=5)
        assert [message.body for message in received] == ["x"]

    def test_a_publish_to_nowhere_is_noticed_by_a_later_publish(self, connection, queue_of, name):
        """Without confirms the error arrives when it arrives, but is never silent."""
        queue = queue_of()
        channel = connection.default_channel
        channel.basic_publish(channel.prepare_message("x"), exchange=f"{name}-none")
        with pytest.raises(NotFound):
            channel.queue_declare(queue, passive=True)


class TestConsumerCancellation:
    def test_deleting_the_queue_raises(self, connection, connect, queue_of):
        queue = queue_of()
        connection.channel().basic_consume(queue, callback=print)
        connect().default_channel.queue_delete(queue)
        with pytest.raises(ConsumerCancelled) as caught:
            connection.drain_events(timeout=10)
        assert isinstance(caught.value, connection.recoverable_connection_errors)

    def test_on_cancel_is_told(self, connection, connect, queue_of):
        queue = queue_of()
        cancelled = []
        channel = connection.channel()
        tag = channel.basic_consume(queue, callback=print, on_cancel=cancelled.append)
        connect().default_channel.queue_delete(queue)
        connection.drain_events(timeout=10)
        assert cancelled == [tag]

    def test_what_arrives_after_a_cancel_goes_back(self, connection, queue_of):
        queue = queue_of()
        channel = connection.channel()
        for body in "abc":
            message = channel.prepare_message(body, content_encoding="utf-8")
            channel.basic_publish(message, routing_key=queue)
        tag = channel.basic_consume(queue, callback=print)
        channel.callbacks.pop(tag)
        connection.drain_events(timeout=5)
        channel.basic_cancel(tag)
        channel.close()
        received = receive(connection, connection.channel(), queue, 3)
        assert sorted(message.body for message in received) == ["a", "b", "c"]


class TestBadInput:
    @pytest.mark.parametrize(
        ("properties", "text"),
        [
            ({"correlation_id": "x" * 300}, "correlation_id"),
            ({"delivery_mode": 300}, "delivery_mode"),
            ({"timestamp": "now"}, "timestamp"),
        ],
    )
    def test_a_property_that_cannot_be_sent_is_named(self, connection, properties, text):
        channel = connection.default_channel
        with pytest.raises(ValueError, match=text):
            channel.basic_publish(channel.prepare_message("x", properties=properties))
        assert connection.connected

    @pytest.mark.parametrize(
        ("headers", "text"),
        [
            ({"strange": object()}, "strange"),
            ({"strange": {"deep": [set()]}}, "strange"),
            ({"strange": 2**64}, "64 bits"),
            ({5: "x"}, "header 5"),
            ({"large": "x" * 200_000}, "properties and headers"),
        ],
    )
    def test_headers_that_cannot_be_sent(self, connection, queue_of, headers, text):
        queue = queue_of()
        channel = connection.default_channel
        with pytest.raises(ValueError, match=text):
            channel.basic_publish(channel.prepare_message("x", headers=headers))
        assert channel.queue_declare(queue, passive=True).queue == queue

    @pytest.mark.parametrize("frame_max", [4096, 131072])
    def test_headers_that_just_go_into_a_frame(self, connect, queue_of, frame_max):
        queue = queue_of()
        connection = connect(transport_options={"frame_max": frame_max})
        channel = connection.default_channel
        # Seven bytes of frame, its end, 12 of header, 2 of flags, 4 of table, 1 + 1 + 5 of item.
        headers = {"x": "y" * (frame_max - 8 - 12 - 2 - 4 - 7)}
        channel.basic_publish(channel.prepare_message("", headers=headers), routing_key=queue)
        assert receive(connection, channel, queue, 1)[0].headers == headers

    def test_a_routing_key_that_is_too_long(self, connection):
        channel = connection.default_channel
        with pytest.raises(ValueError, match="routing key"):
            channel.basic_publish(channel.prepare_message("x"), routing_key="x" * 256)


def test_librabbitmq_stands_in(connect, url, queue_of):
    queue = queue_of()
    with pytest.warns(UserWarning, match="librabbitmq"):
        connection = connect(url.replace("amqp://", "librabbitmq://"))
        connection.connect()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        connection.Producer().publish("x", routing_key=queue)
    assert receive(connection, connection.default_channel, queue, 1)[0].payload == "x"
