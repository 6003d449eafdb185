"""An in-memory broker for one test: recorded, with faults and time at the test's command."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any
from weakref import WeakSet

from amqp.exceptions import RecoverableConnectionError

from kombu.connection import Connection
from kombu.messaging import Producer
from kombu.testing.records import WITHIN, Record, Records
from kombu.transport import memory
from kombu.transport.memory import MemoryBroker, MemoryStore
from kombu.transport.memory.broker import registry
from kombu.transport.virtual.store import Claim, Discard, PartialPutError, Put
from kombu.utils.uuid import uuid


class Clock:
    """Lets time pass on a broker without sleeping.

    Arguments:
        broker: whose time it is.
    """

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self.passed = 0.0

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass: messages expire, delayed ones become due, queues outlive their use.

        The time of the machine is untouched and goes on as well: use times of seconds, not of
        milliseconds, for what shall not happen yet.
        """
        if seconds < 0:
            raise ValueError("time does not go back")
        self._broker.age(seconds)
        self.passed += seconds


class Faults:
    """What goes wrong on a broker, as a test orders it. Safe for use by threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stores: WeakSet[RecordedStore] = WeakSet()
        self._publishes = 0
        self._connects = 0
        self._error: BaseException | None = None
        self._arrives = False

    def fail_publishes(
        self, count: int = 1, error: BaseException | None = None, arrives: bool = False
    ) -> None:
        """Let the next ``count`` publishes fail.

        Arguments:
            error: what they raise; by default a recoverable connection error.
            arrives: the message is stored nevertheless, as when a connection is lost between
                a publish and its confirm.
        """
        with self._lock:
            self._publishes, self._error, self._arrives = count, error, arrives

    def refuse_connections(self, count: int = 1) -> None:
        """Let the next ``count`` attempts to connect fail."""
        with self._lock:
            self._connects = count

    def drop_connections(self) -> int:
        """Cut all connections, as a broker that goes down; how many there were.

        What they held is back in its queues at once, marked as redelivered, as after the lease
        of a dead consumer. Whoever uses a cut connection gets a recoverable connection error,
        a consumer that waits too.
        """
        with self._lock:
            stores = list(self._stores)
        open_stores = [store for store in stores if store.is_open]
        for store in open_stores:
            store.close()
        return len(open_stores)

    # ---- for the stores

    def connecting(self, store: RecordedStore) -> None:
        """A store connects.

        Raises:
            RecoverableConnectionError: as ordered.
        """
        with self._lock:
            if self._connects > 0:
                self._connects -= 1
                raise RecoverableConnectionError("refused by the test (refuse_connections)")
            self._stores.add(store)

    def publishing(self) -> tuple[BaseException, bool] | None:
        """What the publish at hand shall raise, and whether it arrives; ``None``: all is well."""
        with self._lock:
            if self._publishes <= 0:
                return None
            self._publishes -= 1
            error = self._error or RecoverableConnectionError("failed by the test (fail_publishes)")
            return error, self._arrives


class RecordedStore(MemoryStore):
    """The store of one connection to a test's broker."""

    def __init__(self, broker: MemoryBroker, test: TestBroker) -> None:
        super().__init__(broker)
        self._test = test
        self.is_open = True
        test.faults.connecting(self)

    def put(self, puts: Sequence[Put]) -> None:
        ordered = self._test.faults.publishing()
        if ordered is not None and not ordered[1]:
            raise ordered[0]
        try:
            super().put(puts)
        except PartialPutError as exc:
            self._note(put for index, put in enumerate(puts) if index not in exc.failed)
            raise
        self._note(puts)
        if ordered is not None:
            raise ordered[0]

    def _note(self, puts: Iterable[Put]) -> None:
        for put in puts:
            self._test.publishes.add(Record.of(put.message, put.queue))

    def settle(
        self,
        acks: Sequence[Claim] = (),
        releases: Sequence[Claim] = (),
        rejects: Sequence[Claim] = (),
    ) -> None:
        super().settle(acks, releases, rejects)
        for claim in acks:
            self._test.acks.add(Record.of(claim.message, claim.queue))

    def sweep(self, limit: int) -> list[Discard]:
        return super().sweep(limit) if self.is_open else []

    def close(self) -> None:
        self.is_open = False
        super().close()


class TestBroker:
    """A broker of its own for one test; a context manager that forgets it at the end.

    The fixtures of :mod:`kombu.testing.plugin` are made of it; it can be used without pytest.
    """

    __test__ = False  # no class of tests, whatever its name

    def __init__(self) -> None:
        self.vhost = f"test-{uuid()}"
        #: The URL that leads to it, for applications that connect by themselves.
        self.url = f"memory://localhost/{self.vhost}"
        self.publishes = Records("published")
        self.acks = Records("consumed")
        self.faults = Faults()
        self._broker = registry.broker(self.vhost)
        self.clock = Clock(self._broker)
        self._connections: list[Connection] = []
        memory.stores[self.vhost] = lambda broker: RecordedStore(broker, self)

    def connection(self, **options: Any) -> Connection:
        """One more connection to it, released at the end of the test.

        Arguments:
            **options: as of :class:`kombu.Connection`.
        """
        connection = Connection(self.url, **options)
        self._connections.append(connection)
        return connection

    def size(self, queue: str) -> int:
        """How many messages are ready in a queue."""
        known = self._broker.queues.get(queue)
        return len(known.messages) if known is not None else 0

    def published(
        self, *, times: int | None = None, within: float = WITHIN, **expected: Any
    ) -> list[Record]:
        """Assert that messages like this were published and put into a queue.

        Arguments:
            times: how many exactly, counting each queue; ``None``: at least one.
            within: seconds to wait for other threads.
            **expected: ``body``, ``exchange``, ``routing_key``, ``queue``, ``headers``,
                ``properties``; of the last two, what is named counts. ``unittest.mock.ANY``
                fits everything.

        Returns:
            the messages.

        Raises:
            AssertionError: shows what was published instead.
        """
        __tracebackhide__ = True
        return self.publishes.expect(expected, times, within)

    def consumed(
        self, *, times: int | None = None, within: float = WITHIN, **expected: Any
    ) -> list[Record]:
        """Assert that messages like this were received and acknowledged; see :meth:`published`."""
        __tracebackhide__ = True
        return self.acks.expect(expected, times, within)

    def close(self) -> None:
        """Release its connections and forget it."""
        for connection in self._connections:
            connection.release()
        memory.stores.pop(self.vhost, None)
        registry.forget(self.vhost)

    def __enter__(self) -> TestBroker:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.close()


class RecordingProducer(Producer):
    """A producer that keeps what it published, also what no queue took.

    Arguments: as of :class:`kombu.Producer`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.records = Records("published")
        super().__init__(*args, **kwargs)

    def publish(
        self,
        body: Any,
        routing_key: str | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """As :meth:`kombu.Producer.publish`; recorded once it has returned."""
        result = super().publish(body, routing_key, *args, **kwargs)
        used = kwargs.pop("exchange", None) or self.exchange
        self.records.add(
            Record(
                body,
                str(getattr(used, "name", used) or ""),
                self.routing_key if routing_key is None else routing_key,
                None,
                dict(kwargs.pop("headers", None) or {}),
                kwargs,
            )
        )
        return result

    def published(
        self, *, times: int | None = None, within: float = WITHIN, **expected: Any
    ) -> list[Record]:
        """Assert that this producer published messages like this; see :class:`TestBroker`."""
        __tracebackhide__ = True
        return self.records.expect(expected, times, within)
