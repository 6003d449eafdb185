"""What the suite's tests hold a transport with: connections, names, waiting, cleanup."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import uuid4

from kombu import Connection, Exchange, Queue

#: Seconds of one look for events while a condition is waited for.
_TICK = 0.05


class Harness(AbstractContextManager["Harness"]):
    """One transport under test. Closes and deletes in the end what it made.

    Arguments:
        url: of the broker.
        transport_options: for every connection.
        connection_options: further arguments of :class:`kombu.Connection`.
        strict: run everything with the transport option ``strict``.
        always_strict: the transport has no other way and does not take the option.
        prompt: seconds within which what needs no waiting must have happened.
        quiet: seconds of silence after which nothing more is expected to come.
        lease: seconds of a lease, where the transport has such; keep it short by its options.
        given_back: seconds within which a killed consumer's messages must be back.
        restart: restarts the server and returns once it takes connections.
        kwargs_queue: further arguments of every :class:`kombu.Queue` that is made.
    """

    def __init__(
        self,
        url: str,
        *,
        transport_options: Mapping[str, Any] | None = None,
        connection_options: Mapping[str, Any] | None = None,
        strict: bool = False,
        always_strict: bool = False,
        prompt: float = 5.0,
        quiet: float = 0.2,
        lease: float = 0.2,
        given_back: float = 15.0,
        restart: Callable[[], None] | None = None,
        kwargs_queue: Mapping[str, Any] | None = None,
    ) -> None:
        self.url = url
        self.transport_options = dict(transport_options or {})
        if strict and not always_strict:
            self.transport_options["strict"] = True
        self.connection_options = dict(connection_options or {})
        self.always_strict = always_strict
        self.prompt = prompt
        self.quiet = quiet
        self.lease = lease
        self.given_back = given_back
        self.restart = restart
        self.kwargs_queue = dict(kwargs_queue or {})
        self._connections: list[Any] = []
        self._processes: list[subprocess.Popen[str]] = []
        self._queues: list[str] = []
        self._exchanges: list[str] = []
        self._run = uuid4().hex[:8]
        self._names = 0

    # ---- making things

    def connection(self, *, strict: bool | None = None, **transport_options: Any) -> Any:
        """A new, open connection; ``strict`` overrides the harness's own mode."""
        options = {**self.transport_options, **transport_options}
        if strict is not None and not self.always_strict:
            options["strict"] = strict
        connection = Connection(self.url, transport_options=options, **self.connection_options)
        self._connections.append(connection)
        connection.connect()
        return connection

    def name(self, hint: str = "name") -> str:
        """A name that nothing on the server has yet."""
        self._names += 1
        return f"kombu-{self._run}-{hint}-{self._names}"

    def named_queue(self, name: str, exchange: Any = None, **options: Any) -> Any:
        """An unbound :class:`kombu.Queue` that cleanup deletes; ``exchange`` default: none."""
        self._queues.append(name)
        options = {"durable": False, **self.kwargs_queue, **options}
        return Queue(name, **({} if exchange is None else {"exchange": exchange}), **options)

    def queue(self, channel: Any, exchange: Any = None, **options: Any) -> Any:
        """A new queue, declared and bound on ``channel``."""
        queue = self.named_queue(self.name("queue"), exchange, **options)(channel)
        queue.declare()
        return queue

    def exchange(self, channel: Any, type: str = "direct", **options: Any) -> Any:
        """A new exchange, declared on ``channel``."""
        exchange = self.named_exchange(self.name(type), type, **options)(channel)
        exchange.declare()
        return exchange

    def named_exchange(self, name: str, type: str = "direct", **options: Any) -> Any:
        """An undeclared :class:`kombu.Exchange` that cleanup deletes."""
        self._exchanges.append(name)
        return Exchange(name, type, **{"durable": False, **options})

    def put(self, channel: Any, queue: Any, *bodies: Any, **options: Any) -> None:
        """Publish bodies to one queue through the default exchange."""
        producer = channel.Producer()
        for body in bodies:
            producer.publish(body, exchange="", routing_key=queue.name, **options)

    # ---- waiting

    def eventually(self, condition: Callable[[], Any], what: str, timeout: float = 0.0) -> Any:
        """Wait until ``condition`` returns something true, and return that."""
        deadline = time.monotonic() + (timeout or self.prompt)
        while True:
            if value := condition():
                return value
            assert time.monotonic() < deadline, f"not within the time: {what}"
            time.sleep(0.01)

    def get(self, queue: Any, timeout: float = 0.0, **options: Any) -> Any:
        """The next message of a bound queue, waiting for it."""
        return self.eventually(lambda: queue.get(**options), f"a message in {queue.name}", timeout)

    def take(self, queue: Any, count: int, **options: Any) -> list[Any]:
        """The payloads of the next ``count`` messages, acknowledged."""
        payloads = []
        for _ in range(count):
            message = self.get(queue, **options)
            payloads.append(message.payload)
            message.ack()
        return payloads

    def nothing_in(self, queue: Any) -> None:
        """Assert that no message comes out of the queue, now or shortly."""
        deadline = time.monotonic() + self.quiet
        while time.monotonic() < deadline:
            message = queue.get()
            assert message is None, f"unexpected in {queue.name}: {message.body!r}"
            time.sleep(0.02)

    def size(self, queue: Any) -> int:
        """Ready messages of a bound queue, by passive declaration."""
        return int(queue.queue_declare(passive=True)[1])

    def has_size(self, queue: Any, size: int, timeout: float = 0.0) -> None:
        """Wait until a queue has so many ready messages."""
        self.eventually(lambda: self.size(queue) == size, f"{queue.name} of size {size}", timeout)

    def until(self, condition: Callable[[], Any], *connections: Any, timeout: float = 0.0) -> None:
        """Drain the connections' events in turn until the condition holds."""
        deadline = time.monotonic() + (timeout or self.prompt)
        while not condition():
            assert time.monotonic() < deadline, "what was waited for did not come in time"
            for connection in connections:
                with suppress(TimeoutError):
                    connection.drain_events(timeout=_TICK)

    def silence(self, *connections: Any) -> None:
        """Drain the connections' events for a while, so that what would come has come."""
        deadline = time.monotonic() + self.quiet
        while time.monotonic() < deadline:
            for connection in connections:
                with suppress(TimeoutError):
                    connection.drain_events(timeout=_TICK)

    # ---- other processes

    def process(self, job: str, queue: str = "", **arguments: Any) -> subprocess.Popen[str]:
        """Start a job of ``processes.py``; it notes what it does as lines on its output."""
        script = Path(__file__).with_name("processes.py")
        process = subprocess.Popen(
            [
                *self.python(),
                "-c",
                f"import runpy; runpy.run_path({str(script)!r}, {{}}, '__main__')",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._processes.append(process)
        assert process.stdin is not None
        task = {
            "job": job,
            "url": self.url,
            "transport_options": self.transport_options,
            "connection_options": self.connection_options,
            "queue": queue,
            **arguments,
        }
        process.stdin.write(json.dumps(task) + "\n")
        process.stdin.flush()
        return process

    def python(self) -> Sequence[str]:
        """The command that starts other processes."""
        return [sys.executable]

    def lines(self, process: subprocess.Popen[str], count: int) -> list[Any]:
        """The next ``count`` notes of a process."""
        assert process.stdout is not None
        notes = []
        for _ in range(count):
            line = process.stdout.readline()
            assert line, f"the process ended: {process.wait(self.prompt)}"
            notes.append(json.loads(line))
        return notes

    def kill_consumer(self, queue: Any, take: int, prefetch: int = 0) -> list[Any]:
        """Let a real process take messages, SIGKILL it, and return the bodies that it noted."""
        process = self.process("consume", queue.name, prefetch=prefetch or take)
        taken = self.lines(process, take)
        process.send_signal(signal.SIGKILL)
        process.wait(self.prompt)
        return taken

    # ---- cleanup

    def close(self) -> None:
        """Stop the processes, delete what was made, close the connections."""
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.communicate(timeout=self.prompt)
        for connection in self._connections:
            # A test may have broken its connection on purpose.
            with suppress(Exception):
                connection.close()
        if self._queues or self._exchanges:
            self._delete()

    def _delete(self) -> None:
        with Connection(
            self.url, transport_options=self.transport_options, **self.connection_options
        ) as connection:
            self._delete_each(connection, self._queues, "queue_delete")
            self._delete_each(connection, self._exchanges, "exchange_delete")

    @staticmethod
    def _delete_each(connection: Any, names: Iterable[str], verb: str) -> None:
        channel = connection.channel()
        for name in names:
            try:
                getattr(channel, verb)(name)
            except connection.channel_errors:
                channel = connection.channel()
        channel.close()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Inbox:
    """A consumer that keeps what it receives.

    Arguments:
        queues: unbound or bound queues.
        prefetch: messages that may be unacknowledged at once; 0: any number.
        ack: acknowledge each message at once.
        no_ack: the broker needs no acknowledgements.
        per_channel: ``prefetch`` holds for all consumers of the channel together.
    """

    def __init__(
        self,
        channel: Any,
        *queues: Any,
        prefetch: int = 0,
        ack: bool = False,
        no_ack: bool = False,
        per_channel: bool = False,
        **options: Any,
    ) -> None:
        self.messages: list[Any] = []
        self.ack = ack
        self.consumer = channel.Consumer(
            [queue(channel) for queue in queues],
            on_message=self._received,
            no_ack=no_ack,
            auto_declare=False,
            **options,
        )
        if prefetch:
            self.consumer.qos(prefetch_count=prefetch, apply_global=per_channel)
        self.consumer.consume()

    def _received(self, message: Any) -> None:
        self.messages.append(message)
        if self.ack:
            message.ack()

    @property
    def payloads(self) -> list[Any]:
        """What came, in the order in which it came."""
        return [message.payload for message in self.messages]

    def __len__(self) -> int:
        return len(self.messages)

    def has(self, count: int) -> Callable[[], bool]:
        """Condition: at least so many messages have come."""
        return lambda: len(self.messages) >= count

    def cancel(self) -> None:
        """Receive no more."""
        self.consumer.cancel()
