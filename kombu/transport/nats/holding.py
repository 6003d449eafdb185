"""A message that this client holds, and how the server is told what became of it."""

from __future__ import annotations

import time

from nats.aio.msg import Msg

from kombu.transport.nats.link import delivery
from kombu.transport.nats.names import Level

ACK = b"+ACK"
RENEW = b"+WPI"
GIVE_BACK = b"-NAK"
GIVE_UP = b"+TERM"


class Holding:
    """The receipt of a claim.

    The server would take a late acknowledgement for one of the message's next owner. So the
    holder itself looks at the clock, and says nothing any more when its lease has run out.

    Arguments:
        message: as it was received.
        lease: seconds.
        since: when it was asked for, which is before the server began to count.
    """

    __slots__ = ("_ends", "_lease", "deliveries", "level", "reply", "sequence")

    def __init__(self, message: Msg, lease: float, since: float) -> None:
        self.reply = message.reply
        _stream, consumer, delivered, sequence, *_ = delivery(message)
        self.level = Level.parse(consumer)
        self.deliveries = int(delivered) - 1
        self.sequence = int(sequence)
        self._lease = lease
        self._ends = since + lease

    @property
    def is_ours(self) -> bool:
        """Whether the message is still held, and by this holder."""
        return time.monotonic() < self._ends

    def renewed(self, since: float) -> None:
        """The server counts anew, from some time after ``since``."""
        self._ends = since + self._lease

    def end(self) -> None:
        """It is settled."""
        self._ends = 0.0
