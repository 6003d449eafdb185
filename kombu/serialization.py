"""Serializers: which there are, which are accepted, and their use."""

from __future__ import annotations

import codecs
import os
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

from .exceptions import ContentDisallowed, DecodeError, EncodeError, SerializerNotInstalled
from .utils.compat import entrypoints
from .utils.encoding import bytes_to_str, str_to_bytes
from .utils.imports import Late
from .utils.json import dumps as json_dumps
from .utils.json import parse as json_parse

if TYPE_CHECKING:
    import pickle

__all__ = ("dumps", "loads", "pickle", "register", "unregister")

#: Content encodings whose bodies are not text.
SKIP_DECODE = frozenset({"binary", "ascii-8bit"})

#: Content types that are accepted always: reading them runs no code.
TRUSTED_CONTENT = frozenset({"application/data", "application/text"})

NOTSET = object()

#: Protocol pickles are written by; the environment variable ``PICKLE_PROTOCOL`` says otherwise.
pickle_protocol = int(os.environ.get("PICKLE_PROTOCOL") or 4)

pickle_load: Callable[[Any], Any] = Late("pickle:load")
_pickle_dumps: Callable[..., bytes] = Late("pickle:dumps")


def __getattr__(name: str) -> Any:
    # Imported when it is first asked for: most processes never pickle.
    if name == "pickle":
        return import_module("pickle")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class codec(NamedTuple):
    """How a serializer writes."""

    content_type: str
    content_encoding: str
    encoder: Callable[[Any], Any]


@contextmanager
def _reraise_errors(
    wrapper: type[Exception],
    include: Any = (Exception,),
    exclude: Any = (SerializerNotInstalled,),
) -> Iterator[None]:
    """Let errors arrive as ``wrapper``, chained to their cause."""
    try:
        yield
    except exclude:
        raise
    except include as exc:
        raise wrapper(str(exc)) from exc


def pickle_loads(s: Any, load: Callable[[Any], Any] = pickle_load) -> Any:
    """Unpickle bytes (or a buffer)."""
    return load(BytesIO(s))


def parenthesize_alias(first: str, second: str) -> str:
    """``first (second)``, or ``second`` without a first."""
    return f"{first} ({second})" if first else second


