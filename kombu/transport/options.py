"""Transport options, said once per transport.

A transport's options are one frozen dataclass built from :func:`option` fields. Parsing,
types, defaults, the classic ``from_transport_options``, the documented table and the
warning about a misspelt name all come from it.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

from kombu.utils.imports import Late

get_close_matches = Late("difflib:get_close_matches")

_Options = TypeVar("_Options", bound="TransportOptions")


class UnknownOptionWarning(UserWarning):
    """A transport option that the transport does not know was given."""


def option(
    default: Any = None,
    doc: str = "",
    *,
    name: str | None = None,
    parse: Callable[[Any], Any] | None = None,
    factory: Callable[[], Any] | None = None,
) -> Any:
    """One field of a :class:`TransportOptions` dataclass.

    Arguments:
        default: its value when it is not given.
        doc: what it means, with its unit; one line, for the documentation.
        name: how users spell it where that is not the field's name.
        parse: turns what the user gave (a text, when it comes from a URL) into the value;
            a ``ValueError`` or ``TypeError`` from it is reported with the option's name.
        factory: makes the default where that is mutable.
    """
    metadata = {"doc": doc, "name": name, "parse": parse}
    if factory is not None:
        return dataclasses.field(default_factory=factory, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def seconds(value: Any) -> float | None:
    """Parser for times in seconds: a number or its text; ``None`` stays ``None``."""
    if value is None:
        return None
    number = float(value)
    if not 0 <= number < float("inf"):
        raise ValueError("must be a finite number of seconds, not negative")
    return number


def boolean(value: Any) -> bool:
    """Parser for switches: a bool, a number, or true/false, yes/no, on/off, 1/0 as text."""
    if isinstance(value, str):
        lowered = value.strip().lower()
        if lowered in ("1", "true", "yes", "on"):
            return True
        if lowered in ("0", "false", "no", "off", ""):
            return False
        raise ValueError("must be true or false")
    return bool(value)


@dataclasses.dataclass(frozen=True, eq=False)
class TransportOptions:
    """What every transport takes."""

    #: Names of those that are also set on channels, beside what a transport adds.
    on_channels: ClassVar[tuple[str, ...]] = ()

    strict: bool = option(
        False, "refuse what AMQP refuses, instead of a warning (see the design page)", parse=boolean
    )
    max_retries: int | None = option(None, "how often connecting is tried again; None: for ever")
    interval_start: float | None = option(None, "seconds before the first retry", parse=seconds)
    interval_step: float | None = option(None, "seconds added at each retry", parse=seconds)
    interval_max: float | None = option(None, "longest pause between retries", parse=seconds)
    errback: Any = option(None, "called with (exception, seconds) before each retry")
    callback: Any = option(None, "called while waiting between retries")
    connect_retries_timeout: float | None = option(
        None, "seconds after which retrying to connect is given up", parse=seconds
    )
    client_properties: Mapping[str, Any] | None = option(None, "sent to brokers that take them")

    @classmethod
    def names(cls) -> dict[str, dataclasses.Field[Any]]:
        """Name as users spell it -> field."""
        return {f.metadata.get("name") or f.name: f for f in dataclasses.fields(cls)}

    @classmethod
    def parse(cls: type[_Options], given: Mapping[str, Any], transport: str) -> _Options:
        """Read the options a user gave.

        Arguments:
            given: ``Connection(transport_options=...)``, unchanged by this call.
            transport: its name, for messages.

        Raises:
            ValueError: an option's value can't be what it should be; names the option.
        """
        known = cls.names()
        values: dict[str, Any] = {}
        for key, value in given.items():
            spec = known.get(key)
            if spec is None:
                cls._warn_unknown(key, known, transport)
                continue
            parser = spec.metadata.get("parse")
            if parser is not None and value is not None:
                try:
                    value = parser(value)
                except (TypeError, ValueError) as exc:
                    raise ValueError(
                        f"transport option {key!r} of {transport}: {exc} (given: a "
                        f"{type(value).__name__})"
                    ) from exc
            values[spec.name] = value
        return cls(**values)

    @staticmethod
    def _warn_unknown(key: str, known: Mapping[str, Any], transport: str) -> None:
        near = get_close_matches(str(key), known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        warnings.warn(
            f"transport option {key!r} is not known to {transport}{hint}",
            UnknownOptionWarning,
            stacklevel=4,
        )


_Class = TypeVar("_Class", bound=type)


def shown_by(options: type[TransportOptions]) -> Callable[[_Class], _Class]:
    """Class decorator: show options on a channel class, where applications look for them.

    The class gets ``from_transport_options`` and an attribute with the default of every
    option that ``options`` itself adds, except where it says its own.
    """

    def show(channel: _Class) -> _Class:
        shown = dict(options.names())
        for base in options.__mro__[1:]:
            if issubclass(base, TransportOptions):
                shown = {name: spec for name, spec in shown.items() if name not in base.names()}
        for name, spec in shown.items():
            if name.isidentifier() and name not in vars(channel):
                default = spec.default
                if spec.default_factory is not dataclasses.MISSING:
                    default = spec.default_factory()
                setattr(channel, name, default)
        setattr(channel, "from_transport_options", (*options.on_channels, *shown))  # noqa: B010
        return channel

    return show
