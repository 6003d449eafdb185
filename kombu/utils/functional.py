"""Functions about functions: caches, laziness, ranges of waiting times, retrying."""

from __future__ import annotations

import inspect
import threading
from collections import OrderedDict, UserDict
from collections.abc import (
    Callable,
    Hashable,
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    ValuesView,
)
from functools import wraps
from itertools import count, repeat
from time import monotonic, sleep
from typing import Any, TypeVar, cast

from .encoding import safe_repr
from .imports import Late

__all__ = (
    "LRUCache",
    "dictfilter",
    "is_list",
    "lazy",
    "maybe_evaluate",
    "maybe_list",
    "memoize",
    "retry_over_time",
)

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

#: Stands between positional and keyword arguments in the keys of :func:`memoize`.
KEYWORD_MARK = object()

_UNOPENED: Any = object()

_shuffle = Late("random:shuffle")

#: Longest nap in seconds of :func:`retry_over_time`, so that its callback is called in between.
_NAP = 1.0


class ChannelPromise:
    """A channel that is opened when it is first needed.

    Arguments:
        contract: opens the channel.
    """

    def __init__(self, contract: Callable[[], Any]) -> None:
        self.__contract__ = contract
        self.__value__: Any = _UNOPENED

    def __call__(self) -> Any:
        """The channel, always the same."""
        if self.__value__ is _UNOPENED:
            self.__value__ = self.__contract__()
        return self.__value__

    def __repr__(self) -> str:
        if self.__value__ is _UNOPENED:
            return f"<promise: {id(self.__contract__):#x}>"
        return repr(self.__value__)


