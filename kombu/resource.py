"""A pool of anything that is dear to make."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from time import monotonic
from types import SimpleNamespace
from typing import Any

from kombu import exceptions
from kombu.utils import forking
from kombu.utils.loggers import get_logger

__all__ = ("Resource",)

logger = get_logger(__name__)


class Resource:
    """A pool; the last one given back is the first one given out.

    Subclasses make resources in :meth:`new`. Safe to be used by threads.

    Arguments:
        limit: most resources in use at a time; without (``None`` or 0) each is made when it is
            acquired and closed when it is released.
        preload: how many to make at once.
        close_after_fork: a forked child begins with an empty pool.
    """

    LimitExceeded: type[Exception] = exceptions.LimitExceeded

    close_after_fork: bool = False

    def __init__(
        self,
        limit: int | None = None,
        preload: int | None = None,
        close_after_fork: bool | None = None,
    ) -> None:
        self._limit = limit
        self.preload = preload or 0
        self._closed = False
        if close_after_fork is not None:
            self.close_after_fork = close_after_fork
        self._changed = threading.Condition()
        self._idle: list[Any] = []
        self._in_use: dict[int, Any] = {}
        self._being_made = 0
        if self.close_after_fork:
            forking.register(self)
        self.setup()

    # ---- hooks

    def setup(self) -> None:
        """Make the resources that are wanted at once."""
        for _ in range(min(self.preload, self._limit or 0)):
            self._idle.append(self.new())

    def new(self) -> Any:
        """Make a resource."""
        raise NotImplementedError(f"{type(self).__name__}.new")

    def prepare(self, resource: Any) -> Any:
        """Called with a resource that is about to be given out; returns the one to give out."""
        return resource

    def release_resource(self, resource: Any) -> None:
        """Called with a resource that was given back."""

    def close_resource(self, resource: Any) -> None:
        """Close a resource."""
        resource.close()

    def collect_resource(self, resource: Any) -> None:
        """Close a resource that may still be in use by someone."""
        self.close_resource(resource)

    # ---- in and out

    def acquire(self, block: bool = False, timeout: float | None = None) -> Any:
        """Take a resource; its method ``release`` gives it back.

        Arguments:
            block: wait for one when all are in use.
            timeout: most seconds to wait; ``None`` without limit.

        Raises:
            LimitExceeded: all are in use.
            RuntimeError: the pool is closed.
        """
        resource = self._take(block, timeout)
        try:
            if resource is None:
                resource = self.new()
            prepared = self.prepare(resource)
        except BaseException:
            self._give_up(resource)
            raise
        with self._changed:
            self._being_made -= 1
            self._in_use[id(prepared)] = prepared
        self._attach_release(prepared)
        return prepared

    def _take(self, block: bool, timeout: float | None) -> Any:
        """An idle resource, or ``None`` where one may be made; counted as being made."""
        end = None if timeout is None else monotonic() + timeout
        with self._changed:
            while True:
                if self._closed:
                    raise RuntimeError("Acquire on closed pool")
                taken = len(self._in_use) + self._being_made
                if not self._limit or taken < self._limit:
                    self._being_made += 1
                    return self._idle.pop() if self._idle else None
                left = None if end is None else end - monotonic()
                if not block or (left is not None and left <= 0):
                    raise self.LimitExceeded(self._limit)
                self._changed.wait(left)

    def _give_up(self, resource: Any) -> None:
        """A resource could not be prepared, or not be put away: its place is free again."""
        with self._changed:
            self._being_made -= 1
            self._changed.notify()
        if resource is not None:
            self._close_quietly(self.collect_resource, resource)

    def _attach_release(self, resource: Any) -> None:
        given_back = False

        def release() -> None:
            nonlocal given_back
            if not given_back:
                given_back = True
                self.release(resource)

        resource.release = release

    def release(self, resource: Any) -> None:
        """Give a resource back; one that is not in use is left alone."""
        with self._changed:
            if self._in_use.pop(id(resource), None) is None:
                return
            self._being_made += 1  # as yet, so that who waits gets it instead of a new one
        try:
            self.release_resource(resource)
        except BaseException:
            self._give_up(resource)
            raise
        with self._changed:
            self._being_made -= 1
            self._changed.notify()
            places = (self._limit or 0) - len(self._in_use) - self._being_made - len(self._idle)
            if not self._closed and places > 0:
                self._idle.append(resource)
                return
        self.close_resource(resource)

    def replace(self, resource: Any) -> None:
        """Close a resource that is in use and let another be made in its place."""
        with self._changed:
            known = self._in_use.pop(id(resource), None) is not None
            self._changed.notify()
        if known:
            self._close_quietly(self.close_resource, resource)

    # ---- read from outside under these names, by Celery's tests for one

    @property
    def _dirty(self) -> list[Any]:
        """What is in use."""
        return list(self._in_use.values())

    @property
    def _resource(self) -> Any:
        """Its attribute ``queue`` lists what may still be acquired; ``None``: yet to be made."""
        with self._changed:
            free = (self._limit or 0) - len(self._in_use) - self._being_made
            unmade = [None] * max(0, free - len(self._idle))
            return SimpleNamespace(queue=[*unmade, *self._idle])

    # ---- the pool as a whole

    @property
    def limit(self) -> int | None:
        """Most resources in use at a time; to be changed by :meth:`resize` too."""
        return self._limit

    @limit.setter
    def limit(self, limit: int | None) -> None:
        self.resize(limit)

    def resize(
        self,
        limit: int | None,
        force: bool = False,
        ignore_errors: bool = False,
        reset: bool = False,
    ) -> None:
        """Change the limit.

        Arguments:
            force: shrink also while resources are in use; the surplus is closed when released.
            ignore_errors: the same.
            reset: close all resources, those in use too.

        Raises:
            RuntimeError: the pool would have to shrink and resources are in use.
        """
        with self._changed:
            was = self._limit or 0
            shrinks = bool(limit) and (limit or 0) < was
            if shrinks and self._in_use and not (force or ignore_errors or reset):
                raise RuntimeError(f"Can't shrink pool when in use: was={was} now={limit}")
            self._limit = limit
            keep = max(0, (limit or 0) - len(self._in_use) - self._being_made)
            surplus = self._idle[: len(self._idle) - keep] if len(self._idle) > keep else []
            self._idle = self._idle[len(surplus) :]
            self._changed.notify_all()
        self._close_all(surplus)
        if reset:
            self.force_close_all(close_pool=False)

    def force_close_all(self, close_pool: bool = True) -> None:
        """Close all resources, those in use too.

        Arguments:
            close_pool: nothing can be acquired afterwards.
        """
        with self._changed:
            self._closed = self._closed or close_pool
            resources = [*self._in_use.values(), *reversed(self._idle)]
            self._in_use = {}
            self._idle = []
            self._changed.notify_all()
        self._close_all(resources)

    def _close_all(self, resources: Iterable[Any]) -> None:
        for resource in resources:
            self._close_quietly(self.collect_resource, resource)

    @staticmethod
    def _close_quietly(close: Callable[[Any], None], resource: Any) -> None:
        """One resource that can't be closed must not keep the others from being closed."""
        try:
            close(resource)
        except Exception:
            logger.exception("closing a resource of a pool")

    def after_fork_in_child(self) -> None:
        """Leave the parent's resources to the parent."""
        forking.keep(*self._in_use.values(), *self._idle)
        self._changed = threading.Condition()
        self._idle = []
        self._in_use = {}
        self._being_made = 0

    def __enter__(self) -> Resource:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.force_close_all()
