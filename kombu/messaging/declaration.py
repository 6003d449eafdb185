"""Declaring entities once per connection."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from amqp.exceptions import ChannelError, RecoverableConnectionError

from kombu.entity import Exchange, Queue

from .target import channel_of, client_of


def declaration_key(entity: Any) -> int:
    """A number that is the same for all declarations that ask the broker for the same."""
    if isinstance(entity, Exchange):
        return hash(_exchange_key(entity))
    if isinstance(entity, Queue):
        return hash(_queue_key(entity))
    return hash(entity)


def _exchange_key(exchange: Exchange) -> Hashable:
    return (
        "E",
        exchange.name,
        exchange.type,
        exchange.durable,
        exchange.auto_delete,
        exchange.passive,
        exchange.no_declare,
        _frozen(exchange.arguments),
    )


def _queue_key(queue: Queue) -> Hashable:
    return (
        "Q",
        queue.name,
        None if queue.exchange is None else _exchange_key(queue.exchange),
        queue.routing_key,
        queue.durable,
        queue.exclusive,
        queue.auto_delete,
        queue.no_declare,
        queue.expires,
        queue.message_ttl,
        queue.max_length,
        queue.max_length_bytes,
        queue.max_priority,
        _frozen(queue.queue_arguments),
        _frozen(queue.binding_arguments),
        frozenset(
            (_exchange_key(each.exchange), each.routing_key, _frozen(each.arguments))
            if isinstance(each.exchange, Exchange)
            else (each.exchange, each.routing_key, _frozen(each.arguments))
            for each in queue.bindings
        ),
    )


def _frozen(arguments: dict[str, Any] | None) -> Hashable:
    return repr(sorted(arguments.items())) if arguments else None


def declaration_cached(entity: Any, channel: Any) -> bool:
    """Whether :func:`maybe_declare` has declared the like on this channel's connection."""
    return declaration_key(entity) in client_of(channel).declared_entities


def maybe_declare(
    entity: Any, channel: Any = None, retry: bool = False, **retry_policy: Any
) -> Any:
    """Declare an entity unless this connection has done so.

    Arguments:
        entity: an :class:`~kombu.Exchange` or :class:`~kombu.Queue`; if it has no name, it gets
            the one the broker chose.
        channel: where to declare it; by default the channel it is bound to.
        retry: connect again and retry when the connection is lost.
        **retry_policy: arguments of :meth:`kombu.Connection.ensure`.

    Returns:
        whether it had to be declared.

    Raises:
        ChannelError: it is not bound and no channel was given.
        RecoverableConnectionError: the channel is closed.
        OperationalError: with ``retry``, all retries failed.
    """
    channel = channel_of(channel)
    if channel is not None and _is_declared(entity, channel):
        return False
    if not entity.is_bound:
        if channel is None:
            raise ChannelError(f"Cannot bind channel {channel} to entity {entity!r}")
        bound = entity.bind(channel)
    else:
        bound = entity
    if not retry:
        declared = _declare_once(bound, channel)
    else:
        client = _open_client(channel or bound.channel)

        def declare(channel: Any = None) -> bool:
            # After reconnecting, ensure() has bound the entity to a new channel.
            return _declare_once(bound, None)

        declared = client.ensure(bound, declare, **retry_policy)()
    if not entity.name and isinstance(entity, Queue):
        entity.name = bound.name
    return declared


def _is_declared(entity: Any, channel: Any) -> bool:
    """Whether there is nothing left to do; asked before the entity is copied to be bound."""
    if not (entity.can_cache_declaration and entity.name):
        return False
    return declaration_key(entity) in _open_client(channel).declared_entities


def _open_client(channel: Any) -> Any:
    client = client_of(channel)
    if client is None:
        raise RecoverableConnectionError("channel disconnected")
    return client


def _declare_once(entity: Any, channel: Any) -> bool:
    client = _open_client(channel or entity.channel)
    declared: set[int] = client.declared_entities
    key = declaration_key(entity) if entity.can_cache_declaration and entity.name else None
    if key is not None and key in declared:
        return False
    entity.declare(channel=channel or entity.channel)
    if key is not None:
        declared.add(key)
    return True
