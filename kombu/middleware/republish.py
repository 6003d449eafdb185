"""Publishing a message that was received once more, into the queue it came from."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary, finalize

from kombu.middleware.events import Delivery

__all__ = ("Republisher",)

#: Properties that are handed on; others belong to the delivery or to the broker.
_KEPT = (
    *("correlation_id", "reply_to", "message_id", "timestamp", "type", "app_id"),
    *("delivery_mode", "expiration"),
)

#: Milliseconds that a waiting queue outlives its last message.
_SPARE = 60_000


class Republisher:
    """Sends messages back to their queues; a send that returns is safe with the broker.

    Arguments:
        timeout: seconds for one of them, connecting included.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._lock = threading.Lock()
        self._seconds: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()

    def send(
        self, delivery: Delivery, headers: Mapping[str, Any], delay: float, spread: float = 1.0
    ) -> None:
        """Send a copy of a message to its queue.

        Arguments:
            headers: are added to its own.
            delay: seconds it is held back, if the broker can.
            spread: factor on the delay, where each message may have its own.

        Raises:
            one of the connection's errors: it is not known to be safe.
        """
        assert delivery.queue is not None
        channel = delivery.message.channel
        features = channel.connection.client.transport.features
        if features.delay or not (features.dead_letter and features.message_ttl):
            headers = {**headers, "x-delay": max(0, int(delay * spread * 1000))}
            self._publish(channel, delivery.message, headers, delivery.queue)
        else:
            self._send_through_queue(delivery, headers, int(delay * 1000))

    def _publish(self, channel: Any, message: Any, headers: Mapping[str, Any], queue: str) -> None:
        properties = message.properties
        prepared = channel.prepare_message(
            _text(message),
            properties.get("priority"),
            message.content_type,
            message.content_encoding,
            # What was compressed is not any more.
            {**{k: v for k, v in message.headers.items() if k != "compression"}, **headers},
            {name: properties[name] for name in _KEPT if properties.get(name) is not None},
        )
        # With a limit for the confirm, a queue that refuses it does so by an exception.
        channel.basic_publish(
            prepared, exchange="", routing_key=queue, mandatory=True,
            timeout=self.timeout, confirm_timeout=self.timeout,
        )  # fmt: skip

    def _send_through_queue(
        self, delivery: Delivery, headers: Mapping[str, Any], milliseconds: int
    ) -> None:
        """To a queue whose messages die into the right one, where delays are not known."""
        name = f"{delivery.queue}.retry.{milliseconds}"
        arguments = {
            "x-message-ttl": milliseconds,
            "x-expires": milliseconds + _SPARE,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": delivery.queue,
        }

        def publish(channel: Any) -> None:
            channel.queue_declare(name, durable=True, auto_delete=False, arguments=arguments)
            self._publish(channel, delivery.message, headers, name)

        second = self._second(delivery.connection)
        second.autoretry(publish, max_retries=1, timeout=self.timeout)()

    def _second(self, connection: Any) -> Any:
        """A connection of its own: awaiting a confirm on the first would deliver meanwhile."""
        with self._lock:
            second = self._seconds.get(connection)
            if second is None:
                options = {**connection.transport_options, "confirm_publish": True}
                second = connection.clone(transport_options=options)
                self._seconds[connection] = second
                finalize(connection, second.release)
        return second


def _text(message: Any) -> Any:
    """The body as it was published: text where it was text."""
    body, encoding = message.body, message.content_encoding
    if isinstance(body, bytes) and encoding and encoding != "binary":
        try:
            return body.decode(encoding)
        except (LookupError, UnicodeError):
            return body
    return body
