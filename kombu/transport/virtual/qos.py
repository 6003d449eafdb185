"""Prefetch and settlement of one channel: the classic face of the ledger."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from typing import Any, TextIO

from kombu.transport.virtual.errors import ProtocolWarning, precondition_failed
from kombu.transport.virtual.ledger import Delivery, Ledger


class QoS:
    """Messages a channel has given out, and how many more it may give.

    A channel makes one from its ``QoS`` class attribute, which may be replaced.

    Arguments:
        channel: the channel.
        prefetch_count: how many unacknowledged messages it may hold; 0 is no limit.
    """

    #: How many unacknowledged messages the channel may hold; 0 is no limit.
    prefetch_count: int = 0

    #: Whether closing the channel gives back what was not acknowledged.
    restore_at_shutdown: bool = True

    def __init__(self, channel: Any, prefetch_count: int = 0) -> None:
        self.channel = channel
        self.ledger: Ledger[Any] = Ledger()
        self.prefetch_count = prefetch_count or 0

    def _credit(self, consumer: str | None = None) -> int | None:
        # prefetch_count is a plain attribute for whoever sets it; the ledger follows it.
        return self.ledger.credit(consumer, self.prefetch_count or 0)

    @property
    def _delivered(self) -> Mapping[Any, Any]:
        """What is out, oldest first: delivery tag -> message."""
        return {each.tag: each.item for each in self.ledger.deliveries}

    @property
    def _dirty(self) -> frozenset[Any]:
        """Tags that are settled but still counted: none, settling takes them out at once."""
        return frozenset()

    def _flush(self) -> None:
        """Send the settlements that were gathered, now."""
        self.channel.connection.keeper.flush()

    def can_consume(self) -> bool:
        """Whether one more message may be given out."""
        return self._credit() != 0

    def can_consume_max_estimate(self) -> int | None:
        """How many more messages may be given out; ``None`` is no limit."""
        return self._credit()

    def append(self, message: Any, delivery_tag: Any) -> None:
        """Note that ``message`` was given out under ``delivery_tag``."""
        consumer = (getattr(message, "delivery_info", None) or {}).get("consumer_tag")
        self._note(message, delivery_tag, consumer or "")

    def _note(self, message: Any, delivery_tag: Any, consumer: str | None) -> None:
        self.ledger.deliver(delivery_tag, message, consumer)

    def get(self, delivery_tag: Any) -> Any:
        """The message given out under this tag; KeyError when it is settled or unknown."""
        return self.ledger.get(delivery_tag)

    def ack(self, delivery_tag: Any, multiple: bool = False) -> None:
        """Settle as done.

        Arguments:
            multiple: and everything given out before it.

        Raises:
            PreconditionFailed: 406, under ``strict``; the tag is unknown. Otherwise a warning.
        """
        self.channel._settle(acked=self._take(delivery_tag, multiple, "Basic.ack"))

    def reject(self, delivery_tag: Any, requeue: bool = False, multiple: bool = False) -> None:
        """Settle as rejected: given back, or dead-lettered where the queue says so.

        Raises:
            PreconditionFailed: as :meth:`ack`.
        """
        taken = self._take(delivery_tag, multiple, "Basic.reject")
        if requeue:
            self.channel._settle(requeued=taken)
        else:
            self.channel._settle(rejected=taken)

    def _take(self, tag: Any, multiple: bool, method: str) -> list[Delivery]:
        taken = self.ledger.settle(tag, multiple)
        if not taken and not (multiple and not tag):
            error = precondition_failed(f"unknown delivery tag {tag!r}", method)
            if self.channel.strict:
                raise error
            warnings.warn(
                f"{error.reply_text}: settled before, or delivered on another channel",
                ProtocolWarning,
                stacklevel=5,
            )
        return taken

    def restore_unacked(self) -> None:
        """Give everything back that was not acknowledged, in its order."""
        self.channel._settle(requeued=self.ledger.take_all())

    def restore_unacked_once(self, stderr: TextIO | None = None) -> None:
        """:meth:`restore_unacked` at shutdown, unless the channel or this QoS says not to.

        Arguments:
            stderr: where to tell of messages that could not be given back.
        """
        if not self.restore_at_shutdown or not self.channel.do_restore:
            return
        count = len(self.ledger)
        try:
            self.restore_unacked()
        except Exception as exc:
            print(f"UNABLE TO RESTORE {count} MESSAGES: {exc!r}", file=stderr or sys.stderr)
            raise

    def restore_visible(self, *args: Any, **kwargs: Any) -> None:
        """Hook for transports that look for messages of lost consumers themselves."""
