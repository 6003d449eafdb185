"""Errors of the SQS transport under the names that users import."""

from __future__ import annotations

from amqp.exceptions import AccessRefused, NotFound


class InvalidQueueException(ValueError):
    """A queue of that kind can't be used so, e.g. a predefined queue without a URL."""


class AccessDeniedQueueException(AccessRefused):
    """AWS refuses these credentials the queue."""


class DoesNotExistQueueException(NotFound):
    """There is no such queue."""


class UndefinedQueueException(NotFound):
    """Queues are predefined and this one is not among them."""


class UndefinedExchangeException(NotFound):
    """Exchanges are predefined and this one is not among them."""


class UnableToSubscribeQueueToTopicException(AccessRefused):
    """SNS did not confirm the subscription of a queue to a topic."""


class UnableToUnsubscribeQueueFromTopicException(AccessRefused):
    """SNS did not confirm the end of a subscription."""
