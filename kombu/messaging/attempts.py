"""Attempts to publish: connecting first, calling again, within limits of time and retries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from kombu.exceptions import BatchPublishError, OperationalError
from kombu.utils.deadlines import limited
from kombu.utils.functional import ChannelPromise

from .deadline import Deadline

#: What of a retry policy is about connecting.
_CONNECT_POLICY = ("errback", "max_retries", "interval_start", "interval_step", "interval_max")


class Attempts:
    """What a producer does to try; mixed into :class:`~.producer.Producer`."""

    def connected_channel(self, policy: Mapping[str, Any] | None, deadline: Deadline) -> Any:
        """The channel, after connecting within the limits given.

        Arguments:
            policy: how to retry connecting; the connection's own way when empty.
            deadline: when to give up.

        Raises:
            OperationalError: no connection within these limits.
        """
        if deadline.passed:
            raise OperationalError(f"not published within {deadline.seconds} seconds")
        connection = self.__connection__
        if (
            connection is not None
            and isinstance(self._channel, ChannelPromise)
            and not connection.connected
        ):
            limits = (
                {key: policy[key] for key in _CONNECT_POLICY if key in policy} if policy else {}
            )
            if deadline.at is not None:
                limits["timeout"] = deadline.left()
            connection.ensure_connection(**limits)
        return self.channel

    def run(
        self, attempt: Callable[[], Any], policy: Mapping[str, Any] | None, deadline: Deadline
    ) -> Any:
        """Call ``attempt``, again after reconnecting when ``policy`` is given.

        Raises:
            OperationalError: with a policy: retries or time ran out.
        """
        if policy is None:
            with limited(deadline.left()):
                return attempt()
        connection = self.connection or self._client
        if deadline.at is not None:
            policy = {**policy, "timeout": deadline.left()}
        return connection.ensure(self, attempt, **policy)()

    @property
    def lost_connection_errors(self) -> tuple[type[BaseException], ...]:
        """Errors after which connecting again may help."""
        connection = self.connection or self._client
        return tuple(connection.recoverable_connection_errors)

    @property
    def publish_errors(self) -> tuple[type[BaseException], ...]:
        """Errors by which a message is known not to be confirmed."""
        connection = self.connection or self._client
        return (
            OperationalError,
            BatchPublishError,
            *connection.connection_errors,
            *connection.channel_errors,
        )

    if TYPE_CHECKING:  # of the producer
        __connection__: Any
        _channel: Any
        _client: Any

        @property
        def channel(self) -> Any: ...
        @property
        def connection(self) -> Any: ...
