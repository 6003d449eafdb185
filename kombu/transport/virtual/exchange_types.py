"""Exchange types: the classes a channel routes by, replaceable through ``exchange_types``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from kombu.transport.virtual.routing import MATCHERS, TopicMatcher
from kombu.utils.functional import LRUCache
from kombu.utils.objects import cached_property

Row = Sequence[Any]


class ExchangeType:
    """How messages of one type of exchange find their queues. Subclass for a type of your own.

    Arguments:
        channel: the channel that uses it; ``None`` for pure lookups.
    """

    type: ClassVar[str | None] = None

    def __init__(self, channel: Any) -> None:
        self.channel = channel

    def lookup(
        self, table: Iterable[Row], exchange: str, routing_key: str, default: Any
    ) -> Iterable[str]:
        """Queues for a routing key.

        Arguments:
            table: the bindings of the exchange, ``(routing_key, pattern, queue)`` each.
            default: the queue to use where nothing matches, for types that know one.
        """
        raise NotImplementedError("subclass responsibility")

    def prepare_bind(
        self, queue: str, exchange: str, routing_key: str, arguments: Mapping[str, Any] | None
    ) -> tuple[str, str | None, str]:
        """The row ``(routing_key, pattern, queue)`` to keep for a binding."""
        return routing_key, None, queue

    def equivalent(
        self,
        prev: Mapping[str, Any],
        exchange: str,
        type: str,
        durable: bool,
        auto_delete: bool,
        arguments: Mapping[str, Any] | None,
    ) -> bool:
        """Whether declaring again with these properties means the same exchange."""
        return (
            type == prev["type"]
            and bool(durable) == bool(prev["durable"])
            and bool(auto_delete) == bool(prev["auto_delete"])
            and (arguments or {}) == (prev["arguments"] or {})
        )

    def deliver(self, message: Any, exchange: str, routing_key: str, **kwargs: Any) -> None:
        """Put the message into every queue it is routed to, through the channel's hooks."""
        self.channel._deliver_routed(message, exchange, routing_key, **kwargs)


class DirectExchange(ExchangeType):
    """Routes by equal keys."""

    type = "direct"

    def lookup(
        self, table: Iterable[Row], exchange: str, routing_key: str, default: Any
    ) -> set[str]:
        """Queues bound with exactly this key."""
        return {queue for key, _, queue in table if key == routing_key}


class TopicExchange(ExchangeType):
    """Routes by patterns of words, ``*`` for one and ``#`` for any number of them."""

    type = "topic"

    #: What stands for a wildcard in the stored pattern. Peers evaluate these patterns, so
    #: they are written as ever; ours match by the binding key, as AMQP does.
    wildcards: ClassVar[dict[str, str]] = {"*": r"[^\.]+", "#": r".*?"}

    def lookup(
        self, table: Iterable[Row], exchange: str, routing_key: str, default: Any
    ) -> set[str]:
        """Queues bound with a pattern that matches the key."""
        matcher = TopicMatcher()
        for key, pattern, queue in table:
            matcher.add(key or _key_of(pattern), queue)
        return set(matcher.match(routing_key))

    def prepare_bind(
        self, queue: str, exchange: str, routing_key: str, arguments: Mapping[str, Any] | None
    ) -> tuple[str, str | None, str]:
        """The row with the expression that is stored beside the key."""
        return routing_key, self.key_to_pattern(routing_key), queue

    @cached_property
    def _compiled(self) -> LRUCache[str, re.Pattern[str]]:
        """Expressions by their text."""
        return LRUCache(limit=1000)

    def _match(self, pattern: str, string: str) -> re.Match[str] | None:
        """Match a stored expression, as peers do; :meth:`lookup` goes by the binding key."""
        compiled: re.Pattern[str] | None = self._compiled.get(pattern)
        if compiled is None:
            compiled = self._compiled[pattern] = re.compile(pattern, re.UNICODE)
        return compiled.match(string)

    def key_to_pattern(self, rkey: str) -> str:
        """The regular expression stored beside a topic binding."""
        words = (self.wildcards.get(word, word) for word in rkey.split("."))
        escaped = (
            word if word in self.wildcards.values() else _escape(word, self.wildcards)
            for word in words
        )
        return "^" + r"\.".join(escaped) + "$"


class FanoutExchange(ExchangeType):
    """Routes to every bound queue."""

    type = "fanout"

    def lookup(
        self, table: Iterable[Row], exchange: str, routing_key: str, default: Any
    ) -> set[str]:
        """All queues bound."""
        return {queue for _, _, queue in table}

    def deliver(self, message: Any, exchange: str, routing_key: str, **kwargs: Any) -> None:
        """Publish through the channel's fanout where it has one, else into each queue."""
        self.channel._deliver_fanout(message, exchange, routing_key, **kwargs)


class HeadersExchange(ExchangeType):
    """Routes by the message's headers; the key plays no part."""

    type = "headers"

    def lookup(
        self, table: Iterable[Row], exchange: str, routing_key: str, default: Any
    ) -> set[str]:
        """Nothing: rows hold no headers; see :class:`~.routing.HeadersMatcher`."""
        return set()


def _escape(word: str, wildcards: Mapping[str, str]) -> str:
    """Escape all but letters, digits and wildcard characters inside a longer word."""
    return "".join(
        char if char in wildcards or (char.isascii() and char.isalnum()) else "\\" + char
        for char in word
    )


def _key_of(pattern: str | None) -> str:
    """The binding key a stored expression was made from."""
    if not pattern:
        return ""
    inner = pattern[1:-1].replace(r"[^\.]+", "*").replace(".*?", "#")
    return re.sub(r"\\(.)", r"\1", inner)


#: Name of a type -> class, for every channel that does not say otherwise.
STANDARD_EXCHANGE_TYPES: dict[str, type[ExchangeType]] = {
    "direct": DirectExchange,
    "topic": TopicExchange,
    "fanout": FanoutExchange,
    "headers": HeadersExchange,
}

assert STANDARD_EXCHANGE_TYPES.keys() == MATCHERS.keys()