class LRUCache(UserDict[_Key, _Value]):
    """A dictionary that forgets what was used longest ago.

    Thread-safe. Views are of a snapshot, so other threads may write while one iterates.

    Arguments:
        limit: most keys kept; ``None`` or 0 keeps all.
    """

    data: OrderedDict[_Key, _Value]

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self.mutex = threading.RLock()
        self.data = OrderedDict()

    def __getitem__(self, key: _Key) -> _Value:
        with self.mutex:
            value = self.data[key]
            self.data.move_to_end(key)
            return value

    def __setitem__(self, key: _Key, value: _Value) -> None:
        with self.mutex:
            # An overwritten key keeps its place: only reading makes it young again.
            if self.limit and key not in self.data and len(self.data) >= self.limit:
                self.data.popitem(last=False)
            self.data[key] = value

    def __delitem__(self, key: _Key) -> None:
        with self.mutex:
            del self.data[key]

    def __iter__(self) -> Iterator[_Key]:
        with self.mutex:
            return iter(list(self.data))

    def get(self, key: _Key, default: Any = None) -> Any:
        """The value of ``key``, which is thereby used, or ``default``."""
        try:
            return self[key]
        except KeyError:
            return default

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Set several keys; past the limit the oldest are forgotten."""
        with self.mutex:
            self.data.update(*args, **kwargs)
            while self.limit and len(self.data) > self.limit:
                self.data.popitem(last=False)

    def popitem(self, last: bool = True) -> tuple[_Key, _Value]:
        """Take out the youngest pair, or with ``last=False`` the oldest."""
        with self.mutex:
            return self.data.popitem(last)

    def incr(self, key: _Key, delta: int = 1) -> int:
        """Add ``delta`` to a number kept as text, and return the sum."""
        with self.mutex:
            total = int(cast(Any, self.data.pop(key))) + delta
            self[key] = cast(_Value, str(total))
        return total

    def keys(self) -> KeysView[_Key]:
        return self._snapshot().keys()

    def values(self) -> ValuesView[_Value]:
        return self._snapshot().values()

    def items(self) -> ItemsView[_Key, _Value]:
        return self._snapshot().items()

    def iterkeys(self) -> Iterator[_Key]:
        """Iterator over :meth:`keys`."""
        return iter(self.keys())

    def itervalues(self) -> Iterator[_Value]:
        """Iterator over :meth:`values`."""
        return iter(self.values())

    def iteritems(self) -> Iterator[tuple[_Key, _Value]]:
        """Iterator over :meth:`items`."""
        return iter(self.items())

    def _snapshot(self) -> OrderedDict[_Key, _Value]:
        with self.mutex:
            return self.data.copy()

    def __getstate__(self) -> dict[str, Any]:
        state = dict(vars(self))
        state.pop("mutex")
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.mutex = threading.RLock()


def memoize(
    maxsize: int | None = None,
    keyfun: Callable[..., Any] | None = None,
    Cache: Any = LRUCache,
) -> Callable[[Callable[..., Any]], Any]:
    """Decorator that keeps a function's results.

    The function gets ``hits``, ``misses``, ``clear()`` and ``original_func``.

    Arguments:
        maxsize: most results kept; ``None`` keeps all.
        keyfun: makes the key from (args, kwargs); by default they must be hashable.
        Cache: makes the cache, from ``limit``.
    """

    def decorate(fun: Callable[..., Any]) -> Any:
        mutex = threading.Lock()
        results = Cache(limit=maxsize)

        @wraps(fun)
        def remember(*args: Any, **kwargs: Any) -> Any:
            key: Hashable
            if keyfun is not None:
                key = keyfun(args, kwargs)
            else:
                key = (*args, KEYWORD_MARK, *sorted(kwargs.items()))
            memory = cast(Any, remember)
            try:
                with mutex:
                    value = results[key]
                    memory.hits += 1
                return value
            except KeyError:
                pass
            value = fun(*args, **kwargs)
            with mutex:
                memory.misses += 1
                results[key] = value
            return value

        def clear() -> None:
            with mutex:
                results.clear()
                memory.hits = memory.misses = 0

        memory = cast(Any, remember)
        memory.hits = memory.misses = 0
        memory.clear = clear
        memory.original_func = fun
        return remember

    return decorate


class lazy:
    """A function call that is made when its value is asked for, each time.

    Arguments:
        fun: the function; ``args`` and ``kwargs`` go to it.
    """

    def __init__(self, fun: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self._fun = fun
        self._args = args
        self._kwargs = kwargs

    def __call__(self) -> Any:
        return self.evaluate()

    def evaluate(self) -> Any:
        """Make the call."""
        return self._fun(*self._args, **self._kwargs)

    def __str__(self) -> str:
        return str(self())

    def __repr__(self) -> str:
        return repr(self())

    def __eq__(self, rhs: object) -> bool:
        return bool(self() == rhs)

    def __ne__(self, rhs: object) -> bool:
        return bool(self() != rhs)

    __hash__ = None  # type: ignore[assignment]

    def __deepcopy__(self, memo: dict[int, Any]) -> lazy:
        memo[id(self)] = self
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self._fun,), {"_args": self._args, "_kwargs": self._kwargs})


def maybe_evaluate(value: Any) -> Any:
    """The value of a :class:`lazy`; anything else as it is."""
    return value.evaluate() if isinstance(value, lazy) else value


promise = lazy
maybe_promise = maybe_evaluate


def is_list(
    obj: Any,
    scalars: Any = (Mapping, str),
    iters: Any = (Iterable,),
) -> bool:
    """Whether ``obj`` is iterable and not one of ``scalars`` (bytes are iterable)."""
    return isinstance(obj, iters) and not isinstance(obj, scalars or ())


def maybe_list(obj: Any, scalars: Any = (Mapping, str)) -> Any:
    """``[obj]`` unless it is ``None`` or :func:`is_list`."""
    return obj if obj is None or is_list(obj, scalars) else [obj]


def dictfilter(d: Mapping[Any, Any] | None = None, **kw: Any) -> dict[Any, Any]:
    """The given pairs whose value is not ``None``; keywords win."""
    pairs = dict(d or {}, **kw) if kw else (d or {})
    return {key: value for key, value in pairs.items() if value is not None}


def shufflecycle(it: Iterable[_Value]) -> Iterator[_Value]:
    """Without end, one at random of the things in ``it``."""
    things = list(it)
    for _ in repeat(None):
        _shuffle(things)
        yield things[0]


def fxrange(
    start: float = 1.0,
    stop: float | None = None,
    step: float = 1.0,
    repeatlast: bool = False,
) -> Iterator[float]:
    """Numbers from ``start`` to ``stop``, both included, ``step`` apart.

    Arguments:
        stop: ``None`` (or 0) never stops.
        repeatlast: after the last number, yield it again without end.
    """
    # Summed up, not multiplied, so that the recorded waiting times come out to the last bit.
    current = start * 1.0
    while not stop or current <= stop:
        yield current
        current += step
    if repeatlast:
        yield from repeat(current - step)


def fxrangemax(
    start: float = 1.0,
    stop: float | None = None,
    step: float = 1.0,
    max: float = 100.0,
) -> Iterator[float]:
    """Numbers growing from ``start`` by ``step``, until what they add up to reaches ``max``.

    Arguments:
        stop: the largest number, repeated from then on; ``None`` (or 0) has none.
        max: bound on the sum, in which the first number does not count.
    """
    total, current = 0.0, start * 1.0
    while total < max:
        yield current
        current += step
        if stop:
            current = min(current, stop)
        total += current


def retry_over_time(
    fun: Callable[..., _Value],
    catch: Any,
    args: Any = None,
    kwargs: Mapping[str, Any] | None = None,
    errback: Callable[..., float | None] | None = None,
    max_retries: int | None = None,
    interval_start: float = 2,
    interval_step: float = 2,
    interval_max: float = 30,
    callback: Callable[[], Any] | None = None,
    timeout: float | None = None,
) -> _Value:
    """Call ``fun`` until it raises none of ``catch``, waiting longer from time to time.

    Arguments:
        fun: called with ``args`` and ``kwargs``; its result is returned.
        catch: exception type or tuple of types after which it is tried again.
        errback: called with (exception, iterator of waiting times, retries so far) before each
            wait; returns the seconds to wait, ``None`` for the next of the iterator.
        max_retries: how often it is tried again; ``None`` without limit, 0 not at all.
        interval_start: seconds before the first retry.
        interval_step: seconds by which each wait is longer than the one before.
        interval_max: seconds of the longest wait.
        callback: called after each failure, before ``errback``, and once for each whole second of
            waiting; may raise to end it.
        timeout: seconds for everything but a call that is under way; ``None`` (or 0) without
            limit. The last wait ends with it and is followed by a last try.

    Raises:
        One of ``catch``, the last one, when retries or time have run out.
    """
    waits = waiting_times(interval_start, interval_step, interval_max)
    deadline = monotonic() + timeout if timeout else None
    for retries in count():
        try:
            return fun(*(args or ()), **(kwargs or {}))
        except catch as exc:
            if max_retries is not None and retries >= max_retries:
                raise
            if deadline is not None and monotonic() >= deadline:
                raise
            if callback is not None:
                callback()
            wait = errback(exc, waits, retries) if errback is not None else None
            seconds = float(next(waits) if wait is None else wait)
        if deadline is not None:
            seconds = min(seconds, deadline - monotonic())
        _wait(seconds, callback)
    raise AssertionError("unreachable")


def waiting_times(start: float, step: float, longest: float) -> Iterator[float]:
    """``start``, then ``step`` more each time, never more than ``longest``; without end."""
    for retries in count():
        yield float(min(start + retries * step, longest))


def _wait(seconds: float, callback: Callable[[], Any] | None) -> None:
    while seconds > 0:
        if callback is not None and seconds >= _NAP:
            callback()
        nap = min(seconds, _NAP)
        sleep(nap)
        seconds -= nap


def reprkwargs(kwargs: Mapping[str, Any], sep: str = ", ", fmt: str = "{0}={1}") -> str:
    """Keyword arguments as they are written in a call."""
    return sep.join(fmt.format(key, safe_repr(value)) for key, value in kwargs.items())


def reprcall(
    name: str,
    args: Iterable[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    sep: str = ", ",
) -> str:
    """A call as it is written."""
    positional = sep.join(map(safe_repr, args or ()))
    keywords = reprkwargs(kwargs or {}, sep)
    between = sep if positional and keywords else ""
    return f"{name}({positional}{between}{keywords})"


def accepts_argument(func: Callable[..., Any], argument_name: str) -> bool:
    """Whether ``func`` has a parameter of that name (``*args`` and ``**kwargs`` don't count).

    Raises:
        TypeError: ``func`` is not callable.
    """
    spec = inspect.getfullargspec(func)
    return argument_name in spec.args or argument_name in spec.kwonlyargs
