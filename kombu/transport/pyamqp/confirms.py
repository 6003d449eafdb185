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
        #: No number below the one, and none above the other, waits.
        self._first, self._last = 1, 0
        #: Those that wait for the broker's answer; whether somebody waits for it as well.
        self._waiting: dict[int, bool] = {}
        self._failed: dict[int, BaseException] = {}

    def published(self, count: int = 1) -> int:
        """So many more are about to be sent; the number of the first."""
        first = self._published + 1
        self._last = self._published = self._published + count
        for number in range(first, self._published + 1):
            self._waiting[number] = True
        return first

    def withdraw(self, count: int) -> None:
        """The last so many were not sent after all: the broker will not number them."""
        for number in range(self._published, self._published - count, -1):
            self._waiting.pop(number, None)
        self._published -= count

    def forget(self, number: int) -> None:
        """Nobody waits for this one any more."""
        self._failed.pop(number, None)
        # It stays among those that wait for the broker: its answer will come and must be known.
        if number in self._waiting:
            self._waiting[number] = False

    def acked(self, number: int, multiple: bool) -> None:
        """The broker has this one, or all up to it."""
        for answered in self._up_to(number, multiple):
            self._waiting.pop(answered, None)

    def nacked(self, number: int, multiple: bool) -> None:
        """The broker refuses this one, or all up to it."""
        for answered in self._up_to(number, multiple):
            if self._waiting.pop(answered, False):
                self._failed[answered] = MessageNacked(f"publish {answered} was refused")

    def _up_to(self, number: int, multiple: bool) -> list[int]:
        if not multiple:
            return [number]
        last = min(number or self._published, self._published)
        first, self._first = self._first, max(self._first, last + 1)
        return [answered for answered in range(first, last + 1) if answered in self._waiting]

    def is_waiting(self, number: int) -> bool:
        """Whether the broker has not answered yet."""
        return number in self._waiting

    def waits_for_any(self, first: int) -> bool:
        """Whether any of the numbers from ``first`` on waits."""
        while self._last >= first and self._last not in self._waiting:
            self._last -= 1
        return self._last >= first

    def take_failure(self, number: int) -> BaseException | None:
        """Why this one was refused; ``None``: it was not. Asked once."""
        return self._failed.pop(number, None)
