"""Publishing several messages with few round trips."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any

from kombu.exceptions import BatchPublishError
from kombu.log import get_logger
from kombu.transport.base import Publish
from kombu.utils.logfields import log_fields

from .deadline import Deadline

if TYPE_CHECKING:
    from .producer import Producer

logger = get_logger(__name__)

DEFAULT_BATCH_SIZE = 1000

#: Options of a publish without any; shared, for they are only read.
_PLAIN: Mapping[str, Any] = MappingProxyType({"mandatory": False, "immediate": False})

#: Makes a Publish of a whole tuple in half the time.
_new_publish = tuple.__new__


def publish_of(
    message: Any,
    exchange: str,
    routing_key: str,
    mandatory: bool,
    immediate: bool,
    confirm_timeout: float | None,
) -> Publish:
    """One message of a batch, prepared by the channel, and where it goes."""
    options = _PLAIN
    if mandatory or immediate or confirm_timeout is not None:
        options = {"mandatory": mandatory, "immediate": immediate}
        if confirm_timeout is not None:
            options = {**options, "confirm_timeout": confirm_timeout}
    publish: Publish = _new_publish(Publish, (message, exchange, routing_key, options))
    return publish


class PendingBatch:
    """The publishes of one thread that wait to be sent together.

    Arguments:
        producer: whose publishes these are.
        max_size: most messages sent at once.
    """

    def __init__(self, producer: Producer, max_size: int) -> None:
        self.producer = producer
        self.max_size = max_size
        self.sent = 0
        self._publishes: list[Publish] = []
        self._retry_policy: Mapping[str, Any] | None = None
        self._deadline = Deadline(None)

    def __len__(self) -> int:
        return len(self._publishes)

    def add(
        self,
        publish: Publish,
        timeout: float | None = None,
        retry_policy: Mapping[str, Any] | None = None,
    ) -> None:
        """Take one more message, and send all when there are ``max_size``.

        Arguments:
            publish: the message and where it goes.
            timeout: seconds from now by which it must be sent.
            retry_policy: how to retry when the connection is lost; ``None``: not.
        """
        self._publishes.append(publish)
        if timeout is not None and not self._deadline.passes_within(timeout):
            self._deadline = Deadline(timeout)
        if retry_policy is not None:
            self._retry_policy = retry_policy
        if len(self._publishes) >= self.max_size:
            self.flush()

    def discard(self, keep: int = 0) -> None:
        """Forget what has not been sent, but for the first ``keep`` messages of the batch."""
        kept = max(0, keep - self.sent)
        dropped = len(self._publishes) - kept
        if dropped > 0:
            del self._publishes[kept:]
            logger.warning(
                "batch left by an exception: %d messages were not sent", dropped,
                extra=log_fields(self.producer.connection, count=dropped, reason="dropped"),
            )  # fmt: skip

    def flush(self) -> None:
        """Send what there is.

        Raises:
            BatchPublishError: ``failed`` has the messages that were not confirmed, by their
                index in the whole batch; all others of it are published.
        """
        if not self._publishes:
            return
        window, first = self._publishes, self.sent
        policy, deadline = self._retry_policy, self._deadline
        # Emptied before sending, so that a failed window isn't sent again by a later flush.
        self._publishes, self._retry_policy, self._deadline = [], None, Deadline(None)
        self.sent += len(window)
        failed = self._send(window, policy, deadline)
        if failed:
            cause = next(iter(failed.values()))
            raise BatchPublishError(
                f"{len(failed)} of {len(window)} messages were not confirmed; the first: {cause!r}",
                failed={first + index: exc for index, exc in failed.items()},
            ) from cause

    def _send(
        self, window: list[Publish], policy: Mapping[str, Any] | None, deadline: Deadline
    ) -> dict[int, BaseException]:
        """Send the window; which messages failed, by their index in it."""
        unsent = list(range(len(window)))
        failed: dict[int, BaseException] = {}

        def attempt() -> None:
            nonlocal unsent
            channel = self.producer.connected_channel(policy, deadline)
            lost = self.producer.lost_connection_errors
            try:
                channel.basic_publish_many(
                    [window[index] for index in unsent], timeout=deadline.left()
                )
            except BatchPublishError as exc:
                refused = {unsent[index]: error for index, error in exc.failed.items()}
                unsent = [index for index, error in refused.items() if isinstance(error, lost)]
                failed.update(
                    (index, error) for index, error in refused.items() if index not in unsent
                )
                if unsent:
                    raise refused[unsent[0]] from exc
                if not refused:
                    raise
            else:
                unsent = []

        try:
            self.producer.run(attempt, policy, deadline)
        except self.producer.publish_errors as exc:
            failed.update(dict.fromkeys(unsent, exc))
        return dict(sorted(failed.items()))


class ProducerBatch:
    """Context in which a producer's publishes are gathered (see :meth:`Producer.batch`).

    Contexts of one producer and thread that are nested share the outermost one's batch.
    """

    def __init__(self, producer: Producer, max_size: int) -> None:
        if not isinstance(max_size, int) or max_size < 1:
            raise ValueError("max_size must be a positive integer")
        self.producer = producer
        self.max_size = max_size
        self.active = False
        self.entered = False
        self.is_outermost = False
        self._pending: PendingBatch | None = None
        self._first = 0

    def __enter__(self) -> ProducerBatch:
        if self.entered:
            raise RuntimeError("Publish batch context cannot be re-entered")
        self.entered = self.active = True
        pending = self.producer.pending_batch
        if pending is None and self.producer.supports_batch_publish:
            self.is_outermost = True
            pending = self.producer.pending_batch = PendingBatch(self.producer, self.max_size)
        self._pending = pending
        if pending is not None:
            self._first = pending.sent + len(pending)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.active = False
        pending = self._pending
        if pending is None:
            return
        if self.is_outermost:
            self.producer.pending_batch = None
        if exc_type is not None:
            pending.discard(keep=self._first)
        elif self.is_outermost:
            pending.flush()

    def flush(self) -> None:
        """Send what was gathered so far.

        Raises:
            RuntimeError: outside of the ``with`` block.
            BatchPublishError: some were not confirmed; see :meth:`Producer.batch`.
        """
        if not self.active:
            raise RuntimeError("Publish batch context is not active")
        if self._pending is not None:
            self._pending.flush()
