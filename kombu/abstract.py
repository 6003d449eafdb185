"""What exchanges, queues and the like have in common."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any, TypeVar

from .exceptions import NotBoundError
from .utils.functional import ChannelPromise

__all__ = ("MaybeChannelBound", "Object")

_Self = TypeVar("_Self", bound="Object")
_BoundSelf = TypeVar("_BoundSelf", bound="MaybeChannelBound")


def unpickle_dict(cls: type[_Self], kwargs: dict[str, Any]) -> _Self:
    """Make an object of its attributes (how an :class:`Object` is pickled)."""
    return cls(**kwargs)


def _any(value: Any) -> Any:
    return value


class Object:
    """Something described by named attributes, made of them and pickled as them.

    Arguments:
        kwargs: the attributes; those not given keep the default of the class.
    """

    #: Pairs of an attribute's name and what makes it its type, or ``None``.
    attrs: tuple[tuple[str, Callable[[Any], Any] | None], ...] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        for name, convert in self.attrs:
            value = kwargs.get(name)
            if value is not None:
                setattr(self, name, value if convert is None else convert(value))
            elif not hasattr(self, name):
                setattr(self, name, None)

    def as_dict(self, recurse: bool = False) -> dict[str, Any]:
        """The attributes by name, each made its type.

        Arguments:
            recurse: attributes that are an :class:`Object` themselves, too.
        """

        def convert(value: Any, kind: Callable[[Any], Any] | None) -> Any:
            if recurse and isinstance(value, Object):
                return value.as_dict(recurse=True)
            return value if value is None or kind is None else kind(value)

        return {name: convert(getattr(self, name), kind) for name, kind in self.attrs}

    def __reduce__(self) -> tuple[Any, ...]:
        return unpickle_dict, (type(self), self.as_dict())

    def __copy__(self: _Self) -> _Self:
        return type(self)(**self.as_dict())


class MaybeChannelBound(Object):
    """An :class:`Object` that may be bound to a channel, over which its operations go."""

    _channel: Any = None
    _is_bound: bool = False

    def __call__(self: _BoundSelf, channel: Any) -> _BoundSelf:
        """:meth:`bind`."""
        return self.bind(channel)

    def bind(self: _BoundSelf, channel: Any) -> _BoundSelf:
        """A copy of it, bound to ``channel`` (a connection: to its default channel)."""
        return copy(self).maybe_bind(channel)

    def maybe_bind(self: _BoundSelf, channel: Any) -> _BoundSelf:
        """Bind it to ``channel``, unless it is bound or there is no channel."""
        if not self.is_bound and channel:
            self._channel = self._resolve(channel)
            self.when_bound()
            self._is_bound = True
        return self

    def revive(self, channel: Any) -> None:
        """Go over ``channel`` from now on, if bound (after a connection was lost)."""
        if self.is_bound:
            self._channel = self._resolve(channel)
            self.when_bound()

    def when_bound(self) -> None:
        """Hook, called when a channel was bound."""

    @staticmethod
    def _resolve(channel: Any) -> Any:
        # Connections hand on their default channel; known by their class, which stands above.
        if hasattr(channel.__class__, "default_channel"):
            return ChannelPromise(lambda: channel.default_channel)
        return channel

    @property
    def can_cache_declaration(self) -> bool:
        """Whether it is enough to declare it once per connection; hook for subclasses."""
        return False

    @property
    def is_bound(self) -> bool:
        """Whether it is bound to a channel."""
        return self._is_bound and self._channel is not None

    @property
    def channel(self) -> Any:
        """The channel.

        Raises:
            NotBoundError: it is bound to none.
        """
        channel = self._channel
        if channel is None:
            raise NotBoundError(
                f"Can't call method on {type(self).__name__} not bound to a channel"
            )
        if isinstance(channel, ChannelPromise):
            channel = self._channel = channel()
        return channel

    def _repr_entity(self, item: str = "") -> str:
        name = item or type(self).__name__
        if self.is_bound:
            return f"<{name} bound to chan:{getattr(self.channel, 'channel_id', None)}>"
        return f"<unbound {name}>"

    def __repr__(self) -> str:
        return self._repr_entity()
