"""The clients of one connection, and their calls with limits."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import grpc
from amqp.exceptions import RecoverableConnectionError
from google.api_core import exceptions
from google.api_core.gapic_v1.method import wrap_method as _wrap_method
from google.api_core.gapic_v1.routing_header import to_grpc_metadata as _to_grpc_metadata
from google.api_core.retry import Retry
from google.pubsub_v1 import PublisherClient, PullRequest, SubscriberClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from kombu.transport.gcpubsub.errors import ERRORS
from kombu.transport.gcpubsub.options import PubSubOptions
from kombu.utils.loggers import get_logger

logger = get_logger(__name__)

#: These have no type information.
wrap_method: Any = _wrap_method
to_grpc_metadata: Any = _to_grpc_metadata

EMULATOR = "PUBSUB_EMULATOR_HOST"
#: Google's metric for the messages of a subscription that are not acknowledged.
BACKLOG = "pubsub.googleapis.com/subscription/num_undelivered_messages"

#: Seconds a call may take beyond the time the server was asked to wait.
_GRACE = 3.0


class Clients:
    """Makes calls of one project.

    Arguments:
        project: its id.
    """

    def __init__(self, project: str, options: PubSubOptions) -> None:
        self.project = project
        self.options = options
        self.emulated = bool(os.environ.get(EMULATOR))
        self._lock = threading.Lock()
        self._publisher: PublisherClient | None = None
        self._subscriber: SubscriberClient | None = None
        self._monitoring: Any = None
        self._closed = False
        self._limits: dict[str, Any] = {
            "retry": Retry(timeout=options.retry_timeout_seconds),
            "timeout": options.request_timeout,
        }
        self._once: dict[str, Any] = {
            "retry": Retry(timeout=options.request_timeout),
            "timeout": options.request_timeout,
        }

    def topic(self, name: str) -> str:
        return f"projects/{self.project}/topics/{name}"

    def subscription(self, name: str) -> str:
        return f"projects/{self.project}/subscriptions/{name}"

    # ---- clients

    @staticmethod
    def _channel() -> grpc.Channel:
        return grpc.insecure_channel(os.environ[EMULATOR])

    def _require_open(self) -> None:
        """What is late must not open channels that nobody closes any more."""
        if self._closed:
            raise RecoverableConnectionError("the connection to Pub/Sub is closed")

    @property
    def publisher(self) -> PublisherClient:
        with self._lock:
            self._require_open()
            if self._publisher is None:
                with ERRORS.mapped("make a Pub/Sub client"):
                    self._publisher = (
                        PublisherClient(transport=PublisherGrpcTransport(channel=self._channel()))
                        if self.emulated
                        else PublisherClient()
                    )
            return self._publisher

    @property
    def subscriber(self) -> SubscriberClient:
        with self._lock:
            self._require_open()
            if self._subscriber is None:
                with ERRORS.mapped("make a Pub/Sub client"):
                    self._subscriber = (
                        SubscriberClient(transport=SubscriberGrpcTransport(channel=self._channel()))
                        if self.emulated
                        else SubscriberClient()
                    )
            return self._subscriber

    def close(self) -> None:
        with self._lock:
            self._closed = True
            clients = (self._publisher, self._subscriber, self._monitoring)
            self._publisher = self._subscriber = self._monitoring = None
        for client in clients:
            if client is not None:
                client.transport.close()

    def check(self, timeout: float) -> None:
        """Reach the service, or raise a connection error."""
        with ERRORS.mapped("connect to Pub/Sub"):
            request = {"project": f"projects/{self.project}", "page_size": 1}
            self.publisher.list_topics(
                request=request, retry=Retry(timeout=timeout), timeout=timeout
            )

    # ---- topics and subscriptions

    def topic_labels(self, name: str) -> dict[str, str] | None:
        """A topic's labels; ``None`` if there is no such topic."""
        with ERRORS.mapped(f"look up topic {name!r}"):
            try:
                found = self.publisher.get_topic(
                    request={"topic": self.topic(name)}, **self._limits
                )
            except exceptions.NotFound:
                return None
        return dict(found.labels)

    def make_topic(self, name: str, labels: dict[str, str] | None = None) -> None:
        with ERRORS.mapped(f"make topic {name!r}"):
            request = {"name": self.topic(name), "labels": labels or {}}
            try:
                self.publisher.create_topic(request=request, **self._limits)
            except exceptions.AlreadyExists:
                return

    def unlabel_topic(self, name: str) -> None:
        """Take a topic's labels away."""
        with ERRORS.mapped(f"change topic {name!r}"):
            request = {
                "topic": {"name": self.topic(name)},
                "update_mask": {"paths": ["labels"]},
            }
            try:
                self.publisher.update_topic(request=request, **self._limits)
            except exceptions.NotFound:
                return
            except exceptions.InvalidArgument as exc:  # the emulator changes no labels
                logger.debug("labels of topic %r stay: %s", name, exc)

    def delete_topic(self, name: str) -> None:
        with ERRORS.mapped(f"delete topic {name!r}"):
            try:
                self.publisher.delete_topic(request={"topic": self.topic(name)}, **self._limits)
            except exceptions.NotFound:
                return

    def subscriptions(self, topic: str) -> list[str]:
        """Names of a topic's subscriptions; none if there is no such topic."""
        with ERRORS.mapped(f"list the subscriptions of topic {topic!r}"):
            try:
                paths = list(
                    self.publisher.list_topic_subscriptions(
                        request={"topic": self.topic(topic)}, **self._limits
                    )
                )
            except exceptions.NotFound:
                return []
        return [path.rpartition("/")[2] for path in paths]

    def find(self, name: str) -> tuple[str, str] | None:
        """Topic and filter of a subscription; ``None`` if there is no such one."""
        with ERRORS.mapped(f"look up subscription {name!r}"):
            try:
                found = self.subscriber.get_subscription(
                    request={"subscription": self.subscription(name)}, **self._once
                )
            except exceptions.NotFound:
                return None
        return found.topic.rpartition("/")[2], str(found.filter)

    def subscribe(self, name: str, topic: str, filter: str, expires: bool = True) -> None:
        """Make a subscription if it is not there."""
        options = self.options
        request: dict[str, Any] = {
            "name": self.subscription(name),
            "topic": self.topic(topic),
            "ack_deadline_seconds": options.ack_deadline_seconds,
            "expiration_policy": {"ttl": {"seconds": options.expiration_seconds}}
            if expires
            else {},
            "message_retention_duration": {"seconds": options.expiration_seconds},
            "enable_exactly_once_delivery": options.enable_exactly_once_delivery,
            "filter": filter,
        }
        with ERRORS.mapped(f"make subscription {name!r}"):
            try:
                self.subscriber.create_subscription(request=request, **self._limits)
            except exceptions.AlreadyExists:
                return

    def unsubscribe(self, name: str) -> None:
        with ERRORS.mapped(f"delete subscription {name!r}"):
            try:
                self.subscriber.delete_subscription(
                    request={"subscription": self.subscription(name)}, **self._limits
                )
            except exceptions.NotFound:
                return

    # ---- messages

    def publish(self, topic: str, messages: Sequence[dict[str, Any]]) -> None:
        """All of them, or an error."""
        with ERRORS.mapped(f"publish to topic {topic!r}"):
            self.publisher.publish(
                request={"topic": self.topic(topic), "messages": list(messages)}, **self._once
            )

    def pull(self, name: str, limit: int, wait: float) -> list[Any]:
        """Messages of a subscription; waits up to ``wait`` seconds for the first.

        Raises:
            NotFound: there is no such subscription.
        """
        path = self.subscription(name)
        request = PullRequest(subscription=path, max_messages=limit, return_immediately=not wait)
        # Not by the client's own method, which warns of return_immediately each time.
        call: Any = wrap_method(self.subscriber.transport.pull)
        metadata = (to_grpc_metadata((("subscription", path),)),)
        with ERRORS.mapped(f"pull from subscription {name!r}"):
            try:
                answer = call(request, timeout=wait + _GRACE, metadata=metadata)
            except exceptions.DeadlineExceeded:
                if not wait:
                    raise
                return []
        return list(answer.received_messages)

    def acknowledge(self, name: str, ack_ids: Sequence[str]) -> None:
        with ERRORS.mapped(f"acknowledge messages of subscription {name!r}"):
            for window in self._windows(ack_ids):
                self.subscriber.acknowledge(
                    request={"subscription": self.subscription(name), "ack_ids": window},
                    **self._once,
                )

    def hold(self, name: str, ack_ids: Sequence[str], seconds: int) -> None:
        """Set the deadline anew; 0 gives messages back."""
        with ERRORS.mapped(f"set the deadline of messages of subscription {name!r}"):
            for window in self._windows(ack_ids):
                self.subscriber.modify_ack_deadline(
                    request={
                        "subscription": self.subscription(name),
                        "ack_ids": window,
                        "ack_deadline_seconds": seconds,
                    },
                    **self._once,
                )

    def _windows(self, ack_ids: Sequence[str]) -> list[list[str]]:
        size = max(self.options.ack_modify_batch_size, 1)
        return [list(ack_ids[at : at + size]) for at in range(0, len(ack_ids), size)]

    # ---- sizes

    def backlog(self, name: str) -> int:
        """What Cloud Monitoring says, some minutes late; 0 where it says nothing."""
        try:
            from google.cloud import monitoring_v3  # optional: for sizes only
        except ImportError:
            logger.debug("google-cloud-monitoring is not installed: sizes are not known")
            return 0
        now = datetime.now(timezone.utc)
        request = {
            "name": f"projects/{self.project}",
            "filter": f'metric.type = "{BACKLOG}" AND resource.labels.subscription_id = "{name}"',
            "interval": {"start_time": now - timedelta(minutes=5), "end_time": now},
        }
        with ERRORS.mapped(f"size of subscription {name!r}"):
            with self._lock:
                self._require_open()
                if self._monitoring is None:
                    self._monitoring = monitoring_v3.MetricServiceClient()
            for series in self._monitoring.list_time_series(request=request, **self._once):
                for point in series.points:  # the newest first
                    return int(point.value.int64_value)
        return 0
