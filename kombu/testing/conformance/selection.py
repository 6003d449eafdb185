"""Which tests apply to a transport: decided when its test class is made, from its features.

A test that does not apply is not collected at all, so that a run shows no skips: a skip is
something that could have run and did not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, TypeVar

from kombu.transport.features import EXCHANGE_TYPES, Features

_Item = TypeVar("_Item", bound="Callable[..., Any] | type")

_REQUIRES = "conformance_requires"
_UNLESS = "conformance_unless"


def requires(*capabilities: str) -> Callable[[_Item], _Item]:
    """Mark a test, or a class of tests, as one for transports with all these capabilities.

    Arguments:
        capabilities: names of :class:`~kombu.transport.features.Features` fields, exchange
            types (``"topic"``), or class attributes of the suite (``"drop_in"``).
    """

    def mark(item: _Item) -> _Item:
        setattr(item, _REQUIRES, frozenset(capabilities) | getattr(item, _REQUIRES, frozenset()))
        return item

    return mark


def unless(*capabilities: str) -> Callable[[_Item], _Item]:
    """Mark a test, or a class of tests, as one for transports with none of these."""

    def mark(item: _Item) -> _Item:
        setattr(item, _UNLESS, frozenset(capabilities) | getattr(item, _UNLESS, frozenset()))
        return item

    return mark


class Selected:
    """Base of test classes whose tests are selected by what a transport declares."""

    #: What the transport can do; ``None`` on classes that are not to be collected.
    features: ClassVar[Features | None] = None

    #: Where ours is more lenient than AMQP unless told ``strict``; not so for AMQP itself.
    drop_in: ClassVar[bool] = True

    #: The harness can restart the server (``Harness(restart=...)``).
    restartable: ClassVar[bool] = False

    #: How many messages "many" is; fewer for a backend that is slow to reach.
    many: ClassVar[int] = 300

    #: Tests that the transport can't pass -> why not, for the documentation. Not for bugs: for
    #: what a published storage format or the backend itself rules out.
    deviations: ClassVar[Mapping[str, str]] = {}

    #: Tests that were left out -> the capabilities they need and that are not declared.
    not_applicable: ClassVar[dict[str, tuple[str, ...]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.features is None:
            return
        declared = cls.capabilities()
        cls.not_applicable = {}
        for name in cls.deviations:
            if not callable(getattr(cls, name, None)):
                raise TypeError(f"{cls.__name__}.deviations: there is no test {name!r}")
        for name, needed, excluded in _conditions(cls):
            missing: tuple[str, ...] = (
                *sorted(needed - declared),
                *(f"no {e}" for e in sorted(excluded & declared)),
            )
            if name in cls.deviations:
                missing = (*missing, cls.deviations[name])
            if missing:
                cls.not_applicable[name] = missing
                # pytest collects callables only, so that this takes the inherited test away.
                setattr(cls, name, None)

    @classmethod
    def capabilities(cls) -> frozenset[str]:
        """Everything that :func:`requires` may name and that holds here."""
        assert cls.features is not None
        named = {
            name for name in Features.__dataclass_fields__ if getattr(cls.features, name) is True
        }
        named |= cls.features.exchange_types & EXCHANGE_TYPES
        named |= {name for name in ("drop_in", "restartable") if getattr(cls, name)}
        return frozenset(named)


def _conditions(cls: type) -> Iterator[tuple[str, frozenset[str], frozenset[str]]]:
    """Test name, what it needs, what excludes it; a class's marks count for its own tests."""
    nothing: frozenset[str] = frozenset()
    seen: set[str] = set()
    for base in cls.__mro__:
        for name, member in vars(base).items():
            if not name.startswith("test_") or name in seen:
                continue
            seen.add(name)
            if member is not None:
                yield (
                    name,
                    vars(base).get(_REQUIRES, nothing) | getattr(member, _REQUIRES, nothing),
                    vars(base).get(_UNLESS, nothing) | getattr(member, _UNLESS, nothing),
                )
