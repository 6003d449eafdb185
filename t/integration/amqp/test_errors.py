"""Errors of a channel stay with the channel, and say what they are."""

from __future__ import annotations

import warnings

import pytest
from amqp.exceptions import (
    AccessRefused,
    AMQPError,
    ConsumerCancelled,
    NotAllowed,
    NotFound,
    PreconditionFailed,
)

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
    def test_deleting_the_queue_raises(self, connection, queue_of):
        queue = queue_of()
        channel = connection.channel()
        channel.basic_consume(queue, callback=print)
        connection.default_channel.queue_delete(queue)
        with pytest.raises(ConsumerCancelled) as caught:
            connection.drain_events(timeout=5)
        assert isinstance(caught.value, connection.recoverable_connection_errors)

    def test_on_cancel_is_told(self, connection, queue_of):
        queue = queue_of()
        channel = connection.channel()
        cancelled = []
        tag = channel.basic_consume(queue, callback=print, on_cancel=cancelled.append)
        connection.default_channel.queue_delete(queue)
        connection.drain_events(timeout=5)
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


class TestLogin:
    def test_a_wrong_password_is_refused_without_being_told(self, connect, url):
        wrong = connect(url.replace("guest:guest", "guest:hunter2"))
        with pytest.raises(AccessRefused, match="ACCESS_REFUSED") as caught:
            wrong.connect()
        assert "hunter2" not in f"{caught.value!r} {caught.value}"
        assert "hunter2" not in repr(wrong)

    def test_a_missing_virtual_host(self, connect, url):
        with pytest.raises(NotAllowed, match="nowhere"):
            connect(url.rstrip("/") + "/nowhere").connect()

    def test_a_password_may_be_fetched_when_connecting(self, connect, url):
        connection = connect(url)
        connection.password = lambda: "guest"
        assert connection.connect()

    @pytest.mark.parametrize("method", ["PLAIN", "AMQPLAIN"])
    def test_login_methods(self, connect, method):
        assert connect(login_method=method).connect()

    def test_external_is_not_offered_without_its_plugin(self, connect):
        with pytest.raises(AMQPError, match="EXTERNAL"):
            connect(login_method="EXTERNAL").connect()

    def test_nobody_listens(self, connect):
        with pytest.raises(ConnectionRefusedError):
            connect("amqp://guest:guest@127.0.0.1:1//").connection  # noqa: B018

    def test_client_properties_and_options_reach_the_broker(self, connect):
        options = {"client_properties": {"app": "t"}, "frame_max": 8192, "channel_max": 17}
        connection = connect(transport_options=options, heartbeat=30).connect()
        assert connection.client_properties["app"] == "t"
        assert (connection.frame_max, connection.channel_max) == (8192, 17)
        assert connection.heartbeat == 30

    def test_a_misspelt_option_is_warned_of(self, connect):
        with pytest.warns(UserWarning, match="confirm_publish"):
            connect(transport_options={"confirm_pubish": True}).connect()


class TestTLS:
    @pytest.fixture
    def options(self, env):
        return {
            "ca_certs": env["RABBITMQ_TLS_CA"],
            "certfile": env["RABBITMQ_TLS_CERT"],
            "keyfile": env["RABBITMQ_TLS_KEY"],
            "server_hostname": "localhost",
        }

    def test_with_a_client_certificate(self, connect, env, options, queue_of):
        queue = queue_of()
        connection = connect(env["RABBITMQ_TLS_URL"], ssl=options)
        channel = connection.default_channel
        body = b"x" * 500_000
        for _ in range(5):
            message = channel.prepare_message(body, content_encoding="binary")
            channel.basic_publish(message, routing_key=queue)
        received = receive(connection, channel, queue, 5)
        assert [message.body for message in received] == [body] * 5

    def test_drain_events_is_bounded(self, connect, env, options):
        connection = connect(env["RABBITMQ_TLS_URL"], ssl=options)
        connection.connect()
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.2)
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0)

    def test_an_unknown_authority_is_refused(self, connect, env):
        with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
            connect(env["RABBITMQ_TLS_URL"], ssl=True).connection  # noqa: B018

    def test_plain_speech_to_a_tls_port(self, connect, env):
        url = env["RABBITMQ_TLS_URL"].replace("amqps", "amqp").replace("localhost", "127.0.0.1")
        with pytest.raises(OSError):
            connect(url, connect_timeout=3).connection  # noqa: B018


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

    def test_a_header_of_an_unknown_type_is_named(self, connection):
        channel = connection.default_channel
        with pytest.raises(AMQPError, match="strange"):
            channel.basic_publish(channel.prepare_message("x", headers={"strange": object()}))
        assert connection.connected

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
