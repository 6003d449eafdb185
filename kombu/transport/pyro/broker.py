"""The broker process: the in-memory broker's queues, served to other processes by Pyro."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from queue import Empty
from typing import Any
from uuid import uuid4

from amqp.exceptions import RecoverableConnectionError

from kombu.transport.memory.broker import MemoryBroker
from kombu.transport.pyro.catalogue import Catalogue
from kombu.transport.pyro.library import LIBRARY
from kombu.transport.pyro.session import Session
from kombu.transport.virtual.envelope import parse
from kombu.transport.virtual.store import Claim, PartialPutError, Put, QueueFull, QueueSpec
from kombu.utils.json import dumps

logger = logging.getLogger(__name__)

#: Seconds between two looks for leases that ran out.
HOUSEKEEPING_PERIOD = 1.0
#: One thread serves one connection, and a client has two.
MOST_CONNECTIONS = 4096

expose: Callable[[Any], Any] = LIBRARY.api.expose
_Daemon: Any = LIBRARY.api.Daemon

#: A claim as it travels: queue, envelope as JSON, receipt, redelivered, deliveries.
SentClaim = tuple[str, str, int, bool, int]


class BrokerService:
    """What clients call. Messages live in memory: they end with the broker process."""

    def __init__(self, name: str = "kombu.broker") -> None:
        self.queues = MemoryBroker(name)
        self.catalogue = Catalogue()
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}
        self._by_connection: dict[Any, str] = {}
        # For clients of the published package, which claim nothing.
        self._visitor = Session(self.queues, lease=0.0)

    # ---- sessions

    @expose
    def open_session(self, lease: float) -> str:
        """Begin a session that lasts as long as the connection this call came by."""
        token = uuid4().hex
        with self._lock:
            self._sessions[token] = Session(self.queues, lease)
            self._by_connection[LIBRARY.api.current_context.client] = token
        return token

    def disconnected(self, connection: Any) -> None:
        """A connection ended: what its session held returns at once."""
        with self._lock:
            session = self._sessions.pop(self._by_connection.pop(connection, ""), None)
        if session is not None:
            session.close()

    def expire(self) -> None:
        """Give back what clients that are cut off have held for too long."""
        with self._lock:
            sessions = list(self._sessions.values())
        for session in sessions:
            try:
                session.expire()
            except RecoverableConnectionError:
                logger.debug("a session ended while its leases were looked at")

    def _session(self, token: str) -> Session:
        session = self._sessions.get(token)
        if session is None:
            raise LIBRARY.errors.ConnectionClosedError("the broker has ended this session")
        return session

    # ---- queues

    @expose
    def declare(self, queue: str, options: Mapping[str, Any]) -> None:
        spec = QueueSpec(queue, **options)
        self._visitor.store.declare(spec)
        self.catalogue.declare_queue(queue, spec.arguments)

    @expose
    def delete(self, queue: str) -> int:
        self.catalogue.forget_queue(queue)
        return self._visitor.store.delete(queue)

    @expose
    def has_queue(self, queue: str) -> bool:
        return self._visitor.store.exists(queue)

    @expose
    def get_queue_names(self) -> list[str]:
        return list(self.queues.queues)

    @expose
    def size(self, queue: str) -> int:
        return self._visitor.store.size(queue)

    @expose
    def purge(self, queue: str) -> int:
        return self._visitor.store.purge(queue)

    # ---- messages

    @expose
    def put_all(self, puts: Sequence[Sequence[Any]]) -> list[int]:
        """Store messages, ``(queue, JSON, priority, ready_at, expires_at)`` each; which queues
        refused theirs, by index."""
        prepared = [Put(put[0], parse(put[1]) or {}, *put[2:]) for put in puts]
        try:
            self._visitor.store.put(prepared)
        except QueueFull:
            return [0]
        except PartialPutError as exc:
            return list(exc.failed)
        return []

    @expose
    def claim(self, token: str, queues: Sequence[str], limit: int) -> list[SentClaim]:
        session = self._session(token)
        return self._sent(session, session.store.claim(queues, limit))

    @expose
    def sweep(self, token: str, limit: int) -> list[tuple[str, SentClaim]]:
        """What expired or overflowed, held: ``(reason, claim)`` each."""
        session = self._session(token)
        discards = session.store.sweep(limit)
        sent = self._sent(session, [claim for _, claim in discards])
        return [(reason, claim) for (reason, _), claim in zip(discards, sent, strict=True)]

    @staticmethod
    def _sent(session: Session, claims: Sequence[Claim]) -> list[SentClaim]:
        return [
            (claim.queue, dumps(claim.message), receipt, claim.redelivered, claim.deliveries)
            for receipt, claim in session.hold(claims)
        ]

    @expose
    def settle(self, token: str, done: Sequence[int], releases: Sequence[int]) -> None:
        self._session(token).settle(done, releases)

    @expose
    def renew(self, token: str, receipts: Sequence[int]) -> None:
        self._session(token).renew(receipts)

    @expose
    def wait(self, token: str, queues: Sequence[str], timeout: float) -> bool:
        try:
            return self._session(token).store.wait(queues, timeout)
        except RecoverableConnectionError:
            return False  # closed meanwhile: its next call says so

    @expose
    def interrupt(self, token: str) -> None:
        self._session(token).store.interrupt()

    # ---- topology

    @expose
    def bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        self.catalogue.bind(exchange, routing_key, pattern, queue)

    @expose
    def unbind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        self.catalogue.unbind(exchange, routing_key, pattern, queue)

    @expose
    def bindings(self, exchange: str) -> list[tuple[str, str, str]]:
        return self.catalogue.bindings(exchange)

    @expose
    def declare_exchange(self, exchange: str, type: str) -> None:
        self.catalogue.declare_exchange(exchange, type)

    @expose
    def exchange_type(self, exchange: str) -> str | None:
        return self.catalogue.exchange_type(exchange)

    @expose
    def delete_exchange(self, exchange: str) -> None:
        self.catalogue.delete_exchange(exchange)

    @expose
    def queue_arguments(self, queue: str) -> Mapping[str, Any] | None:
        return self.catalogue.queue_arguments(queue)

    # ---- what clients of the published package call besides

    @expose
    def new_queue(self, queue: str) -> None:
        if not self.has_queue(queue):
            self.declare(queue, {})

    @expose
    def put(self, queue: str, message: dict[str, Any]) -> None:
        self._visitor.store.put([Put(queue, message)])

    @expose
    def get(self, queue: str) -> dict[str, Any]:
        """Take a message for good.

        Raises:
            queue.Empty: there is none.
        """
        claims = self._visitor.store.claim([queue], 1)
        if not claims:
            raise Empty
        self._visitor.store.settle(acks=claims)
        return claims[0].message


class Daemon(_Daemon):
    """Serves one broker, and tells it of clients that are gone."""

    def __init__(self, service: BrokerService, host: str, port: int) -> None:
        LIBRARY.config.THREADPOOL_SIZE = max(LIBRARY.config.THREADPOOL_SIZE, MOST_CONNECTIONS)
        LIBRARY.config.SOCK_NODELAY = True
        super().__init__(host=host, port=port)
        self.service = service

    def clientDisconnect(self, conn: Any) -> None:
        """Called by Pyro when a connection has ended."""
        self.service.disconnected(conn)


class BrokerServer:
    """A broker under a name of the name server.

    Arguments:
        name: clients put it into the URL's path.
        host: interface to listen on.
        port: 0: any that is free.
        name_server: its host and port.
        timeout: seconds a call of the name server may take.
        registration_period: seconds between two registrations; a name server that was
            restarted knows nobody.
    """

    def __init__(
        self,
        name: str = "kombu.broker",
        host: str = "localhost",
        port: int = 0,
        name_server: tuple[str, int] = ("localhost", 9090),
        timeout: float = 10.0,
        registration_period: float = 30.0,
    ) -> None:
        self.name = name
        self.service = BrokerService(name)
        self.registration_period = registration_period
        LIBRARY.serializers.register_class_to_dict(Empty, _empty_to_dict)
        self.daemon = Daemon(self.service, host, port)
        self.uri = str(self.daemon.register(self.service, name))
        self._name_server = name_server
        self._timeout = timeout
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=job, name=f"{name}.{job.__name__}", daemon=True)
            for job in (self.daemon.requestLoop, self._keep)
        ]

    def register(self) -> None:
        """Tell the name server.

        Raises:
            PyroError: it can't be reached.
        """
        with LIBRARY.name_server(*self._name_server, self._timeout) as names:
            names.register(self.name, self.uri)

    def start(self) -> None:
        """Register, and serve in threads until :meth:`stop`."""
        self.register()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Serve no more: clients are cut off, messages are gone."""
        self._over.set()
        self.daemon.shutdown()
        for thread in self._threads:
            thread.join(self._timeout)

    def _keep(self) -> None:
        due = time.monotonic() + self.registration_period
        while not self._over.wait(HOUSEKEEPING_PERIOD):
            self.service.expire()
            if time.monotonic() < due:
                continue
            due = time.monotonic() + self.registration_period
            try:
                self.register()
            except (OSError, LIBRARY.errors.PyroError) as exc:
                logger.warning("the name server can't be told of %s: %s", self.name, exc)


def _empty_to_dict(exc: Empty) -> dict[str, Any]:
    # Its own module is _queue, which clients don't know.
    return {"__class__": "queue.Empty", "__exception__": True, "args": (), "attributes": {}}
