"""How long until a bad link to RabbitMQ is noticed, and until work goes on after it is mended.

``python -m t.links [URL]`` puts a proxy before the broker (one of its own unless a URL is given),
has it freeze, cut, half-open and throttle under each kind of client, and prints a table. Each
client has one limit configured; what it takes longer than that is marked.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlsplit
from uuid import uuid4

from kombu import Connection, Queue
from kombu.exceptions import BatchPublishError, OperationalError
from kombu.mixins import ConsumerMixin
from kombu.testing.faults import FaultProxy
from t.services.pool import Servers

#: What is configured, in seconds.
HEARTBEAT = 1
TIMEOUT = 1.0
CONNECT_TIMEOUT = 1.0
#: One retry follows another after this.
RETRY = {"max_retries": 20, "interval_start": 0.1, "interval_step": 0.0, "interval_max": 0.1}

#: What a busy machine may add.
SLACK = 1.0
#: After this it counts as never.
NEVER = 20.0

LARGE = "x" * 8_000_000

FAULTS: dict[str, Callable[[FaultProxy], None]] = {
    "half-open": lambda proxy: proxy.set(blackhole=True),
    "freeze": lambda proxy: proxy.set(freeze=True),
    "throttle": lambda proxy: proxy.set(rate=20_000),
    "reset": FaultProxy.reset,
    "close": FaultProxy.close_clients,
}
#: Noticed by a limit, or at once.
SILENT = ("half-open", "freeze")
SUDDEN = ("reset", "close")


class Client:
    """One kind of use.

    Arguments:
        url: by way of the proxy.
        direct: without it.
        queue: name of a queue that is there.
    """

    #: What limits it, how many seconds that is, and the faults that it is limited under.
    limit: ClassVar[str]
    seconds: ClassVar[float]
    faults: ClassVar[tuple[str, ...]] = (*SILENT, *SUDDEN)
    heartbeat: ClassVar[float] = 0
    options: ClassVar[dict[str, Any]] = {}
    #: The longest that it may take to go on once the link works again.
    resumes_in: ClassVar[float] = CONNECT_TIMEOUT + RETRY["interval_max"]

    def __init__(self, url: str, direct: str, queue: str) -> None:
        self.url, self.direct, self.queue = url, direct, queue
        self.connection = self.connect()
        self.lost = (*self.connection.connection_errors, OperationalError)

    def connect(self) -> Any:
        return Connection(
            self.url,
            heartbeat=self.heartbeat,
            connect_timeout=CONNECT_TIMEOUT,
            transport_options=self.options,
        )

    def prepare(self) -> None:
        """Work once, before the fault."""

    def until_noticed(self) -> None:
        """Work until the fault is noticed."""
        raise NotImplementedError

    def resume(self) -> None:
        """Work once more, after it is mended."""
        raise NotImplementedError

    def close(self) -> None:
        self.connection.collect()


class Publisher(Client):
    """publishes without confirms"""

    limit, seconds = "2 heartbeats", 2 * HEARTBEAT
    heartbeat = HEARTBEAT
    body: ClassVar[str] = "x"
    publish: ClassVar[dict[str, Any]] = {}

    def prepare(self) -> None:
        self.producer = self.connection.Producer()
        self.producer.publish("x", routing_key=self.queue)

    def until_noticed(self) -> None:
        end = time.monotonic() + NEVER
        try:
            while time.monotonic() < end:
                self.producer.publish(self.body, routing_key=self.queue, **self.publish)
                time.sleep(0.01)
        except self.lost:
            return

    def resume(self) -> None:
        # With a confirm, so that it has arrived.
        connection = self.connect()
        connection.transport_options = {"confirm_publish": True}
        with connection:
            connection.Producer().publish(
                "x", routing_key=self.queue, retry=True, retry_policy=RETRY, timeout=NEVER
            )


class TimedPublisher(Publisher):
    """publishes 8 MB with publish(timeout)"""

    limit, seconds = "timeout", TIMEOUT
    faults = ("freeze", "throttle", *SUDDEN)
    heartbeat = 0
    body, publish = LARGE, {"timeout": TIMEOUT}


class WriteTimeout(Publisher):
    """publishes 8 MB with write_timeout"""

    limit, seconds = "write_timeout", TIMEOUT
    faults = ("freeze", "throttle", *SUDDEN)
    heartbeat = 0
    body, options = LARGE, {"write_timeout": TIMEOUT}


class Confirmed(Publisher):
    """confirmed publish(timeout)"""

    limit, seconds = "timeout", TIMEOUT
    heartbeat = 0
    options, publish = {"confirm_publish": True}, {"timeout": TIMEOUT}

    def resume(self) -> None:
        self.producer.publish(
            "x", routing_key=self.queue, retry=True, retry_policy=RETRY, timeout=NEVER
        )


class ConfirmTimeout(Confirmed):
    """confirmed publish, confirm_timeout"""

    limit = "confirm_timeout"
    options, publish = {"confirm_publish": True, "confirm_timeout": TIMEOUT}, {}


class ConfirmedWithHeartbeat(Confirmed):
    """confirmed publish, heartbeat only"""

    limit, seconds = "2 heartbeats", 2 * HEARTBEAT
    heartbeat, publish = HEARTBEAT, {}


class Batches(ConfirmTimeout):
    """batch(), confirm_timeout"""

    def until_noticed(self) -> None:
        try:
            while True:
                with self.producer.batch():
                    for _ in range(20):
                        self.producer.publish("x", routing_key=self.queue)
        except (BatchPublishError, *self.lost):
            return


class Declares(Client):
    """declares, operation_timeout"""

    limit, seconds = "operation_timeout", TIMEOUT
    options = {"operation_timeout": TIMEOUT}

    def declare(self, channel: Any) -> None:
        channel.queue_declare(self.queue, passive=True)

    def prepare(self) -> None:
        self.declare(self.connection.default_channel)

    def until_noticed(self) -> None:
        try:
            self.prepare()
        except self.lost:
            return

    def resume(self) -> None:
        self.connection.autoretry(self.declare, **RETRY)()


class Closes(Declares):
    """channel.close(), close_timeout"""

    limit, options = "close_timeout", {"close_timeout": TIMEOUT}
    faults = SILENT

    def until_noticed(self) -> None:
        try:
            self.connection.default_channel.close()
        except self.lost:
            return


class Connects(Declares):
    """connects"""

    #: connect() tries twice, with two seconds between.
    limit, seconds = "2 connect_timeout", 2 * CONNECT_TIMEOUT + 2.0
    faults, options = SILENT, {}

    def prepare(self) -> None:
        self.connection.connect()

    def until_noticed(self) -> None:
        other = self.connect()
        try:
            other.connect()
        except self.lost:
            return
        finally:
            other.collect()


class Reads(Client):
    """drain_events(timeout), 8 MB arriving"""

    limit, seconds = "timeout", TIMEOUT
    faults = ("throttle",)
    #: It stays connected, and the rest of the message comes.
    resumes_in = 5.0

    def prepare(self) -> None:
        self.got: list[Any] = []
        channel = self.connection.default_channel
        channel.basic_consume(self.queue, callback=self.got.append, no_ack=True)

    def until_noticed(self) -> None:
        with Connection(self.direct) as connection:
            connection.Producer().publish(LARGE, routing_key=self.queue)
        try:
            self.connection.drain_events(timeout=TIMEOUT)
        except TimeoutError:
            return

    def resume(self) -> None:
        while not self.got:
            self.connection.drain_events(timeout=NEVER)


class Consumes(Client):
    """ConsumerMixin, heartbeat"""

    limit, seconds = "2 heartbeats", 2 * HEARTBEAT
    heartbeat = HEARTBEAT
    #: One start of consuming a second, and two seconds after the first connect that fails.
    resumes_in = 1.0 + CONNECT_TIMEOUT + 2.0

    def prepare(self) -> None:
        self.worker = Worker(self.connection, self.queue)
        self.thread = threading.Thread(target=self.worker.run, daemon=True)
        self.thread.start()
        assert self.worker.ready.acquire(timeout=NEVER)

    def until_noticed(self) -> None:
        assert self.worker.noticed.acquire(timeout=NEVER)

    def resume(self) -> None:
        assert self.worker.ready.acquire(timeout=NEVER)

    def close(self) -> None:
        self.worker.should_stop = True
        self.thread.join(NEVER)
        super().close()


class Worker(ConsumerMixin):
    """Says when it consumes, and when it has noticed that it doesn't."""

    def __init__(self, connection: Any, queue: str) -> None:
        self.connection, self.queue = connection, queue
        self.ready, self.noticed = threading.Semaphore(0), threading.Semaphore(0)

    def get_consumers(self, Consumer: Callable[..., Any], channel: Any) -> list[Any]:
        queue = Queue(self.queue, no_declare=True)
        return [Consumer([queue], on_message=lambda message: message.ack())]

    def on_consume_ready(self, *args: Any, **kwargs: Any) -> None:
        self.ready.release()

    def consume(self, *args: Any, **kwargs: Any) -> Iterator[None]:
        try:
            yield from super().consume(*args, **kwargs)
        except self.connection_errors:
            self.noticed.release()
            raise


