"""A channel of an AMQP 0-9-1 connection."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any

import amqp
from amqp.exceptions import ChannelError, RecoverableConnectionError
from vine import promise

from ...exceptions import BatchPublishError
from ...utils.deadlines import limited
from ...utils.logfields import log_fields
from ..base import Publish, StdChannel, to_rabbitmq_queue_arguments
from ..native_delayed_delivery import is_delay_exchange, without_deaths
from . import wire
from .confirms import Confirms
from .link import remaining
from .message import Delivery, Message
from .waiting import BoundedWait

__all__ = ("Channel",)

logger = logging.getLogger("amqp")

#: Bytes of a batch that are gathered before they are sent.
_WRITE_SIZE = 128 * 1024


class Channel(BoundedWait, amqp.Channel, StdChannel):
    """py-amqp's channel with publisher confirms that are told apart, and batches."""

    Message = Message

    supports_batch_publish = True

    # As py-amqp's channel has them.
    no_ack_consumers: set[str]
    _confirm_selected: bool

    def __init__(
        self,
        connection: Any,
        channel_id: int | None = None,
        auto_decode: bool = True,
        on_open: Any = None,
    ) -> None:
        self._asked = {}
        super().__init__(connection, channel_id, auto_decode, on_open)
        # py-amqp puts a method on the instance in confirm mode; ours knows by itself.
        self.__dict__.pop("basic_publish", None)
        self._confirms = Confirms()
        self._batch_channel: Channel | None = None
        self._returned: list[BaseException] | None = None

    # -- messages --------------------------------------------------------

    def prepare_message(
        self,
        body: Any,
        priority: int | None = None,
        content_type: str | None = None,
        content_encoding: str | None = None,
        headers: Mapping[str, Any] | None = None,
        properties: Mapping[str, Any] | None = None,
        _Message: Any = amqp.Message,
    ) -> Any:
        """The message that :meth:`basic_publish` takes."""
        return _Message(
            body,
            priority=priority,
            content_type=content_type,
            content_encoding=content_encoding,
            application_headers=headers,
            **(properties or {}),
        )

    def prepare_queue_arguments(
        self, arguments: Mapping[str, Any] | None, **kwargs: Any
    ) -> Mapping[str, Any] | None:
        """Queue options as RabbitMQ's arguments."""
        return to_rabbitmq_queue_arguments(arguments, **kwargs)

    def message_to_python(self, raw_message: Any) -> Any:
        """What the driver delivers as a :class:`Message`."""
        return self.Message(raw_message, channel=self)

    # -- receiving -------------------------------------------------------

    def deliver(
        self, delivery: tuple[str, int, bool, str, str], message: Delivery, late: Any = None
    ) -> None:
        """Hand a delivery to its consumer.

        Arguments:
            late: called when its consumer was cancelled after it had arrived.
        """
        consumer_tag, delivery_tag, redelivered, exchange, routing_key = delivery
        message.delivery_info = {
            "consumer_tag": consumer_tag,
            "delivery_tag": delivery_tag,
            "redelivered": redelivered,
            "exchange": exchange,
            "routing_key": routing_key,
        }
        callback = self.callbacks.get(consumer_tag, late)
        if callback is not None:
            callback(message)
            return
        # Between cancelling and the broker's knowing of it; somebody else shall have it.
        logger.warning(
            "rejecting message %r of consumer %r, which is not known (any more): "
            "exchange=%r routing_key=%r",
            delivery_tag,
            consumer_tag,
            exchange,
            routing_key,
            extra=log_fields(
                getattr(self.connection, "client", None),
                exchange=exchange,
                routing_key=routing_key,
                delivery_tag=delivery_tag,
                reason="no consumer",
            ),
        )
        if consumer_tag not in self.no_ack_consumers:
            self.basic_reject(delivery_tag, requeue=True)

    def basic_ack(self, delivery_tag: int, multiple: bool = False, argsig: str = "Lb") -> Any:
        """Acknowledge a delivery, or all up to it."""
        return self._settle(wire.ack_frame, delivery_tag, multiple)

    def basic_reject(self, delivery_tag: int, requeue: bool, argsig: str = "Lb") -> Any:
        """Reject a delivery."""
        return self._settle(wire.reject_frame, delivery_tag, requeue)

    def _settle(self, frame: Any, delivery_tag: int, flag: bool) -> Any:
        connection = self.connection
        link = None if connection is None else connection._transport
        if link is None:
            raise RecoverableConnectionError("connection already closed")
        data = frame(self.channel_id, delivery_tag, flag)
        with link.write_lock:
            link.write(data)
            connection.bytes_sent += 1
        return _DONE

    # -- publishing ------------------------------------------------------

    def basic_publish(
        self,
        msg: Any,
        exchange: str = "",
        routing_key: str = "",
        mandatory: bool = False,
        immediate: bool = False,
        timeout: float | None = None,
        confirm_timeout: float | None = None,
        argsig: str = "Bssbb",
    ) -> Any:
        """Publish one message (AMQP 0-9-1, basic.publish).

        Arguments:
            timeout: seconds for all of it, the wait for the confirm included.
            confirm_timeout: seconds for the confirm alone, with ``confirm_publish``.

        Raises:
            MessageNacked: the broker refused it.
            TimeoutError: no confirm in time; whether the broker has it is not known.
            RecoverableConnectionError: not sent in time, or the connection is lost.
            ConnectionBlocked: the broker took no publishes in the time given.
            ChannelError: it was returned and there is no ``basic_return`` handler, or something
                before was refused.
            ValueError: a property or name can't be sent; says which.
        """
        connection = self._usable_connection("basic_publish")
        deadline = None if timeout is None else monotonic() + timeout
        if not connection.confirm_publish:
            connection.look()
            self._send_publish(msg, exchange, routing_key, mandatory, immediate, deadline)
            return _DONE
        with limited(timeout):
            self._select_confirms()
        number = self._send_publish(msg, exchange, routing_key, mandatory, immediate, deadline)
        self._wait_for_confirm(number, self._confirm_deadline(confirm_timeout, deadline))
        return _DONE

    _basic_publish = basic_publish_confirm = basic_publish

    def _usable_connection(self, doing: str) -> Any:
        connection = self.connection
        if connection is None or connection._transport is None:
            raise RecoverableConnectionError(f"{doing}: connection closed")
        return connection

    def _confirm_deadline(
        self, confirm_timeout: float | None, deadline: float | None
    ) -> float | None:
        if confirm_timeout is None:
            confirm_timeout = self.connection.confirm_timeout
        if confirm_timeout is None:
            return deadline
        limit = monotonic() + confirm_timeout
        return limit if deadline is None else min(limit, deadline)

    def _send_publish(
        self,
        msg: Any,
        exchange: str,
        routing_key: str,
        mandatory: bool,
        immediate: bool,
        deadline: float | None,
    ) -> int:
        frames = self._publish_frames(msg, exchange, routing_key, mandatory, immediate)
        if self.connection.blocked_reason is not None and deadline is not None:
            self.connection.wait_until_unblocked(deadline)
        return self._write(b"".join(frames), deadline, 1)

    def _publish_frames(
        self, msg: Any, exchange: str, routing_key: str, mandatory: bool, immediate: bool
    ) -> list[Any]:
        body, properties = msg.body, msg.properties
        headers = properties.get("application_headers")
        if headers and "x-death" in headers and is_delay_exchange(exchange):
            properties = {**properties, "application_headers": without_deaths(headers)}
        if isinstance(body, str):
            body = body.encode(properties.setdefault("content_encoding", "utf-8") or "utf-8")
        return wire.content_frames(
            self.channel_id,
            wire.publish_arguments(exchange, routing_key, mandatory, immediate),
            wire.properties_bytes(properties),
            body,
            self.connection.frame_max,
        )

    def _write(self, data: bytes, deadline: float | None, count: int) -> int:
        """Send so many publishes; the number of the first, by which it is confirmed."""
        link = self._usable_connection("basic_publish")._transport
        try:
            if deadline is None:
                return self._write_numbered(link, data, count)
            with link.having_timeout(remaining(deadline)):
                return self._write_numbered(link, data, count)
        except TimeoutError as exc:
            raise RecoverableConnectionError("basic_publish: timed out") from exc

    def _write_numbered(self, link: Any, data: bytes, count: int) -> int:
        first = 0
        # Numbered in the order in which they go out, as the broker does.
        with link.write_lock:
            try:
                if self._confirm_selected:
                    first = self._confirms.published(count)
                link.write(data)
            except TimeoutError:
                # Either none of it went out, or the link is closed.
                if first:
                    self._confirms.withdraw(count)
                raise
            self.connection.bytes_sent += 1
        return first

    def _select_confirms(self) -> None:
        if not self._confirm_selected:
            self.confirm_select()

    def confirm_select(self, nowait: bool = False) -> Any:
        """Have the broker confirm publishes on this channel."""
        result = super().confirm_select(nowait)
        if not self._confirm_selected:
            self._confirm_selected = True
            self._confirms = Confirms()
        return result

    def _wait_for_confirm(self, number: int, deadline: float | None) -> None:
        confirms = self._confirms
        try:
            while confirms.is_waiting(number):
                self._usable_connection("waiting for a confirm").attend(
                    remaining(deadline),
                    lambda: self._confirms is not confirms or not confirms.is_waiting(number),
                )
                if self._confirms is not confirms:
                    raise RecoverableConnectionError("the channel was closed before the confirm")
        except BaseException:
            confirms.forget(number)
            raise
        failure = confirms.take_failure(number)
        if failure is not None:
            raise failure

    def basic_publish_many(
        self, publishes: Sequence[Publish], timeout: float | None = None
    ) -> None:
        """Publish messages in order and wait once for the confirms of all.

        Arguments:
            timeout: seconds for all of it; ``None``: the connection's ``confirm_timeout``.

        Raises:
            BatchPublishError: ``failed`` has those that were not confirmed, by index, each with
                the reason: refused, not in time, or the connection or channel was lost before
                (whether the broker has them is then not known).
        """
        if not publishes:
            return
        deadline = None if timeout is None else monotonic() + timeout
        with limited(timeout):
            channel = self._channel_for_batches()
        channel._publish_window(publishes, deadline)

    def _channel_for_batches(self) -> Channel:
        """Itself in confirm mode; else a second channel, so that this one's mode is untouched."""
        if self.connection is None:
            raise RecoverableConnectionError("basic_publish_many: connection closed")
        if self.connection.confirm_publish or self._confirm_selected:
            channel = self
        else:
            channel = self._batch_channel or self
            if channel is self or channel.connection is None:
                channel = self._batch_channel = type(self)(self.connection)
                channel.open()
                # Returned messages are this channel's affair.
                channel.events = self.events
        channel._select_confirms()
        return channel

    def _publish_window(self, publishes: Sequence[Publish], deadline: float | None) -> None:
        failed: dict[int, BaseException] = {}
        numbers: dict[int, int] = {}
        self._returned = []
        confirms = self._confirms
        lost: BaseException | None = None
        try:
            self._send_window(publishes, deadline, numbers, failed)
            if numbers:
                self._wait_for_window(confirms, next(iter(numbers)), numbers, deadline)
        except (OSError, amqp.AMQPError) as exc:
            lost = exc
        returned, self._returned = self._returned, None
        for number, index in numbers.items():
            failure = confirms.take_failure(number)
            if failure is not None:
                failed[index] = failure
            elif confirms.is_waiting(number):
                failed[index] = lost or RecoverableConnectionError("not confirmed")
                confirms.forget(number)
        if lost is not None:
            sent = set(numbers.values())
            failed.update(
                (index, lost)
                for index in range(len(publishes))
                if index not in sent and index not in failed
            )
        if failed:
            first = failed[min(failed)]
            raise BatchPublishError(
                f"{len(failed)} of {len(publishes)} messages were not confirmed; "
                f"the first: {first!r}",
                failed=dict(sorted(failed.items())),
            ) from first
        if returned:
            raise returned[0]

    def _send_window(
        self,
        publishes: Sequence[Publish],
        deadline: float | None,
        numbers: dict[int, int],
        failed: dict[int, BaseException],
    ) -> None:
        connection = self._usable_connection("basic_publish_many")
        connection.look()
        if connection.blocked_reason is not None and deadline is not None:
            connection.wait_until_unblocked(deadline)
        gathered: list[Any] = []
        indexes: list[int] = []
        size = 0
        for index, publish in enumerate(publishes):
            options = publish.options
            try:
                frames = self._publish_frames(
                    publish.message,
                    publish.exchange,
                    publish.routing_key,
                    options.get("mandatory", False),
                    options.get("immediate", False),
                )
            except (ValueError, amqp.AMQPError) as exc:
                failed[index] = exc  # nothing of it was sent; the others go on
                continue
            indexes.append(index)
            gathered += frames
            size += len(publish.message.body) + 100
            if size >= _WRITE_SIZE:
                self._write_window(gathered, indexes, deadline, numbers)
                gathered, indexes, size = [], [], 0
        if gathered:
            self._write_window(gathered, indexes, deadline, numbers)

    def _write_window(
        self,
        frames: list[Any],
        indexes: Sequence[int],
        deadline: float | None,
        numbers: dict[int, int],
    ) -> None:
        first = self._write(b"".join(frames), deadline, len(indexes))
        numbers.update(enumerate(indexes, first))

    def _wait_for_window(
        self,
        confirms: Confirms,
        first: int,
        numbers: Mapping[int, int],
        deadline: float | None,
    ) -> None:
        deadline = self._confirm_deadline(None, deadline)
        while confirms.waits_for_any(first):
            self._usable_connection("waiting for confirms").attend(
                remaining(deadline),
                lambda: self._confirms is not confirms or not confirms.waits_for_any(first),
            )
            if self._confirms is not confirms:
                raise RecoverableConnectionError("the channel was closed before the confirms")

    def _on_basic_ack(self, delivery_tag: int, multiple: bool) -> None:
        self._confirms.acked(delivery_tag, multiple)
        super()._on_basic_ack(delivery_tag, multiple)

    def _on_basic_nack(self, delivery_tag: int, multiple: bool) -> None:
        self._confirms.nacked(delivery_tag, multiple)
        super()._on_basic_nack(delivery_tag, multiple)

    def _on_basic_return(
        self, reply_code: int, reply_text: str, exchange: str, routing_key: str, message: Any
    ) -> None:
        try:
            super()._on_basic_return(reply_code, reply_text, exchange, routing_key, message)
        except ChannelError as exc:
            if self._returned is None:
                raise
            # In the middle of a window: its confirms come first.
            self._returned.append(exc)

    # -- closing ---------------------------------------------------------

    def _do_revive(self) -> None:
        self._confirms = Confirms()
        self.connection.forget_held_back(self)
        super()._do_revive()

    def collect(self) -> None:
        """Forget everything, without a word to the broker."""
        self._confirms = Confirms()
        self._batch_channel = None
        if self.connection is not None:
            self.connection.forget_held_back(self)
        super().collect()

    def close(self, *args: Any, **kwargs: Any) -> None:
        """Close the channel; within the connection's ``close_timeout`` seconds.

        Raises:
            RecoverableConnectionError: the broker did not answer; the connection is then
                taken to be lost.
        """
        connection = self.connection
        batch_channel, self._batch_channel = self._batch_channel, None
        if connection is None or connection._transport is None:
            return
        try:
            if batch_channel is not None and batch_channel.connection is not None:
                batch_channel.close()
            with connection._transport.having_timeout(connection.close_timeout):
                super().close(*args, **kwargs)
        except (OSError, RecoverableConnectionError):
            connection.collect()
            raise


def _fulfilled() -> Any:
    done = promise()
    done()
    return done


#: What publishing and settling return: py-amqp returns a promise that is fulfilled.
_DONE = _fulfilled()
