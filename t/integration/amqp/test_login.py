"""Logging in: with passwords, with certificates, and how it is refused."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from amqp.exceptions import AccessRefused, AMQPError, NotAllowed, NotFound, PreconditionFailed

from t.integration.amqp.conftest import receive
from t.services.tls import CLIENT_NAME, make_tls

pytestmark = pytest.mark.server("rabbitmq")


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

    def test_a_virtual_host_of_its_own(self, connection, connect, env, url, name):
        port = urlsplit(env["RABBITMQ_MANAGEMENT_URL"]).port
        manager = connection.connect().client.get_manager(port=port)
        manager.create_vhost(name)
        inside = connect(url.rstrip("/") + f"/{name}")
        inside.default_channel.queue_declare(name, durable=True, auto_delete=False)
        inside.Producer().publish("x", routing_key=name)
        assert receive(inside, inside.default_channel, name, 1)[0].payload == "x"
        with pytest.raises(NotFound):
            connection.default_channel.queue_declare(name, passive=True)
        inside.release()
        manager.delete_vhost(name)

    def test_a_password_may_be_fetched_when_connecting(self, connect, url):
        connection = connect(url)
        connection.password = lambda: "guest"
        assert connection.connect()

    @pytest.mark.parametrize("method", ["PLAIN", "AMQPLAIN"])
    def test_login_methods(self, connect, method):
        assert connect(login_method=method).connect()

    def test_external_is_not_offered_without_a_certificate(self, connect):
        with pytest.raises(AMQPError, match="EXTERNAL"):
            connect(login_method="EXTERNAL").connect()

    def test_a_login_method_that_does_not_exist(self, connect):
        with pytest.raises(ValueError, match="BOGUS"):
            connect(login_method="BOGUS").connect()

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


@pytest.fixture
def certificate(env):
    """TLS options with a certificate that the broker accepts."""
    return {
        "ca_certs": env["RABBITMQ_TLS_CA"],
        "certfile": env["RABBITMQ_TLS_CERT"],
        "keyfile": env["RABBITMQ_TLS_KEY"],
        "server_hostname": "localhost",
    }


class TestTLS:
    def test_with_a_client_certificate(self, connect, env, certificate, queue_of):
        queue = queue_of()
        connection = connect(env["RABBITMQ_TLS_URL"], ssl=certificate)
        channel = connection.default_channel
        body = b"x" * 500_000
        for _ in range(5):
            message = channel.prepare_message(body, content_encoding="binary")
            channel.basic_publish(message, routing_key=queue)
        received = receive(connection, channel, queue, 5)
        assert [message.body for message in received] == [body] * 5

    def test_drain_events_is_bounded(self, connect, env, certificate):
        connection = connect(env["RABBITMQ_TLS_URL"], ssl=certificate)
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

    def test_a_certificate_of_another_authority_is_refused(
        self, connect, env, certificate, tmp_path
    ):
        stranger = make_tls(tmp_path)
        own = {"certfile": stranger["client_cert"], "keyfile": stranger["client_key"]}
        connection = connect(env["RABBITMQ_TLS_URL"], ssl={**certificate, **own}, connect_timeout=5)
        with pytest.raises(OSError, match="unknown ca") as caught:
            connection.connect()
        assert isinstance(caught.value, connection.connection_errors)
        assert stranger["client_key"] not in str(caught.value)

    def test_a_certificate_file_that_is_not_there_is_named(self, connect, env, certificate):
        options = {**certificate, "certfile": "/nowhere/client.pem"}
        with pytest.raises(OSError, match="No such file"):
            connect(env["RABBITMQ_TLS_URL"], ssl=options).connect()


class TestExternal:
    """The certificate's common name is the user."""

    @pytest.fixture
    def user(self, manage):
        """A user that has no password, and may do everything."""
        manage("PUT", f"users/{CLIENT_NAME}", password_hash="", tags="")
        permissions = {"configure": ".*", "write": ".*", "read": ".*"}
        manage("PUT", f"permissions/%2F/{CLIENT_NAME}", **permissions)
        yield CLIENT_NAME
        manage("DELETE", f"users/{CLIENT_NAME}")

    @pytest.fixture
    def external(self, connect, env, certificate):
        return connect(env["RABBITMQ_TLS_URL"], ssl=certificate, login_method="EXTERNAL")

    def test_it_is_that_user(self, external, user, name):
        channel = external.default_channel
        assert external.connection.server_properties["product"] == "RabbitMQ"
        queue = channel.queue_declare(name, exclusive=True).queue
        own, foreign = (
            channel.prepare_message("x", properties={"user_id": user}) for user in (user, "guest")
        )
        channel.basic_publish(own, routing_key=queue)
        assert len(receive(external, channel, queue, 1)) == 1
        channel.basic_publish(foreign, routing_key=queue)
        with pytest.raises(PreconditionFailed, match="user_id"):
            channel.queue_declare(queue, passive=True)

    def test_a_user_that_is_not_there(self, external):
        with pytest.raises(AccessRefused, match="EXTERNAL"):
            external.connect()

    def test_a_user_without_permissions(self, external, user, manage):
        manage("DELETE", f"permissions/%2F/{user}")
        with pytest.raises(NotAllowed, match=user):
            external.connect()
