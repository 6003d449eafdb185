"""What the errors of librdkafka mean; they are told apart by their codes."""

from __future__ import annotations

from concurrent.futures import TimeoutError

from amqp.exceptions import (
    AccessRefused,
    NotFound,
    RecoverableChannelError,
    RecoverableConnectionError,
)
from amqp.exceptions import ChannelError as AMQPChannelError
from amqp.exceptions import ConnectionError as AMQPConnectionError
from confluent_kafka import KafkaError, KafkaException

from kombu.transport.errors import ErrorRow, ErrorTable

#: Nothing this connection does will succeed.
UNAUTHENTICATED = frozenset(
    {
        KafkaError._AUTHENTICATION,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.ILLEGAL_SASL_STATE,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
        KafkaError._SSL,
    }
)
UNREACHABLE = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._RESOLVE,
        KafkaError._WAIT_COORD,
        KafkaError._FATAL,
        KafkaError._DESTROY,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    }
)
UNKNOWN_TOPIC = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
    }
)
REFUSED = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)
#: The message or the name is at fault, and would be again.
WRONG = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.INVALID_PARTITIONS,
        KafkaError.INVALID_REPLICATION_FACTOR,
        KafkaError.INVALID_CONFIG,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError._INVALID_ARG,
    }
)


def kind_of(code: int) -> type[Exception]:
    """The library's exception for a code of librdkafka."""
    for codes, kind in (
        (UNAUTHENTICATED, AMQPConnectionError),
        (UNREACHABLE, RecoverableConnectionError),
        (UNKNOWN_TOPIC, NotFound),
        (REFUSED, AccessRefused),
        (WRONG, AMQPChannelError),
    ):
        if code in codes:
            found: type[Exception] = kind
            return found
    other: type[Exception] = RecoverableChannelError
    return other


def error_of(error: KafkaError, doing: str) -> Exception:
    """The library's exception for an error that a client reported."""
    return kind_of(error.code())(f"{doing}: {error.name()}: {error.str()}")


class KafkaErrorTable(ErrorTable):
    """Adds to the table what the code of an error says."""

    def translate(self, exc: BaseException, doing: str) -> Exception:
        error = exc.args[0] if exc.args else None
        if isinstance(exc, KafkaException) and isinstance(error, KafkaError):
            return error_of(error, doing)
        return super().translate(exc, doing)


ERRORS = KafkaErrorTable(
    [
        ErrorRow(KafkaException, "channel"),
        # Of a client that another thread closed; of an answer that the client waits for in vain.
        ErrorRow(RuntimeError, "connection", announced=False),
        ErrorRow(TimeoutError, "connection"),
    ]
)
