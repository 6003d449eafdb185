"""The side that receives commands."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from kombu.log import get_logger
from kombu.matcher import match
from kombu.messaging import Consumer as _Consumer

if TYPE_CHECKING:
    from .mailbox import Mailbox

logger = get_logger(__name__)

Handler = Callable[..., Any]


class Node:
    """A receiver of commands.

    Arguments:
        hostname: its name, by which it is addressed.
        state: first argument of every handler.
        channel: where it listens.
        handlers: name of a command -> function; called with ``state`` and the command's
            arguments as keywords.
        mailbox: the :class:`Mailbox` it belongs to.
    """

    hostname: str = None  # type: ignore[assignment]  # set by __init__; None as recorded
    handlers: dict[str, Handler] = None  # type: ignore[assignment]
    mailbox: Mailbox = None  # type: ignore[assignment]
    channel: Any = None
    state: Any = None

    def __init__(
        self,
        hostname: str,
        state: Any = None,
        channel: Any = None,
        handlers: Mapping[str, Handler] | None = None,
        mailbox: Mailbox | None = None,
    ) -> None:
        self.hostname = hostname
        self.state = state
        self.channel = channel
        # Taken as it is, for Celery adds to its table later.
        self.handlers = {} if handlers is None else handlers  # type: ignore[assignment]
        self.mailbox = mailbox  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.hostname}>"

    def Consumer(
        self, channel: Any = None, no_ack: bool = True, accept: Any = None, **options: Any
    ) -> _Consumer:
        """A consumer of this node's queue.

        Arguments:
            channel: instead of the node's.
            no_ack: commands need no acknowledgement.
            accept: content types; by default the mailbox's.
            **options: of :class:`~kombu.Consumer`.
        """
        queue = self.mailbox.get_queue(self.hostname)

        def on_declared(name: str, messages: int, consumers: int) -> None:
            if consumers:
                warnings.warn(
                    f"A node named {self.hostname} is already using this process mailbox! "
                    "Shut it down, or give this one another name.",
                    stacklevel=2,
                )

        queue.on_declared = on_declared
        return _Consumer(
            channel or self.channel,
            [queue],
            no_ack=no_ack,
            accept=self.mailbox.accept if accept is None else accept,
            **options,
        )

    def handler(self, fun: Handler) -> Handler:
        """Decorator: make a function the handler of the command of its name."""
        self.handlers[fun.__name__] = fun
        return fun

    def on_decode_error(self, message: Any, exc: BaseException) -> None:
        """A command can't be decoded or isn't accepted: it is logged."""
        logger.error("Can't decode remote control command: %r", exc)

    def listen(
        self, channel: Any = None, callback: Callable[[Any, Any], object] | None = None
    ) -> _Consumer:
        """Begin to receive commands.

        Arguments:
            channel: instead of the node's.
            callback: called with (body, message) instead of :meth:`handle_message`.

        Returns:
            the consumer.
        """
        consumer = self.Consumer(
            channel=channel,
            callbacks=[callback or self.handle_message],
            on_decode_error=self.on_decode_error,
        )
        consumer.consume()
        return consumer

    def handle_message(self, body: Mapping[str, Any], message: Any = None) -> Any:
        """Carry out a command if it is meant for this node.

        Arguments:
            body: the command, with ``method``, ``arguments``, ``destination`` (names),
                ``pattern`` and ``matcher`` (of :mod:`kombu.matcher`), ``reply_to`` and
                ``ticket``. A destination is looked at before the pattern; without either it is
                meant for all.
            message: what it came in; its header ``clock`` adjusts the mailbox's.
        """
        if message is not None:
            self.mailbox.clock.adjust(message.headers.get("clock") or 0)
        destination = body.get("destination")
        pattern, matcher = body.get("pattern"), body.get("matcher")
        if destination:
            meant = self.hostname in destination
        elif pattern and matcher:
            meant = bool(match(self.hostname, pattern, matcher))
        else:
            meant = True
        return self.dispatch(**body) if meant else None

    dispatch_from_message = handle_message

    def dispatch(
        self,
        method: str,
        arguments: Mapping[str, Any] | None = None,
        reply_to: Mapping[str, str] | None = None,
        ticket: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Carry out a command, and reply if that is asked for.

        Arguments:
            method: its name.
            arguments: for the handler.
            reply_to: ``exchange`` and ``routing_key`` of the reply.
            ticket: the request's id.

        Returns:
            what the handler returned, or ``{"error": repr(exception)}``.
        """
        handle = self.handle_call if reply_to else self.handle_cast
        try:
            reply = handle(method, arguments or {})
        except Exception as exc:
            # Handlers raise anything; the asker is told.
            logger.error("Remote control command %s failed: %r", method, exc, exc_info=True)
            reply = {"error": repr(exc)}
        if reply_to:
            self.reply(
                {self.hostname: reply},
                exchange=reply_to["exchange"],
                routing_key=reply_to["routing_key"],
                ticket=ticket,
            )
        return reply

    def handle(self, method: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """Call the handler of ``method``.

        Raises:
            KeyError: there is none.
        """
        return self.handlers[method](self.state, **(arguments or {}))

    def handle_call(self, method: str, arguments: Mapping[str, Any]) -> Any:
        """Carry out a command that wants a reply."""
        return self.handle(method, arguments)

    def handle_cast(self, method: str, arguments: Mapping[str, Any]) -> Any:
        """Carry out a command that wants no reply."""
        return self.handle(method, arguments)

    def reply(
        self, data: Any, exchange: str, routing_key: str, ticket: str | None, **kwargs: Any
    ) -> None:
        """Send a reply.

        Arguments:
            data: name of this node -> result.
            exchange: where to.
            routing_key: where to.
            ticket: the request's id.
        """
        self.mailbox._publish_reply(
            data,
            exchange,
            routing_key,
            ticket,
            channel=self.channel,
            serializer=self.mailbox.serializer,
        )
