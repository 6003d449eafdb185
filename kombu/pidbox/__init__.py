"""Remote control: commands to all nodes or to some, and their replies."""

from __future__ import annotations

from .mailbox import REPLY_QUEUE_EXPIRES, Mailbox
from .node import Node

__all__ = ("REPLY_QUEUE_EXPIRES", "Mailbox", "Node")
