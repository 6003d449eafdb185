"""``kombu requeue`` on RabbitMQ."""

from __future__ import annotations

import pytest

from kombu.cli import main
from t.integration.amqp.conftest import receive

pytestmark = pytest.mark.server("rabbitmq")


@pytest.fixture
def other_user(manage, name):
    manage("PUT", f"users/{name}", password="their-pw", tags="")
    permissions = {"configure": ".*", "write": ".*", "read": ".*"}
    manage("PUT", f"permissions/%2F/{name}", **permissions)
    yield name
    manage("DELETE", f"users/{name}")


def test_what_another_user_signed_goes_back(connect, connection, url, queue_of, other_user):
    """RabbitMQ takes a user's name only from that user."""
    dead = queue_of("-dead")
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead}
    queue = queue_of("-tasks", arguments=arguments)
    theirs = connect(url.replace("guest:guest", f"{other_user}:their-pw"))
    for user_id in (other_user, None):
        theirs.Producer().publish(user_id, routing_key=queue, user_id=user_id)
    channel = connection.channel()
    for message in (channel.basic_get(queue), channel.basic_get(queue)):
        channel.basic_reject(message.delivery_tag, requeue=False)
    assert main(["requeue", url, dead]) == 0
    back = receive(connection, channel, queue, 2)
    assert [message.payload for message in back] == [other_user, None]
    assert channel.basic_get(dead) is None
