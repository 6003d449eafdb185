"""Delays of any length on plain RabbitMQ, without a plugin.

Twenty-eight queues, each of which holds a message for a power of two seconds and then hands it
to the next exchange. Which of them a message visits is written into its routing key: one word
per level, ``1`` to wait there, ``0`` to pass by; the message's own routing key follows. After
the last level it arrives at the delivery exchange, which knows it by the end of its key.

Celery publishes to the exchange ``celery_delayed_27`` with :func:`calculate_routing_key`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from kombu.entity import Exchange, Queue
from kombu.entity import binding as Binding
from kombu.log import get_logger

__all__ = (
    "CELERY_DELAYED_DELIVERY_EXCHANGE",
    "MAX_LEVEL",
    "MAX_NUMBER_OF_BITS_TO_USE",
    "bind_queue_to_native_delayed_delivery_exchange",
    "calculate_routing_key",
    "declare_native_delayed_delivery_exchanges_and_queues",
    "level_name",
)

logger = get_logger(__name__)

MAX_NUMBER_OF_BITS_TO_USE = 28
MAX_LEVEL = MAX_NUMBER_OF_BITS_TO_USE - 1
CELERY_DELAYED_DELIVERY_EXCHANGE = "celery_delayed_delivery"

_QUEUE_TYPES = ("classic", "quorum")

_DELAY_EXCHANGE = re.compile(r"(?:^|_)celery_delayed_\d+$")

_DEATH_HEADERS = frozenset(
    f"x-{which}-death-{what}"
    for which in ("first", "last")
    for what in ("exchange", "queue", "reason")
) | {"x-death"}

#: The levels at the start of a key that has been delayed before.
_LEVELS = re.compile(rf"^(?:[01]\.){{{MAX_NUMBER_OF_BITS_TO_USE}}}")


def level_name(level: int, prefix: str | None = None) -> str:
    """Name of a level's exchange and queue."""
    return _prefixed(f"celery_delayed_{level}", prefix)


def is_delay_exchange(name: str) -> bool:
    """Whether this is the exchange of a level, whatever its prefix."""
    return _DELAY_EXCHANGE.search(name) is not None


def without_deaths(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Headers without what RabbitMQ wrote of earlier delays.

    A message that is published again with the ``x-death`` of the time before looks to RabbitMQ
    as if it went round in a circle, and is dropped at the first level it has seen already.
    """
    return {name: value for name, value in headers.items() if name not in _DEATH_HEADERS}


def _prefixed(name: str, prefix: str | None) -> str:
    return f"{prefix}_{name}" if prefix else name


def declare_native_delayed_delivery_exchanges_and_queues(
    connection: Any, queue_type: str, prefix: str | None = None
) -> None:
    """Declare the exchanges and queues of all levels, and the delivery exchange.

    Arguments:
        connection: a :class:`kombu.Connection` to RabbitMQ.
        queue_type: ``classic`` or ``quorum``.
        prefix: put before all names, to keep applications apart.

    Raises:
        ValueError: another queue type.
    """
    if queue_type not in _QUEUE_TYPES:
        raise ValueError(f"queue_type must be 'classic' or 'quorum', not {queue_type!r}")
    with connection.channel() as channel:
        exchanges = {
            level: Exchange(level_name(level, prefix), type="topic")(channel)
            for level in range(MAX_LEVEL, -1, -1)
        }
        delivery = Exchange(_prefixed(CELERY_DELAYED_DELIVERY_EXCHANGE, prefix), type="topic")(
            channel
        )
        exchanges[-1] = delivery
        for level in range(MAX_LEVEL, -1, -1):
            _declare_level(channel, level, exchanges, queue_type)
        for level in range(MAX_LEVEL, 0, -1):
            exchanges[level - 1].bind_to(exchanges[level], routing_key=_key_at(level, "0"))
        delivery.declare()
        delivery.bind_to(exchanges[0], routing_key=_key_at(0, "0"))


def _declare_level(
    channel: Any, level: int, exchanges: dict[int, Exchange], queue_type: str
) -> None:
    arguments = {
        "x-queue-type": queue_type,
        "x-overflow": "reject-publish",
        "x-message-ttl": 2**level * 1000,
        "x-dead-letter-exchange": exchanges[level - 1].name,
    }
    if queue_type == "quorum":
        arguments["x-dead-letter-strategy"] = "at-least-once"
    exchange = exchanges[level]
    exchange.declare()
    queue = Queue(exchange.name, queue_arguments=arguments)(channel)
    queue.declare()
    queue.bind_to(exchange, routing_key=_key_at(level, "1"))


def _key_at(level: int, bit: str) -> str:
    """Binding key for messages whose bit of this level is ``bit``."""
    return "*." * (MAX_LEVEL - level) + bit + ".#"


def bind_queue_to_native_delayed_delivery_exchange(
    connection: Any, queue: Queue, prefix: str | None = None
) -> None:
    """Have delayed messages for a queue arrive in it.

    Its exchange gets them from the delivery exchange by the end of their routing key. Direct
    exchanges can't match by that; a queue of one is left alone, with a warning.

    Arguments:
        connection: a :class:`kombu.Connection` to RabbitMQ.
        queue: the queue, with its exchange and routing key or with ``bindings``.
        prefix: as given to :func:`declare_native_delayed_delivery_exchanges_and_queues`.
    """
    with connection.channel() as channel:
        queue = queue.bind(channel)
        bindings = queue.bindings or {
            Binding(queue.exchange, queue.routing_key, queue.binding_arguments)
        }
        for binding in bindings:
            exchange = binding.exchange.bind(channel)
            if exchange.type == "direct":
                logger.warning(
                    "Exchange %s is a direct exchange and native delayed delivery do not support "
                    "direct exchanges.\nETA tasks published to this exchange will block the "
                    "worker until the ETA arrives.",
                    exchange.name,
                )
                continue
            key = binding.routing_key or ""
            if not key.startswith("#"):
                key = f"#.{key}"
            delivery = _prefixed(CELERY_DELAYED_DELIVERY_EXCHANGE, prefix)
            exchange.bind_to(delivery, routing_key=key)
            queue.bind_to(exchange, routing_key=key)


def calculate_routing_key(countdown: int, routing_key: str) -> str:
    """The routing key that delays a message.

    Arguments:
        countdown: seconds, at least 1.
        routing_key: where it goes then; the levels of an earlier delay are taken off.

    Raises:
        ValueError: the countdown is below 1, or there is no routing key.
    """
    if countdown < 1:
        raise ValueError("countdown must be a positive number")
    if not routing_key:
        raise ValueError("routing_key must be non-empty")
    bits = ".".join(f"{math.ceil(countdown):0{MAX_NUMBER_OF_BITS_TO_USE}b}")
    return f"{bits}.{_LEVELS.sub('', routing_key)}"
