"""boto3 clients: endpoint, credentials, assumed roles that are renewed."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, NamedTuple
from uuid import uuid4

import boto3
from amqp.exceptions import RecoverableConnectionError
from botocore.config import Config

from kombu.transport.polling import MOST_POLLS
from kombu.transport.SQS.errors import ERRORS
from kombu.transport.SQS.options import SQSOptions
from kombu.utils.deadlines import time_left


class Credentials(NamedTuple):
    """Keys of one account or assumed role; ``None`` leaves them to boto3's own search."""

    access_key: str | None = None
    secret_key: str | None = None
    session_token: str | None = None

    def __repr__(self) -> str:
        return "<Credentials>"


class BoundedClient:
    """A client whose calls are given up at the deadline of the publish they belong to.

    boto3 knows time limits for a client, not for a call: the call goes on in a thread of its
    own and ends there by the client's limits.
    """

    def __init__(self, client: Any, seconds: float) -> None:
        self._client = client
        self._end = time.monotonic() + seconds

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._client, name)

        def call(**parameters: Any) -> Any:
            answer: Future[Any] = Future()

            def work() -> None:
                try:
                    answer.set_result(operation(**parameters))
                except BaseException as exc:  # noqa: BLE001 - raised where it is waited for
                    answer.set_exception(exc)

            threading.Thread(target=work, name="kombu-sqs-call", daemon=True).start()
            try:
                return answer.result(max(self._end - time.monotonic(), 0.0))
            except FutureTimeoutError:
                if answer.done():
                    raise
                raise RecoverableConnectionError(f"{name}: no answer before the deadline") from None

        return call


def bounded(client: Any) -> Any:
    """The client, with the deadline of what is being done, if there is one."""
    left = time_left()
    return client if left is None else BoundedClient(client, left)


class Clients:
    """Makes and keeps the clients of one connection.

    Arguments:
        hostname, port: from the URL; ``None`` for AWS's own endpoints.
        timeout: seconds to connect, and to wait for an answer beyond a long poll.
    """

    def __init__(
        self,
        options: SQSOptions,
        credentials: Credentials,
        hostname: str | None,
        port: int | None,
        timeout: float,
    ) -> None:
        self.options = options
        self.credentials = credentials
        self.endpoint = self._endpoint(hostname, port)
        self.timeout = timeout
        self._lock = threading.Lock()
        self._clients: dict[tuple[str, str], tuple[Any, float]] = {}

    def _endpoint(self, hostname: str | None, port: int | None) -> str | None:
        options = self.options
        if options.endpoint_url is not None:
            return options.endpoint_url
        if not hostname or (hostname == "localhost" and not port):
            return None
        scheme = "https" if options.is_secure else "http"
        chosen = port or options.port
        return f"{scheme}://{hostname}" + (f":{chosen}" if chosen else "")

    def sqs(self, queue: str) -> Any:
        """The client for this queue: predefined queues may have credentials of their own."""
        definition = self.options.predefined_queues.get(queue, {})
        own = any(definition.get(key) for key in ("access_key_id", "region", "sts_role_arn"))
        return bounded(self._client("sqs", queue if own else "", definition if own else {}))

    def sns(self, exchange: str) -> Any:
        """The client for this exchange's topic."""
        definition = self.options.predefined_exchanges.get(exchange, {})
        own = any(definition.get(key) for key in ("access_key_id", "region"))
        return bounded(self._client("sns", exchange if own else "", definition if own else {}))

    def _client(self, service: str, name: str, definition: Mapping[str, Any]) -> Any:
        with self._lock:
            client, good_until = self._clients.get((service, name), (None, 0.0))
            if client is None or time.monotonic() >= good_until:
                client, good_until = self._make(service, definition)
                self._clients[service, name] = client, good_until
            return client

    def _make(self, service: str, definition: Mapping[str, Any]) -> tuple[Any, float]:
        region = definition.get("region") or self.options.region_name
        credentials = self.credentials
        if definition.get("access_key_id"):
            credentials = Credentials(
                definition["access_key_id"],
                definition.get("secret_access_key"),
                definition.get("session_token"),
            )
        role = definition.get("sts_role_arn") or self.options.sts_role_arn
        good_until = float("inf")
        if role:
            credentials = self._assume(role, credentials, region)
            lifetime = self.options.sts_token_timeout - self.options.sts_token_buffer_time
            good_until = time.monotonic() + max(lifetime, 1)
        with ERRORS.mapped(f"make a client for {service}"):
            return self._boto(service, credentials, region), good_until

    def _boto(self, service: str, credentials: Credentials, region: str) -> Any:
        read_timeout = self.timeout + self.options.wait_time_seconds
        config = Config(
            connect_timeout=self.timeout,
            read_timeout=read_timeout,
            retries={"mode": "standard", "max_attempts": 4},
            max_pool_connections=MOST_POLLS + 16,
        ).merge(Config(**self.options.client_config))
        # A session of its own: boto3's default one is not safe to share between threads.
        return boto3.session.Session().client(
            service,
            region_name=region,
            endpoint_url=self.endpoint,
            use_ssl=self.options.is_secure is not False,
            aws_access_key_id=credentials.access_key,
            aws_secret_access_key=credentials.secret_key,
            aws_session_token=credentials.session_token,
            config=config,
        )

    def _assume(self, role: str, credentials: Credentials, region: str) -> Credentials:
        with ERRORS.mapped("assume the role of option sts_role_arn"):
            answer = self._boto("sts", credentials, region).assume_role(
                RoleArn=role,
                RoleSessionName=f"kombu-{uuid4().hex[:8]}",
                DurationSeconds=self.options.sts_token_timeout,
            )["Credentials"]
        return Credentials(answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"])

    def close(self) -> None:
        with self._lock:
            for client, _good_until in self._clients.values():
                client.close()
            self._clients.clear()
