"""The clients of one connection: settings of each, and questions to the brokers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from os import getpid
from typing import Any, NamedTuple

from amqp.exceptions import RecoverableConnectionError
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka import ConsumerGroupTopicPartitions as GroupTopics
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from kombu.transport.confluentkafka.errors import ERRORS, UNKNOWN_TOPIC
from kombu.transport.confluentkafka.marks import Commit
from kombu.transport.confluentkafka.options import KafkaOptions
from kombu.utils.loggers import get_logger

logger = get_logger(__name__)

#: A member of a group that asks questions only and never joins.
INSPECTOR = "kombu-inspector"


class Target(NamedTuple):
    """Where to connect to, and as whom."""

    bootstrap: str
    user: str | None = None
    password: str | None = None


class Clients:
    """Makes the clients of one connection; one for questions is kept.

    Arguments:
        target: brokers and login.
        options: settings of each kind of client.
    """

    def __init__(self, target: Target, options: KafkaOptions) -> None:
        self.options = options
        self.timeout = float(options.connection_wait_time_seconds)
        common: dict[str, Any] = {
            "bootstrap.servers": target.bootstrap,
            "security.protocol": options.security_protocol,
        }
        if options.sasl_mechanism:
            common["sasl.mechanism"] = options.sasl_mechanism
        if target.user:
            common["sasl.username"] = target.user
        if target.password:
            common["sasl.password"] = target.password
        common.update(options.kafka_common_config)
        self._common = common
        self._lock = threading.Lock()
        self._inspector: Consumer | None = None
        self._admin: AdminClient | None = None
        self._no_admin = False
        self._closed = False

    # ---- clients

    def _require_open(self) -> None:
        if self._closed:
            raise RecoverableConnectionError("the connection to Kafka is closed")

    def producer(self) -> Producer:
        """A new producer. One request at a time keeps the order when one is tried again.

        (``enable.idempotence`` would, too, and costs the first message half a second.)
        """
        settings = {
            "linger.ms": 0,
            "max.in.flight.requests.per.connection": 1,
            "delivery.timeout.ms": int(self.options.delivery_timeout * 1000),
            **self._common,
            **self.options.kafka_producer_config,
        }
        with ERRORS.mapped("make a producer"):
            return Producer(settings, logger=logger)

    def consumer(self, group: str, **callbacks: Callable[..., Any]) -> Consumer:
        """A new member of a group.

        Brokers begin a member's id with its client's, and partitions are dealt out in the
        order of ids: with the time in it, the eldest member keeps what it has.
        """
        self._require_open()
        settings = {
            "client.id": f"kombu-{time.time_ns():020d}-{getpid()}",
            "auto.offset.reset": "earliest",
            "partition.assignment.strategy": "range",
            "queued.min.messages": 1000,
            "queued.max.messages.kbytes": 16384,
            **self._common,
            **self.options.kafka_consumer_config,
            **callbacks,
            "group.id": group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
        }
        with ERRORS.mapped(f"make a consumer of group {group!r}"):
            return Consumer(settings, logger=logger)

    @property
    def inspector(self) -> Consumer:
        """The client that asks questions."""
        with self._lock:
            self._require_open()
            if self._inspector is None:
                self._inspector = self.consumer(INSPECTOR)
            return self._inspector

    @property
    def admin(self) -> AdminClient:
        """The client that makes and deletes."""
        with self._lock:
            self._require_open()
            if self._admin is None:
                settings = {**self._common, **self.options.kafka_admin_config}
                with ERRORS.mapped("make an administration client"):
                    self._admin = AdminClient(settings, logger=logger)
            return self._admin

    def close(self) -> None:
        """End the client that asked questions; others are their makers' affair."""
        with self._lock:
            self._closed = True
            inspector, self._inspector = self._inspector, None
            self._admin = None
        if inspector is not None:
            inspector.close()

    # ---- questions

    def check(self) -> None:
        """Reach a broker, or raise a connection error."""
        with ERRORS.mapped("connect to Kafka"):
            self.inspector.list_topics(INSPECTOR, timeout=self.timeout)

    def partitions(self, topic: str) -> list[int]:
        """A topic's partitions; none if there is no such topic."""
        with ERRORS.mapped(f"look up topic {topic!r}"):
            found = self.inspector.list_topics(topic, timeout=self.timeout).topics.get(topic)
        if found is None or found.error is not None:
            return []
        return sorted(found.partitions)

    def end(self, topic: str, partition: int) -> tuple[int, int]:
        """First and next offset of a partition."""
        with ERRORS.mapped(f"look up the end of topic {topic!r}"):
            found = self.inspector.get_watermark_offsets(
                TopicPartition(topic, partition), timeout=self.timeout
            )
        if found is None:
            raise ERRORS.translate(
                KafkaException(KafkaError(KafkaError._TIMED_OUT)), f"end of topic {topic!r}"
            )
        return int(found[0]), int(found[1])

    def committed(self, group: str, topic: str, partitions: Sequence[int]) -> dict[int, Commit]:
        """What a group has committed for a topic, by partition."""
        wanted = GroupTopics(group, [TopicPartition(topic, each) for each in partitions])
        with ERRORS.mapped(f"look up what group {group!r} committed"):
            answer = self.admin.list_consumer_group_offsets([wanted], request_timeout=self.timeout)
            found = answer[group].result(self.timeout + 1).topic_partitions
        return {
            each.partition: Commit.read(each.offset, each.metadata)
            for each in found
            if each.offset >= 0
        }

    # ---- making and deleting

    def make(self, topic: str, **config: str) -> None:
        """Make a topic if it is not there, and wait until it can be written to."""
        if self.partitions(topic):
            return
        if not self._no_admin:
            self._create(topic, config)
        deadline = time.monotonic() + self.timeout
        while not self.partitions(topic):
            if self._no_admin:  # brokers that make topics which are asked for
                with ERRORS.mapped(f"make topic {topic!r}"):
                    self.admin.list_topics(topic, timeout=self.timeout)
            if time.monotonic() > deadline:
                raise ERRORS.translate(
                    KafkaException(KafkaError(KafkaError._TIMED_OUT)), f"make topic {topic!r}"
                )
            time.sleep(0.02)

    def _create(self, topic: str, config: dict[str, str]) -> None:
        options = self.options
        new = NewTopic(
            topic,
            1 if config else options.num_partitions,
            options.replication_factor,
            config={**options.topic_config, **config},
        )
        try:
            with ERRORS.mapped(f"make topic {topic!r}"):
                answer = self.admin.create_topics([new], request_timeout=self.timeout)
                answer[topic].result(self.timeout + 1)
        except Exception as exc:
            code = _code(exc.__cause__)
            if code == KafkaError.TOPIC_ALREADY_EXISTS:
                return
            if code in (KafkaError._TIMED_OUT, KafkaError._UNSUPPORTED_FEATURE):
                self.check()  # it is there, then, and makes no topics on demand of clients
                logger.warning("the broker answers no administration requests: %s", exc)
                self._no_admin = True
                return
            raise

    def delete(self, topic: str, group: str | None = None) -> None:
        """Delete a topic, and what a group committed for it."""
        with ERRORS.mapped(f"delete topic {topic!r}"):
            try:
                answer = self.admin.delete_topics([topic], request_timeout=self.timeout)
                answer[topic].result(self.timeout + 1)
            except KafkaException as exc:
                if _code(exc) not in UNKNOWN_TOPIC:
                    raise
        if group is not None:
            try:
                gone = self.admin.delete_consumer_groups([group], request_timeout=self.timeout)
                gone[group].result(self.timeout + 1)
            except KafkaException as exc:  # it has members, or the broker did it with the topic
                logger.debug("group %r stays: %s", group, exc)


def _code(exc: BaseException | None) -> int | None:
    error = exc.args[0] if isinstance(exc, KafkaException) and exc.args else None
    return error.code() if isinstance(error, KafkaError) else None
