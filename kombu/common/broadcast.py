"""Queues that each get every message."""

from __future__ import annotations

from typing import Any

from kombu.entity import Exchange, Queue
from kombu.utils.uuid import uuid


class Broadcast(Queue):
    """A queue of one consumer's own, bound to a fanout exchange that many share.

    Arguments:
        name: the exchange's name; also the queue's alias.
        queue: the queue's name; ``bcast.`` and a random id when not given.
        unique: add a random id to the queue's name, so that no two consumers share it.
        auto_delete: the queue goes with its consumer (default true).
        exchange: instead of a fanout exchange called ``name``.
        alias: instead of ``name``.
        **kwargs: further attributes of :class:`~kombu.Queue`.
    """

    __module__ = "kombu.common"  # pickles are read by kombu 5.7 too, which looks for it there

    queue: str

    attrs = (*Queue.attrs, ("queue", None))  # type: ignore[assignment]  # one longer

    def __init__(
        self,
        name: str | None = None,
        queue: str | None = None,
        unique: bool = False,
        auto_delete: bool = True,
        exchange: Any = None,
        alias: str | None = None,
        **kwargs: Any,
    ) -> None:
        if unique:
            queue = f"{queue or 'bcast'}.{uuid()}"
        self.queue = queue or f"bcast.{uuid()}"
        super().__init__(
            name=self.queue,
            exchange=Exchange(name or "", type="fanout") if exchange is None else exchange,
            alias=alias or name,
            auto_delete=auto_delete,
            **kwargs,
        )
