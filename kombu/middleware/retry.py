"""Handling that failed is tried again, later each time, and given up in the end."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from kombu.middleware.chain import Middleware
from kombu.middleware.events import Delivery, is_undecodable
from kombu.middleware.republish import Republisher
from kombu.utils.logfields import message_fields
from kombu.utils.loggers import get_logger

__all__ = ("ATTEMPTS", "Retry", "attempts_of")

logger = get_logger(__name__)

#: Header that says how often handling a message has failed.
ATTEMPTS = "x-kombu-attempts"


def attempts_of(message: Any) -> int:
    """How often handling this message has failed, as its header says."""
    try:
        return max(0, int(message.headers.get(ATTEMPTS, 0)))
    except (TypeError, ValueError):
        return 0


class Retry(Middleware):
    """Puts a message whose handler raised back into its queue, with a delay.

    A copy of the message, with the count of attempts in its header ``x-kombu-attempts``, is
    published to the queue; when that is safe, the original is acknowledged. After the last
    attempt the message is rejected: dead-lettered, where the queue has a dead letter exchange.

    Held back it is by the transport where that knows delays (its feature ``delay``). On
    RabbitMQ it waits in a queue ``NAME.retry.MILLISECONDS`` that dead-letters into its own; it
    is sent there by a second connection, which awaits the confirm. Elsewhere it returns at once.

    Not retried: what can't be decoded, what its handler has settled, what needs no
    acknowledgement, and what was asked for (``Queue.get``). The exception then goes on, to the
    consumer's failure policy.

    Arguments:
        max_attempts: how often a message is handled at most, the first time included.
        delay: seconds before the second attempt.
        factor: by which each further delay is longer.
        max_delay: seconds of the longest delay.
        jitter: share of the delay by which it varies, so that messages that failed together
            don't return together (not on RabbitMQ).
        retry_on: exceptions after which to try again.
        give_up_on: exceptions, of those, after which the message is rejected at once.
        timeout: seconds for putting the message back.
    """

    def __init__(
        self,
        max_attempts: int = 5,
        delay: float = 1.0,
        factor: float = 2.0,
        max_delay: float = 300.0,
        jitter: float = 0.1,
        retry_on: tuple[type[Exception], ...] = (Exception,),
        give_up_on: tuple[type[Exception], ...] = (),
        timeout: float = 10.0,
    ) -> None:
        if max_attempts < 1:
            raise ValueError(f"max_attempts must be at least 1, not {max_attempts!r}")
        self.max_attempts = max_attempts
        self.delay = delay
        self.factor = factor
        self.max_delay = max_delay
        self.jitter = jitter
        self.retry_on = retry_on
        self.give_up_on = give_up_on
        self._republisher = Republisher(timeout)

    def delay_after(self, attempts: int) -> float:
        """Seconds to wait after so many failed attempts (1 or more)."""
        try:
            return float(min(self.delay * self.factor ** (attempts - 1), self.max_delay))
        except OverflowError:  # after a thousand attempts
            return float(self.max_delay)

    def on_deliver(self, delivery: Delivery, proceed: Callable[[Delivery], Any]) -> Any:
        if delivery.pulled:
            return proceed(delivery)
        try:
            return proceed(delivery)
        except self.retry_on as exc:
            message = delivery.message
            if (
                not delivery.needs_settling
                or delivery.queue is None
                or is_undecodable(message, exc)
            ):
                raise
            attempts = attempts_of(message) + 1
            if attempts >= self.max_attempts or isinstance(exc, self.give_up_on):
                self._give_up(delivery, attempts, exc)
            else:
                self._try_again(delivery, attempts, exc)
            return None

    def _try_again(self, delivery: Delivery, attempts: int, exc: Exception) -> None:
        message, seconds = delivery.message, self.delay_after(attempts)
        self._republisher.send(
            delivery, {ATTEMPTS: attempts}, seconds, 1 + random.uniform(0, self.jitter)
        )
        message.ack()
        logger.warning(
            "handling a message of queue %r failed, attempt %d of %d; again in %g s: %r",
            delivery.queue, attempts, self.max_attempts, seconds, exc,
            extra=message_fields(message, queue=delivery.queue, reason="retry", count=attempts),
        )  # fmt: skip

    def _give_up(self, delivery: Delivery, attempts: int, exc: Exception) -> None:
        delivery.message.reject()
        logger.error(
            "handling a message of queue %r failed, attempt %d of %d; rejected: %r",
            delivery.queue, attempts, self.max_attempts, exc, exc_info=exc,
            extra=message_fields(
                delivery.message, queue=delivery.queue, reason="given up", count=attempts
            ),
        )  # fmt: skip
