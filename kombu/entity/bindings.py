"""Bindings: which messages of an exchange a queue or another exchange gets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kombu.abstract import Object


class binding(Object):
    """A binding of a queue or exchange to an exchange.

    Arguments:
        exchange: the :class:`~kombu.Exchange` messages come from.
        routing_key: which of its messages, by the exchange's type.
        arguments: binding arguments, for a headers exchange.
        unbind_arguments: those of :meth:`unbind`, where the broker wants others.
    """

    __module__ = "kombu.entity"  # pickles are read by kombu 5.7 too, which looks for it there

    exchange: Any
    routing_key: str
    arguments: dict[str, Any] | None
    unbind_arguments: dict[str, Any] | None

    attrs = (
        ("exchange", None),
        ("routing_key", None),
        ("arguments", None),
        ("unbind_arguments", None),
    )

    def __init__(
        self,
        exchange: Any = None,
        routing_key: str = "",
        arguments: dict[str, Any] | None = None,
        unbind_arguments: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.exchange = exchange
        self.routing_key = routing_key
        self.arguments = arguments
        self.unbind_arguments = unbind_arguments

    @property
    def _exchange_name(self) -> str:
        return getattr(self.exchange, "name", self.exchange) or ""

    def __hash__(self) -> int:
        return hash((self._exchange_name, self.routing_key))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, binding):
            return NotImplemented
        return self.as_dict() == other.as_dict()

    def __repr__(self) -> str:
        return "<binding: " + str(self) + ">"

    def __str__(self) -> str:
        source, key = self._exchange_name, self.routing_key
        return "->".join((source, "" if key is None else key))

    def declare(self, channel: Any, nowait: bool = False) -> None:
        """Declare the exchange, if it has a name.

        Arguments:
            channel: a channel to do it on.
            nowait: don't wait for the broker's answer.
        """
        declare = getattr(self.exchange, "declare", None)
        if declare is not None and self._exchange_name:
            declare(channel=channel, nowait=nowait)

    def bind(self, entity: Any, nowait: bool = False, channel: Any = None) -> None:
        """Make the binding for ``entity``, a queue or an exchange."""
        entity.bind_to(
            exchange=self.exchange,
            routing_key=self.routing_key,
            arguments=self.arguments,
            nowait=nowait,
            channel=channel,
        )

    def unbind(self, entity: Any, nowait: bool = False, channel: Any = None) -> None:
        """Undo :meth:`bind` for ``entity``."""
        entity.unbind_from(
            self.exchange,
            routing_key=self.routing_key,
            arguments=self.unbind_arguments,
            nowait=nowait,
            channel=channel,
        )


def pretty_bindings(bindings: Iterable[Any]) -> str:
    """Bindings as text, e.g. ``[x->k, y->l]``."""
    return f"[{', '.join(map(str, bindings))}]"