class SerializerRegistry:
    """Serializers by name, and readers by content type.

    Whoever looks at them first loads those that installed distributions announce.
    """

    def __init__(self) -> None:
        self._own_encoders: dict[str, codec] = {}
        self._own_decoders: dict[str, Callable[[Any], Any]] = {}
        self._own_type_to_name: dict[str, str] = {}
        self._own_name_to_type: dict[str, str] = {}
        self._load_announced: Callable[[], object] | None = None
        self._loading = threading.RLock()
        self._is_loading = False
        self._default_encode: Callable[[Any], Any] | None = None
        self._default_content_type: str | None = None
        self._default_content_encoding: str | None = None
        #: Content types that are refused unless a consumer accepts them by name.
        self._disabled_content_types: set[str] = set()

    def load_on_first_look(self, load: Callable[[], object]) -> None:
        """Have ``load`` called once, before anyone sees what is registered."""
        self._load_announced = load

    def _look(self) -> None:
        with self._loading:
            load = self._load_announced
            if load is None or self._is_loading:
                return
            self._is_loading = True
            try:
                load()
            finally:
                self._load_announced = None
                self._is_loading = False

    @property
    def _encoders(self) -> dict[str, codec]:
        if self._load_announced is not None:
            self._look()
        return self._own_encoders

    @property
    def _decoders(self) -> dict[str, Callable[[Any], Any]]:
        if self._load_announced is not None:
            self._look()
        return self._own_decoders

    @property
    def type_to_name(self) -> dict[str, str]:
        """Content type -> name of the serializer."""
        if self._load_announced is not None:
            self._look()
        return self._own_type_to_name

    @property
    def name_to_type(self) -> dict[str, str]:
        """Name of the serializer -> content type."""
        if self._load_announced is not None:
            self._look()
        return self._own_name_to_type

    def register(
        self,
        name: str,
        encoder: Callable[[Any], Any] | None,
        decoder: Callable[[Any], Any] | None,
        content_type: str,
        content_encoding: str = "utf-8",
    ) -> None:
        """Add (or replace) a serializer.

        Arguments:
            name: what users call it.
            encoder: makes text or bytes of data; ``None`` can't write.
            decoder: makes data of text, or of bytes for a binary encoding; ``None`` can't read.
            content_type: what messages call it.
            content_encoding: character set of what it writes, or ``binary``.
        """
        if encoder:
            self._encoders[name] = codec(content_type, content_encoding, encoder)
        if decoder:
            self._decoders[content_type] = decoder
        self.type_to_name[content_type] = name
        self.name_to_type[name] = content_type

    def unregister(self, name: str) -> None:
        """Remove a serializer.

        Raises:
            SerializerNotInstalled: there is none of that name.
        """
        try:
            content_type = self.name_to_type.pop(name)
        except KeyError:
            raise SerializerNotInstalled(f"No encoder/decoder installed for {name}") from None
        self._decoders.pop(content_type, None)
        self.type_to_name.pop(content_type, None)
        self._encoders.pop(name, None)

    def enable(self, name: str) -> None:
        """Let every consumer read what a serializer (name or content type) writes."""
        self._disabled_content_types.discard(self._content_type(name))

    def disable(self, name: str) -> None:
        """Let only consumers that accept it by name read what a serializer writes."""
        self._disabled_content_types.add(self._content_type(name))

    def _content_type(self, name: str) -> str:
        return name if "/" in name else self.name_to_type[name]

    def _set_default_serializer(self, name: str) -> None:
        """Write by this serializer where none is named."""
        try:
            (
                self._default_content_type,
                self._default_content_encoding,
                self._default_encode,
            ) = self._encoders[name]
        except KeyError:
            raise SerializerNotInstalled(f"No encoder installed for {name}") from None

    def dumps(self, data: Any, serializer: str | None = None) -> tuple[Any, Any, Any]:
        """Serialize.

        Arguments:
            data: what to write. Without a serializer, bytes and text are written as they are.
            serializer: name of a serializer, ``raw`` for none.

        Returns:
            Content type, content encoding, and the body (text or bytes).

        Raises:
            SerializerNotInstalled: there is none of that name.
            EncodeError: the data can't be written by it.
        """
        if serializer == "raw":
            return raw_encode(data)
        encoder: Callable[[Any], Any] | None
        if serializer:
            try:
                content_type, content_encoding, encoder = self._encoders[serializer]
            except KeyError:
                raise SerializerNotInstalled(f"No encoder installed for {serializer}") from None
        elif isinstance(data, bytes):
            return "application/data", "binary", data
        elif isinstance(data, str):
            with _reraise_errors(EncodeError, exclude=()):
                return "text/plain", "utf-8", data.encode("utf-8")
        else:
            encoder = self._default_encode
            content_type = self._default_content_type  # type: ignore[assignment]
            content_encoding = self._default_content_encoding  # type: ignore[assignment]
            if encoder is None:
                raise SerializerNotInstalled("No default serializer is set")
        try:
            return content_type, content_encoding, encoder(data)
        except SerializerNotInstalled:
            raise
        except Exception as exc:
            raise EncodeError(str(exc)) from exc

    def loads(
        self,
        data: Any,
        content_type: Any,
        content_encoding: Any,
        accept: Collection[str] | None = None,
        force: bool = False,
        _trusted_content: Collection[str] = TRUSTED_CONTENT,
    ) -> Any:
        """Deserialize.

        Arguments:
            data: the body; nothing is made of an empty one.
            content_type: as in the message; of an unknown one, the decoded text is returned.
            content_encoding: character set of the body, or ``binary``.
            accept: content types that may be read; ``None`` means those that are not disabled.
            force: read it anyway.

        Raises:
            ContentDisallowed: the content type is not accepted.
            DecodeError: the body can't be read.
        """
        if type(content_type) is not str or not content_type:
            content_type = bytes_to_str(content_type) if content_type else "application/data"
        if accept is not None:
            if content_type not in _trusted_content and content_type not in accept:
                raise self._refused(content_type, "untrusted")
        elif not force and content_type in self._disabled_content_types:
            raise self._refused(content_type, "disabled")
        if not data:
            return data
        if self._load_announced is not None:
            self._look()
        decoder = self._own_decoders.get(content_type)
        try:
            if decoder is not None:
                return decoder(data)
            content_encoding = (content_encoding or "utf-8").lower()
            if content_encoding in SKIP_DECODE or isinstance(data, str):
                return data
            return _decode(data, content_encoding)
        except SerializerNotInstalled:
            raise
        except Exception as exc:
            raise DecodeError(str(exc)) from exc

    def _refused(self, content_type: str, what: str) -> ContentDisallowed:
        name = parenthesize_alias(self.type_to_name.get(content_type, content_type), content_type)
        return ContentDisallowed(f"Refusing to deserialize {what} content of type {name}")


