"""Object helpers."""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock
from typing import Any, Generic, TypeVar, overload

__all__ = ("cached_property",)

_Value = TypeVar("_Value")
_UNSET: Any = object()


class cached_property(Generic[_Value]):
    """A property computed once per instance and kept in the instance's ``__dict__``.

    It is computed under a lock, so that threads that ask at the same time get one value.

    Arguments:
        fget: computes the value from the instance.
        fset: called with (instance, value) when it is assigned; returns what to keep.
        fdel: called with (instance, value) when it is deleted.
    """

    def __init__(
        self,
        fget: Callable[[Any], _Value] | None = None,
        fset: Callable[[Any, Any], _Value] | None = None,
        fdel: Callable[[Any, _Value], Any] | None = None,
    ) -> None:
        self.func = fget
        self.fset = fset
        self.fdel = fdel
        self.attrname: str | None = getattr(fget, "__name__", None)
        self.__doc__ = getattr(fget, "__doc__", None)
        self.lock = RLock()

    def __set_name__(self, owner: type, name: str) -> None:
        self.attrname = name

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> cached_property[_Value]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None) -> _Value: ...
    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        cache = self._cache(instance)
        value = cache.get(self.attrname, _UNSET)
        if value is _UNSET:
            with self.lock:
                value = cache.get(self.attrname, _UNSET)
                if value is _UNSET:
                    if self.func is None:
                        raise AttributeError(f"{self.attrname!r} has no getter")
                    value = cache[self.attrname] = self.func(instance)
        return value

    def __set__(self, instance: Any, value: Any) -> Any:
        if instance is None:
            return self
        cache = self._cache(instance)
        with self.lock:
            cache[self.attrname] = value if self.fset is None else self.fset(instance, value)
        return None

    def __delete__(self, instance: Any) -> Any:
        if instance is None:
            return self
        cache = self._cache(instance)
        with self.lock:
            value = cache.pop(self.attrname, _UNSET)
        if self.fdel is not None and value is not _UNSET:
            self.fdel(instance, value)
        return None

    def setter(self, fset: Callable[[Any, Any], _Value]) -> cached_property[_Value]:
        """Decorator that names the function called on assignment."""
        return type(self)(self.func, fset, self.fdel)

    def deleter(self, fdel: Callable[[Any, _Value], Any]) -> cached_property[_Value]:
        """Decorator that names the function called on deletion."""
        return type(self)(self.func, self.fset, fdel)

    def _cache(self, instance: Any) -> dict[str | None, Any]:
        try:
            return instance.__dict__  # type: ignore[no-any-return]
        except AttributeError:
            raise TypeError(
                f"No '__dict__' attribute on {type(instance).__name__!r} instance "
                f"to cache {self.attrname!r} property."
            ) from None
