"""Calling something again after the connection was lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import ContextVar
from itertools import chain, count
from time import sleep
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from kombu.utils.deadlines import deadline_passed, limited, time_left
from kombu.utils.functional import waiting_times

if TYPE_CHECKING:
    from kombu.connection.client import Connection

__all__ = ("Reraising", "RetryPolicy", "Retrying", "Revived", "is_lost", "policy_in_force")


class RetryPolicy(NamedTuple):
    """How to retry.

    Arguments:
        max_retries: how often; ``None`` without limit.
        interval_start: seconds before the second retry (the first is immediate).
        interval_step: seconds added at each retry.
        interval_max: seconds of the longest interval.
        errback: called with (exception, seconds) before each retry.
        timeout: seconds for everything, calls that are under way excepted.
    """

    max_retries: int | None = None
    interval_start: float = 1
    interval_step: float = 1
    interval_max: float = 1
    errback: Callable[[BaseException, float], Any] | None = None
    timeout: float | None = None

    def connecting(self, retries: int = 0) -> dict[str, Any]:
        """Arguments of ``ensure_connection`` that fit what is left of this policy."""
        left = None if self.max_retries is None else max(self.max_retries - retries, 1)
        return {
            "errback": self.errback,
            "max_retries": 0 if self.max_retries == 0 else left,
            "interval_start": self.interval_start,
            "interval_step": self.interval_step,
            "interval_max": self.interval_max,
        }

    def intervals(self) -> Iterator[float]:
        """Seconds before each retry."""
        return chain(
            [0.0], waiting_times(self.interval_start, self.interval_step, self.interval_max)
        )


class in_force:
    """Context: connections that are made meanwhile, however deep inside, obey this policy."""

    __slots__ = ("_limit", "_policy", "_token")

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._limit = limited(policy.timeout)

    def __enter__(self) -> None:
        self._token = _policy.set(self._policy)
        self._limit.__enter__()

    def __exit__(self, *exc_info: object) -> None:
        self._limit.__exit__(*exc_info)
        _policy.reset(self._token)


#: The policy of the ``ensure`` that is under way in this thread or task.
_policy: ContextVar[RetryPolicy | None] = ContextVar("kombu_retry_policy", default=None)


def policy_in_force() -> RetryPolicy | None:
    """The policy of the ``ensure`` that is under way."""
    return _policy.get()


class Reraising:
    """Context: a connection's errors come out as the library's own, chained.

    Arguments:
        connection: whose errors.
        for_connection: what a connection error becomes.
        for_channel: what a channel error becomes.
    """

    __slots__ = ("_connection", "_for_channel", "_for_connection")

    def __init__(
        self,
        connection: Connection,
        for_connection: type[Exception],
        for_channel: type[Exception],
    ) -> None:
        self._connection = connection
        self._for_connection = for_connection
        self._for_channel = for_channel

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not isinstance(exc, Exception):
            return
        if isinstance(exc, (self._for_connection, self._for_channel)):
            return
        connection_errors, channel_errors = self._connection._reported_errors()
        if isinstance(exc, connection_errors):
            raise self._for_connection(str(exc)) from exc
        if isinstance(exc, channel_errors):
            raise self._for_channel(str(exc)) from exc


class Retrying:
    """One function, called until it succeeds or the policy is at its end.

    Arguments:
        connection: reconnected after a connection error.
        obj: its ``revive`` is called with the new channel, before the function is called again.
        fun: the function.
        policy: how to retry.
        on_revive: called with the new channel.
        retry_errors: further exceptions after which to call again.
    """

    def __init__(
        self,
        connection: Connection,
        obj: Any,
        fun: Callable[..., Any],
        policy: RetryPolicy,
        on_revive: Callable[[Any], Any] | None = None,
        retry_errors: tuple[type[BaseException], ...] = (),
    ) -> None:
        self.connection = connection
        self.obj = obj
        self.fun = fun
        self.policy = policy
        self.on_revive = on_revive
        self.retry_errors = retry_errors

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Call it.

        Raises:
            OperationalError: a connection or channel error, when the policy is at its end.
        """
        with in_force(self.policy), self.connection._reraise_as_library_errors():
            return self._attempts(args, kwargs)

    def _attempts(self, args: Any, kwargs: Any) -> Any:
        connection = self.connection
        intervals = self.policy.intervals()
        lost = False
        for retries in count():
            try:
                if lost:
                    self._revive()
                    lost = False
                return self.fun(*args, **kwargs)
            except self.retry_errors:
                if self._is_spent(retries):
                    raise
                self._pause(next(intervals))
            except connection.recoverable_connection_errors as exc:
                # A channel error in there: nobody said that calling again may help, so once.
                refused = isinstance(exc, connection.channel_errors)
                if self._is_spent(retries) or (refused and retries):
                    raise
                connection.collect()
                connection.maybe_switch_next()
                self._before_retry(exc, next(intervals))
                self._reconnect(retries)
                lost = True
            except connection.recoverable_channel_errors as exc:
                if self._is_spent(retries):
                    raise
                self._before_retry(exc, next(intervals))
                if is_lost(getattr(self.obj, "channel", None)):
                    self._reconnect(retries)
                    lost = True
        raise AssertionError("unreachable")

    def _reconnect(self, retries: int) -> None:
        self.connection._ensure_connection(
            **self.policy.connecting(retries), reraise_as_library_errors=False
        )

    def _revive(self) -> None:
        """Go on with the new connection, which may be lost before it has a channel."""
        channel = self.connection.default_channel
        self.obj.revive(channel)
        if self.on_revive is not None:
            self.on_revive(channel)

    def _is_spent(self, retries: int) -> bool:
        most = self.policy.max_retries
        return (most is not None and retries >= most) or deadline_passed()

    def _before_retry(self, exc: BaseException, seconds: float) -> None:
        if self.policy.errback is not None:
            self.policy.errback(exc, seconds)
        self._pause(seconds)

    @staticmethod
    def _pause(seconds: float) -> None:
        left = time_left()
        sleep(seconds if left is None else min(seconds, left))


def is_lost(channel: Any) -> bool:
    """Whether a channel is known to be closed; AMQP closes one with each channel error."""
    return getattr(channel, "is_open", None) is False or getattr(channel, "closed", None) is True


class Revived:
    """What :meth:`Connection.autoretry` keeps between calls: the channel in use."""

    def __init__(self, fun: Callable[..., Any], channel: Any) -> None:
        self.fun = fun
        self.channel = channel

    def revive(self, channel: Any) -> None:
        """Use a new channel."""
        self.channel = channel