def _decode(data: Any, encoding: str) -> str:
    return codecs.decode(data, encoding)


def raw_encode(data: Any) -> tuple[str, str, Any]:
    """Data as it is: text becomes utf-8."""
    if isinstance(data, str):
        return "application/data", "utf-8", data.encode("utf-8")
    return "application/data", "binary", data


#: The serializers of this process.
registry = SerializerRegistry()

dumps = registry.dumps
loads = registry.loads
register = registry.register
unregister = registry.unregister


def register_json() -> None:
    """Register ``json``, see :mod:`kombu.utils.json`."""
    registry.register("json", json_dumps, json_parse, "application/json", "utf-8")


def register_pickle() -> None:
    """Register ``pickle``. Reading a pickle may run any code."""

    def pickle_dumps(data: Any) -> bytes:
        return _pickle_dumps(data, protocol=pickle_protocol)

    registry.register("pickle", pickle_dumps, unpickle, "application/x-python-serialize", "binary")


def unpickle(s: Any) -> Any:
    """Unpickle bytes, or text that was made of them."""
    return pickle_loads(str_to_bytes(s))


def register_yaml() -> None:
    """Register ``yaml``: plain data only. Without PyYAML, using it says what is missing."""

    def dump(data: Any) -> Any:
        return _library("yaml", "yaml").safe_dump(data)

    def load(body: Any) -> Any:
        return _library("yaml", "yaml").safe_load(body)

    registry.register("yaml", dump, load, "application/x-yaml", "utf-8")


def register_msgpack() -> None:
    """Register ``msgpack``. Without the package msgpack, using it says what is missing."""

    def pack(data: Any) -> Any:
        return _library("msgpack", "msgpack").packb(data, use_bin_type=True)

    def unpack(body: Any) -> Any:
        return _library("msgpack", "msgpack").unpackb(body, raw=False)

    registry.register("msgpack", pack, unpack, "application/x-msgpack", "binary")


def _library(module: str, extra: str) -> Any:
    # Imported when it is first used: most processes use neither.
    try:
        return import_module(module)
    except ImportError as exc:
        raise SerializerNotInstalled(
            f"this serializer needs {module}: pip install 'kombu[{extra}]'"
        ) from exc


def enable_insecure_serializers(
    choices: Iterable[str] | Any = NOTSET,
) -> None:
    """Let every consumer read what these serializers write: pickle, yaml, msgpack by default."""
    for choice in ("pickle", "yaml", "msgpack") if choices is NOTSET else choices or ():
        try:
            registry.enable(choice)
        except KeyError:
            continue


def disable_insecure_serializers(allowed: Iterable[str] | Any = NOTSET) -> None:
    """Let consumers that accept no others by name read only these: json by default."""
    for name in registry._decoders:
        registry.disable(name)
    for name in ("json",) if allowed is NOTSET else allowed or ():
        registry.enable(name)


def prepare_accept_content(
    content_types: Iterable[str] | None, name_to_type: Mapping[str, str] | None = None
) -> set[str] | None:
    """The content types of a list of content types and serializers; ``None`` stays ``None``.

    Raises:
        SerializerNotInstalled: there is no serializer of that name.
    """
    if content_types is None:
        return None
    known = registry.name_to_type if name_to_type is None else name_to_type
    accepted = set()
    for name in content_types:
        content_type = name if "/" in name else known.get(name)
        if content_type is None:
            raise SerializerNotInstalled(f"No encoder/decoder installed for {name}")
        accepted.add(content_type)
    return accepted


register_json()
register_pickle()
register_yaml()
register_msgpack()
registry._set_default_serializer("json")
disable_insecure_serializers()


def _register_announced() -> None:
    for entry_point, arguments in entrypoints("kombu.serializers"):
        register(entry_point.name, *arguments)


registry.load_on_first_look(_register_announced)
