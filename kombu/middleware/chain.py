"""The chain of middleware of a connection, and what a middleware may hook into."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from kombu.middleware.events import (
    Declaration,
    Delivery,
    Notice,
    Publishing,
    Reconnection,
    Settlement,
)
from kombu.utils.loggers import get_logger

__all__ = ("Chain", "Middleware", "chain_of")

logger = get_logger(__name__)

Event = TypeVar("Event")

#: The next hook, or what is done in the end; returns what that returns.
Proceed = Callable[[Event], Any]

#: All hooks of one kind: called with the event and what is done in the end.
Hooks = Callable[[Event, "Callable[[Event], Any]"], Any]


class Middleware:
    """Base of middleware: override the hooks that you want; the others cost nothing.

    A hook stands around what it is named after. It goes on by ``return proceed(event)``, once,
    or several times, or not at all, which then is what happens. Hooks are called by the thread
    that does the work, several at once when several do: state needs a lock.
    """

    #: Whether its hooks are called; looked at when it is added to a chain.
    enabled: bool = True

    #: Other middleware that this one is made of, outermost first; they are called for it.
    parts: tuple[Middleware, ...] = ()

    def on_publish(self, publishing: Publishing, proceed: Proceed[Publishing]) -> Any:
        """Around a publish: retries and waiting for its confirm are within.

        In a batch: around adding the message to it.
        """
        return proceed(publishing)

    def on_deliver(self, delivery: Delivery, proceed: Proceed[Delivery]) -> Any:
        """Around decoding a message and calling its handler.

        When it does not proceed, the handler isn't called, and the middleware must have settled
        the message. For a pulled delivery (``Queue.get``) ``proceed`` returns the message, and
        ``None`` instead of it means that the next one is taken.
        """
        return proceed(delivery)

    def on_settle(self, settlement: Settlement, proceed: Proceed[Settlement]) -> Any:
        """Around acknowledging, rejecting or requeueing a delivered message."""
        return proceed(settlement)

    def on_declare(self, declaration: Declaration, proceed: Proceed[Declaration]) -> Any:
        """Around declaring an exchange, or a queue with its exchange and bindings."""
        return proceed(declaration)

    def on_reconnect(self, reconnection: Reconnection, proceed: Proceed[Reconnection]) -> Any:
        """Around each attempt to connect again; raises what connecting raises."""
        return proceed(reconnection)

    def on_notice(self, notice: Notice) -> None:
        """Told of what the transport did by itself; maybe by a thread of its own."""


class Chain:
    """Middleware in order, the first one outermost.

    For each hook there is one function of all middleware that have it, or ``None``: asking for
    that is all a connection without middleware does.

    Arguments:
        middleware: instances of :class:`Middleware`.
    """

    publish: Hooks[Publishing] | None
    deliver: Hooks[Delivery] | None
    settle: Hooks[Settlement] | None
    declare: Hooks[Declaration] | None
    reconnect: Hooks[Reconnection] | None
    notice: Callable[[Notice], None] | None

    def __init__(self, middleware: Iterable[Middleware] = ()) -> None:
        self._members: tuple[Middleware, ...] = ()
        self._assign(middleware)

    def add(self, *middleware: Middleware, first: bool = False) -> None:
        """Add middleware, innermost; with ``first`` outermost. In force from the next call on.

        Raises:
            TypeError: it is no :class:`Middleware`.
        """
        members = self._members
        self._assign((*middleware, *members) if first else (*members, *middleware))

    def remove(self, middleware: Middleware) -> None:
        """Take middleware out again.

        Raises:
            ValueError: it is not in the chain.
        """
        if middleware not in self._members:
            raise ValueError(f"{middleware!r} is not in the chain")
        self._assign(each for each in self._members if each is not middleware)

    def __iter__(self) -> Iterator[Middleware]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __repr__(self) -> str:
        return f"<Chain: {list(self._members)!r}>"

    def _assign(self, middleware: Iterable[Middleware]) -> None:
        members = tuple(middleware)
        for each in members:
            if not isinstance(each, Middleware):
                raise TypeError(f"middleware must be instances of Middleware, not {each!r}")
        self._members = members
        self.publish = self._joined("on_publish")
        self.settle = self._joined("on_settle")
        self.declare = self._joined("on_declare")
        self.reconnect = self._joined("on_reconnect")
        # Settling goes through the hooks by way of what was delivered.
        self.deliver = self._joined("on_deliver") or (None if self.settle is None else _pass)
        told = self._hooks("on_notice")
        self.notice = _telling(told) if told else None

    def _hooks(self, name: str) -> list[Callable[..., Any]]:
        """The hooks of one kind that are overridden, outermost first."""
        plain = getattr(Middleware, name)
        hooks = [getattr(each, name) for each in _expanded(self._members)]
        return [hook for hook in hooks if getattr(hook, "__func__", None) is not plain]

    def _joined(self, name: str) -> Hooks[Any] | None:
        joined: Hooks[Any] | None = None
        for hook in reversed(self._hooks(name)):
            joined = hook if joined is None else _linked(hook, joined)
        return joined


def _pass(event: Any, proceed: Proceed[Any]) -> Any:
    return proceed(event)


def _expanded(middleware: Iterable[Middleware]) -> Iterator[Middleware]:
    """Those that are called, with the parts that others are made of."""
    for each in middleware:
        if each.enabled:
            yield each
            yield from _expanded(each.parts)


def _linked(hook: Hooks[Any], inner: Hooks[Any]) -> Hooks[Any]:
    def linked(event: Any, proceed: Proceed[Any]) -> Any:
        return hook(event, lambda event: inner(event, proceed))

    return linked


def _telling(hooks: list[Callable[[Notice], None]]) -> Callable[[Notice], None]:
    def tell(notice: Notice) -> None:
        for hook in hooks:
            try:
                hook(notice)
            except Exception:
                # It is told from where nobody could catch it, and messages come first.
                logger.exception("%r failed at %r", hook, notice.kind)

    return tell


_EMPTY = Chain()


def chain_of(channel: Any = None, client: Any = None) -> Chain:
    """The chain of a connection, or of that of a channel; an empty one if there is none.

    Arguments:
        client: the :class:`kombu.Connection`, where it is known.
    """
    if client is None:
        client = getattr(getattr(channel, "connection", None), "client", None)
    chain = getattr(client, "middleware", None)
    return chain if isinstance(chain, Chain) else _EMPTY
