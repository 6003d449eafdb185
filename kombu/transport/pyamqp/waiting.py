"""Waiting for the broker's answer, with a limit."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

from amqp.exceptions import RecoverableConnectionError
from vine import ensure_promise

from ...utils.deadlines import time_left
from .link import remaining


class BoundedWait:
    """``wait`` of connections and channels; py-amqp's has no limit for all of it."""

    connection: Any
    is_closing: bool
    _pending: dict[Any, Any]

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
        promise = ensure_promise(callback)
        methods = method if isinstance(method, list) else [method]
        previous = {sig: self._pending.get(sig) for sig in methods}
        self._pending.update(dict.fromkeys(methods, promise))
        limit = self._own_limit() if timeout is None else timeout
        deadline = None if limit is None else monotonic() + limit
        try:
            while not promise.ready:
                connection = self.connection
                if connection is None:
                    raise RecoverableConnectionError("connection already closed")
                try:
                    connection.attend(timeout=remaining(deadline))
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
