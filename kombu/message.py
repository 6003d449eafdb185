"""The message as a consumer receives it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sized
from typing import Any

from .exceptions import DecodeError, MessageStateError
from .serialization import loads
from .utils.imports import Late

__all__ = ("Message",)

decompress = Late("kombu.compression:decompress")
message_fields = Late("kombu.utils.logfields:message_fields")

#: States of a message that was settled.
ACK_STATES = {"ACK", "REJECTED", "REQUEUED"}

_SHOWN_PROPERTIES = ("correlation_id", "type")
_SHOWN_DELIVERY_INFO = ("exchange", "routing_key")


class Message:
    """A received message.

    Arguments:
        body: the serialized, maybe compressed body.
        delivery_tag: by which it is acknowledged on its channel.
        content_type: which serializer the body was written by.
        content_encoding: character set of the body, or ``binary``.
        delivery_info: exchange, routing key, consumer tag, ...
        properties: AMQP basic properties.
        headers: application headers; ``compression`` names the compression of the body.
        postencode: encoding of a body given as text.
        accept: content types that may be deserialized; ``None`` means the enabled ones.
        channel: the channel it came over.

    What goes wrong with decompressing or encoding the body is kept in :attr:`errors` as a
    :exc:`~kombu.exceptions.DecodeError`, chained to its cause; :meth:`decode` raises it.
    """

    MessageStateError = MessageStateError

    #: What settling goes through while the connection has middleware that hooks into it.
    settling: Any = None

    __slots__ = (
        "__dict__",
        "_decoded_cache",
        "_state",
        "accept",
        "body",
        "channel",
        "content_encoding",
        "content_type",
        "delivery_info",
        "delivery_tag",
        "errors",
        "headers",
        "properties",
    )

    def __init__(
        self,
        body: Any = None,
        delivery_tag: Any = None,
        content_type: str | None = None,
        content_encoding: str | None = None,
        delivery_info: dict[str, Any] | None = None,
        properties: dict[str, Any] | None = None,
        headers: dict[str, Any] | None = None,
        postencode: str | None = None,
        accept: Any = None,
        channel: Any = None,
        **kwargs: Any,
    ) -> None:
        #: What went wrong when the message was made: tuples like those of :func:`sys.exc_info`.
        self.errors: list[Any] = []
        self.channel = channel
        self.delivery_tag = delivery_tag
        self.content_type = content_type
        self.content_encoding = content_encoding
        self.delivery_info = delivery_info or {}
        self.headers = headers or {}
        self.properties = properties or {}
        self.accept = accept
        self._decoded_cache: Any = None
        self._state = "RECEIVED"
        self.body = body
        self._unpack(postencode)

    def _unpack(self, postencode: str | None) -> None:
        """Decompress and encode the body; what goes wrong is kept for the one who decodes."""
        compression = self.headers.get("compression")
        if compression:
            try:
                self.body = decompress(self.body, compression)
            except Exception as exc:  # noqa: BLE001 - kept
                self._keep_error(f"decompressed ({compression})", exc)
        if postencode and isinstance(self.body, str):
            try:
                self.body = self.body.encode(postencode)
            except Exception as exc:  # noqa: BLE001 - kept
                self._keep_error(f"encoded ({postencode})", exc)

    def _keep_error(self, what: str, exc: Exception) -> None:
        error = exc
        if not isinstance(exc, DecodeError):
            error = DecodeError(f"the body could not be {what}: {_named(exc)}: {exc}")
            error.__cause__ = exc
        self.errors.append((type(error), error, exc.__traceback__))

    def ack(self, multiple: bool = False) -> None:
        """Acknowledge: the broker may forget the message.

        Messages of a consumer that needs no acknowledgement are left alone.

        Arguments:
            multiple: and all before it on its channel (AMQP 0-9-1, basic.ack).

        Raises:
            MessageStateError: it was settled before, or has no channel.
        """
        channel = self.channel
        if channel is None:
            channel = self._settling_channel()
        no_ack_consumers = channel.no_ack_consumers
        if no_ack_consumers is not None:
            consumer_tag = self.delivery_info.get("consumer_tag")
            if consumer_tag is not None and consumer_tag in no_ack_consumers:
                return
        if self._state in ACK_STATES:
            self._require_unsettled()
        if self.settling is not None:
            self.settling.settle("ack", multiple)
            return
        channel.basic_ack(self.delivery_tag, multiple=multiple)
        self._state = "ACK"

    def reject(self, requeue: bool = False) -> None:
        """Reject: the broker discards the message, or dead-letters it.

        Arguments:
            requeue: put it back instead.

        Raises:
            MessageStateError: it was settled before, or has no channel.
        """
        channel = self._settling_channel()
        self._require_unsettled()
        if self.settling is not None:
            self.settling.settle("requeue" if requeue else "reject", requeue)
            return
        channel.basic_reject(self.delivery_tag, requeue=requeue)
        self._state = "REJECTED"

    def requeue(self) -> None:
        """Give the message back: it is delivered again, maybe to the same consumer.

        Raises:
            MessageStateError: it was settled before, or has no channel.
        """
        channel = self._settling_channel()
        self._require_unsettled()
        if self.settling is not None:
            self.settling.settle("requeue", False)
            return
        channel.basic_reject(self.delivery_tag, requeue=True)
        self._state = "REQUEUED"

    def _settle(self, action: str, flag: bool) -> None:
        """Do what :attr:`settling` was asked for; the state was looked at before.

        Arguments:
            action: ``ack``, ``reject`` or ``requeue``.
            flag: of ``ack``: ``multiple``; of others: ``reject`` was called with it as ``requeue``.
        """
        if action == "ack":
            self.channel.basic_ack(self.delivery_tag, multiple=flag)
            self._state = "ACK"
        elif action == "reject" or flag:
            self.channel.basic_reject(self.delivery_tag, requeue=flag)
            self._state = "REJECTED"
        else:
            self.channel.basic_reject(self.delivery_tag, requeue=True)
            self._state = "REQUEUED"
        # It refers to the message: no work for the garbage collector.
        self.settling = None

    def ack_log_error(self, logger: Any, errors: Any, multiple: bool = False) -> None:
        """:meth:`ack`, logging one of ``errors`` to ``logger`` instead of raising it.

        Raises:
            BrokenPipeError: logged, too: a connection that is gone must be noticed.
        """
        try:
            self.ack(multiple=multiple)
        except _with_broken_pipe(errors) as exc:
            logger.critical(
                "Couldn't ack %r, reason:%r", self.delivery_tag, exc,
                exc_info=True, extra=message_fields(self, reason="not settled"),
            )  # fmt: skip
            if isinstance(exc, BrokenPipeError):
                raise

    def reject_log_error(self, logger: Any, errors: Any, requeue: bool = False) -> None:
        """:meth:`reject`, logging one of ``errors`` to ``logger`` instead of raising it."""
        try:
            self.reject(requeue=requeue)
        except errors as exc:
            logger.critical(
                "Couldn't reject %r, reason: %r", self.delivery_tag, exc,
                exc_info=True, extra=message_fields(self, reason="not settled"),
            )  # fmt: skip

    def decode(self) -> Any:
        """The deserialized body; deserialized once.

        Raises:
            DecodeError: the body can't be read, or could not be decompressed (see :attr:`errors`).
            ContentDisallowed: its content type is not accepted.
        """
        if self._decoded_cache is None:
            if self.errors:
                raise self._decode_error()
            self._decoded_cache = self._decode()
        return self._decoded_cache

    def _decode(self) -> Any:
        return loads(self.body, self.content_type, self.content_encoding, accept=self.accept)

    @property
    def payload(self) -> Any:
        """:meth:`decode`."""
        return self.decode()

    @property
    def acknowledged(self) -> bool:
        """Whether it was acknowledged, rejected or requeued."""
        return self._state in ACK_STATES

    def _decode_error(self) -> DecodeError:
        exc = _exception_of(self.errors[0])
        if isinstance(exc, DecodeError):
            return exc
        error = DecodeError(f"the body could not be read: {_named(exc)}: {exc}")
        error.__cause__ = exc
        return error

    def _settling_channel(self) -> Any:
        if self.channel is None:
            raise self.MessageStateError("This message does not have a receiving channel")
        return self.channel

    def _require_unsettled(self) -> None:
        if self._state in ACK_STATES:
            raise self.MessageStateError(f"Message already acknowledged with state: {self._state}")

    def _reraise_error(self, callback: Callable[..., Any] | None = None) -> None:
        """Raise the first of :attr:`errors`, or hand it to ``callback(message, exception)``."""
        exc = self._decode_error()
        if callback is None:
            raise exc
        callback(self, exc)

    def __repr__(self) -> str:
        details: dict[str, Any] = {"state": self._state}
        if self.content_type is not None:
            details["content_type"] = self.content_type
        if self.delivery_tag is not None:
            details["delivery_tag"] = self.delivery_tag
        if isinstance(self.body, Sized):
            details["body_length"] = len(self.body)
        details["properties"] = _pick(self.properties, _SHOWN_PROPERTIES)
        details["delivery_info"] = _pick(self.delivery_info, _SHOWN_DELIVERY_INFO)
        return f"<{type(self).__name__} object at {id(self):#x} with details {details!r}>"


def _pick(mapping: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: mapping[name] for name in names if mapping.get(name) is not None}


def _exception_of(error: Any) -> BaseException:
    """The exception of what :func:`sys.exc_info` returned, or of itself."""
    found: BaseException = error[1] if isinstance(error, tuple) else error
    return found


def _named(exc: BaseException) -> str:
    """Its class, with the module: ``error`` alone says little (zlib)."""
    kind = type(exc)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _with_broken_pipe(errors: Any) -> tuple[type[BaseException], ...]:
    return (BrokenPipeError, *(errors if isinstance(errors, tuple) else (errors,)))