CLIENTS: tuple[type[Client], ...] = (
    Publisher,
    TimedPublisher,
    WriteTimeout,
    Confirmed,
    ConfirmTimeout,
    ConfirmedWithHeartbeat,
    Batches,
    Declares,
    Closes,
    Connects,
    Reads,
    Consumes,
)


@dataclass
class Row:
    """What came of one client under one fault, in seconds."""

    client: str
    fault: str
    limit: str
    bound: float
    noticed: float
    resume_bound: float
    resumed: float

    @property
    def good(self) -> bool:
        """Whether both limits held."""
        return self.noticed <= self.bound + SLACK and self.resumed <= self.resume_bound + SLACK

    def __str__(self) -> str:
        limit = self.limit if self.bound else "at once"
        return (
            f"{self.client:<38}{self.fault:<11}{limit:<19}{self.bound:>6.1f}{self.noticed:>9.2f}"
            f"{self.resume_bound:>9.1f}{self.resumed:>9.2f}{'' if self.good else '  TOO LONG'}"
        )


HEAD = (
    f"{'client':<38}{'fault':<11}{'limited by':<19}{'limit':>6}{'noticed':>9}{'limit':>9}"
    f"{'resumed':>9}"
)


def trial(kind: type[Client], fault: str, url: str) -> Row:
    """Have one client work, fail and go on."""
    address = urlsplit(url)
    queue = f"links-{uuid4().hex[:10]}"
    with Connection(url) as admin, FaultProxy(address.hostname or "", address.port or 0) as proxy:
        admin.default_channel.queue_declare(queue, durable=True, auto_delete=False)
        client = kind(f"amqp://guest:guest@127.0.0.1:{proxy.port}//", url, queue)
        try:
            client.prepare()
            begin = time.monotonic()
            FAULTS[fault](proxy)
            client.until_noticed()
            noticed = time.monotonic()
            if fault == "half-open":
                # Bytes are gone for good, so its connections never work again.
                proxy.reset()
            proxy.heal()
            client.resume()
            resumed = time.monotonic()
        finally:
            proxy.heal()
            client.close()
            admin.default_channel.queue_delete(queue)
    return Row(
        (kind.__doc__ or "").strip(),
        fault,
        kind.limit,
        0.0 if fault in SUDDEN else kind.seconds,
        noticed - begin,
        kind.resumes_in,
        resumed - noticed,
    )


def trials(url: str, at_once: int = 8) -> Iterator[Row]:
    """All clients under all faults that concern them, several at a time, in order."""
    with ThreadPoolExecutor(at_once) as pool:
        cases = [(kind, fault) for kind in CLIENTS for fault in kind.faults]
        yield from pool.map(lambda case: trial(*case, url), cases)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("url", nargs="?", help="of a RabbitMQ; one of its own is started without")
    given = parser.parse_args()
    servers = Servers()
    try:
        print(HEAD)
        bad = 0
        for row in trials(given.url or servers.env("rabbitmq")["RABBITMQ_URL"]):
            print(row, flush=True)
            bad += not row.good
    finally:
        servers.stop()
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
