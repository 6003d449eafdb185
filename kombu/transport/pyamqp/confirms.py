"""Which publishes of a channel are not confirmed yet. Pure state, no I/O.

A channel in confirm mode numbers its publishes from 1 (RabbitMQ's publisher confirms); acks and
nacks come in any order, one by one or for all numbers up to one.
"""

from __future__ import annotations

from amqp.exceptions import MessageNacked

__all__ = ("Confirms",)


class Confirms:
    """The publishes of one channel since confirm.select."""

    def __init__(self) -> None:
        self._published = 0
        #: In order of publishing, which is what an answer for several relies on.
        self._waiting: dict[int, None] = {}
        self._failed: dict[int, BaseException] = {}

    def published(self) -> int:
        """One more is about to be sent; its number."""
        self._published += 1
        self._waiting[self._published] = None
        return self._published

    def forget(self, number: int) -> None:
        """Nobody waits for this one any more."""
        self._failed.pop(number, None)
        # It stays among those that wait for the broker: its answer will come and must be known.

    def acked(self, number: int, multiple: bool) -> None:
        """The broker has this one, or all up to it."""
        for answered in self._up_to(number, multiple):
            self._waiting.pop(answered, None)

    def nacked(self, number: int, multiple: bool) -> None:
        """The broker refuses this one, or all up to it."""
        for answered in self._up_to(number, multiple):
            if answered in self._waiting:
                del self._waiting[answered]
                self._failed[answered] = MessageNacked(f"publish {answered} was refused")

    def _up_to(self, number: int, multiple: bool) -> list[int]:
        if not multiple:
            return [number]
        answered = []
        for waiting in self._waiting:
            if number and waiting > number:
                break
            answered.append(waiting)
        return answered

    def is_waiting(self, number: int) -> bool:
        """Whether the broker has not answered yet."""
        return number in self._waiting

    def waits_for_any(self, first: int) -> bool:
        """Whether any of the numbers from ``first`` on waits."""
        return next(reversed(self._waiting), 0) >= first

    def take_failure(self, number: int) -> BaseException | None:
        """Why this one was refused; ``None``: it was not. Asked once."""
        return self._failed.pop(number, None)
