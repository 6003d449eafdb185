"""Waiting for the broker's answer, with a limit."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

from amqp import spec
from amqp.exceptions import RecoverableConnectionError
from vine import ensure_promise

from ...utils.deadlines import time_left
from .link import remaining

#: Place of ``nowait`` among the arguments of queue.declare.
_NOWAIT = 6


class BoundedWait:
    """``wait`` of connections and channels; py-amqp's has no limit for all of it."""

    connection: Any
    is_closing: bool
    _pending: dict[Any, Any]
    #: By method: promises of answers to questions that were sent and are not waited for yet.
    _asked: dict[Any, Any]

    def send_method(
        self,
        sig: Any,
        format: str | None = None,
        args: Any = None,
        content: Any = None,
        wait: Any = None,
        callback: Any = None,
        returns_tuple: bool = False,
    ) -> Any:
        """Send a method, and wait for its answer when ``wait`` names that.

        The answer is expected before the question is sent: another thread may read it at once.
        """
        expected = wait
        if sig == spec.Queue.Declare and not args[_NOWAIT]:
            expected = spec.Queue.DeclareOk  # which py-amqp waits for by a call of its own
        if not expected:
            return super().send_method(sig, format, args, content, callback=callback)  # type: ignore[misc]
        methods = expected if isinstance(expected, list) else [expected]
        self._asked[methods[0]] = asked = self._expect(methods, None)
        try:
            sent = super().send_method(sig, format, args, content, callback=callback)  # type: ignore[misc]
        except BaseException:
            del self._asked[methods[0]]
            self._expect_no_more(asked[1])
            raise
        return self.wait(wait, returns_tuple=returns_tuple) if wait else sent

    def wait(
        self,
        method: Any,
        callback: Callable[..., Any] | None = None,
        timeout: float | None = None,
        returns_tuple: bool = False,
    ) -> Any:
        """Handle events until the broker sends this method (or one of these).

        Arguments:
            timeout: seconds for all of it; ``None``: the connection's ``close_timeout`` or
                ``operation_timeout``, and what is left of a publish's or ensure's ``timeout``.

        Raises:
            TimeoutError: it did not in the time that was given.
            RecoverableConnectionError: it did not in the connection's own time, or the
                connection is lost.
        """
        methods = method if isinstance(method, list) else [method]
        asked = self._asked.pop(methods[0], None) if callback is None else None
        promise, previous = asked or self._expect(methods, callback)
        limit = self._own_limit() if timeout is None else timeout
        deadline = None if limit is None else monotonic() + limit
        try:
            while not promise.ready:
                connection = self.connection
                if connection is None:
                    raise RecoverableConnectionError("connection already closed")
                try:
                    connection.attend(remaining(deadline), lambda: promise.ready)
                except TimeoutError as exc:
                    if timeout is not None or limit is None:
                        raise
                    # The answer may come yet, and would be taken for that of the next question.
                    connection.collect()
                    raise RecoverableConnectionError(
                        f"no answer from the broker in {limit:g} seconds"
                    ) from exc
            if not promise.value:
                return None
            args = promise.value[0][1:]
            return args if returns_tuple else (args and args[0])
        finally:
            self._expect_no_more(previous)

    def _expect(self, methods: list[Any], callback: Any) -> tuple[Any, dict[Any, Any]]:
        """A promise of the first of these methods, and what was promised before."""
        promise = ensure_promise(callback)
        previous = {sig: self._pending.get(sig) for sig in methods}
        self._pending.update(dict.fromkeys(methods, promise))
        return promise, previous

    def _expect_no_more(self, previous: dict[Any, Any]) -> None:
        for sig, before in previous.items():
            if before is not None:
                self._pending[sig] = before
            else:
                self._pending.pop(sig, None)

    def _own_limit(self) -> float | None:
        connection = self.connection
        if connection is None:
            return None
        own = connection.close_timeout if self.is_closing else connection.operation_timeout
        limits = [limit for limit in (own, time_left()) if limit is not None]
        return min(limits, default=None)
