"""One AMQP 1.0 connection, owned by one thread: proton's objects must not be shared.

Other threads hand over functions (:meth:`Wire.run`) and wait for what becomes of them.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, NamedTuple
from uuid import uuid4

from proton import Delivery, Endpoint, Message, SSLDomain
from proton.handlers import MessagingHandler
from proton.reactor import ApplicationEvent, Container, EventInjector

from kombu.transport.qpid.errors import link_error, lost

logger = logging.getLogger(__name__)

#: Seconds after which a message that arrived and that nobody took is given back.
KEPT = 1.0
#: Seconds in which more messages of a batch must follow one another.
GAP = 0.005


class Address(NamedTuple):
    """Where to connect, and as whom; the password is not shown."""

    host: str
    port: int
    user: str | None
    password: str | None
    virtual_host: str | None = None
    mechanisms: str | None = None
    tls: bool = False
    ca_certs: str | None = None
    heartbeat: float | None = None
    timeout: float = 5.0

    def __repr__(self) -> str:
        return f"<Address {self.host}:{self.port}>"


class Batch:
    """Messages on their way to a queue; done when the server has answered for each."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self.waiting = deque(enumerate(messages))
        self.unsettled: dict[Any, int] = {}
        self.failed: dict[int, BaseException] = {}
        self.future: Future[dict[int, BaseException]] = Future()

    def finish(self) -> None:
        if not self.waiting and not self.unsettled and not self.future.done():
            self.future.set_result(self.failed)

    def fail(self, error: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Inlet:
    """Messages that arrived from one address, and the credit that is out for more."""

    def __init__(self, link: Any) -> None:
        self.link = link
        self.arrived: deque[tuple[float, Delivery, Message]] = deque()


class Wire(MessagingHandler):
    """A connection with its links.

    Arguments:
        timeout: seconds for any one operation.
    """

    def __init__(self, address: Address, timeout: float) -> None:
        super().__init__(prefetch=0, auto_accept=False, auto_settle=False)
        self.address = address
        self.timeout = timeout
        self.error: BaseException | None = None
        self.condition = threading.Condition()
        self._opened: Future[None] = Future()
        self._senders: dict[str, Any] = {}
        self._batches: dict[str, deque[Batch]] = {}
        self._inlets: dict[str, Inlet] = {}
        self._purposes: dict[str, str] = {}
        self._injector = EventInjector()
        self._container = Container(self)
        self._connection: Any = None
        self._closing = False
        #: Guards the injector's pipe, whose numbers stand for something else when it is closed.
        self._gate = threading.Lock()
        self._over = False
        self._thread = threading.Thread(target=self._loop, name="kombu-amqp10", daemon=True)

    # ---- for other threads

    def open(self) -> None:
        """Connect.

        Raises:
            RecoverableConnectionError: it can't be done, or not in time.
        """
        self._thread.start()
        try:
            self._opened.result(self.address.timeout)
        except FutureTimeout:
            error = lost(f"{self.address!r} did not answer in {self.address.timeout} s")
            self._stop()
            self._fail(error)
            raise error from None

    def run(self, function: Callable[[], Any], wait: bool = True) -> Any:
        """Have the thread call ``function``; its result, where that is waited for."""
        if self.error is not None:
            raise lost(self.error)
        future: Future[Any] = Future()
        if not self._tell(ApplicationEvent("call", subject=(function, future))):
            raise lost(self.error or "its thread ended")
        if not wait:
            return None
        try:
            return future.result(self.timeout)
        except FutureTimeout:
            raise lost(f"no answer in {self.timeout} s") from None

    def send(self, target: str, messages: Sequence[Message]) -> dict[int, BaseException]:
        """Send to an address and wait until the server has answered for all.

        Returns:
            index -> error of those that it did not accept.
        """
        batch = Batch(messages)
        self.run(lambda: self._start(target, batch), wait=False)
        if self.error is not None:
            batch.fail(lost(self.error))
        try:
            return batch.future.result(self.timeout)
        except FutureTimeout:
            raise lost(f"{target}: not confirmed in {self.timeout} s") from None

    def receive(self, source: str, limit: int, wait: float) -> list[tuple[Delivery, Message]]:
        """Up to ``limit`` messages of an address; none after ``wait`` seconds."""
        deadline = time.monotonic() + wait
        self.run(lambda: self._demand(source, limit))
        taken: list[tuple[Delivery, Message]] = []
        with self.condition:
            while True:
                inlet = self._inlets.get(source)
                while inlet is not None and inlet.arrived and len(taken) < limit:
                    _, delivery, message = inlet.arrived.popleft()
                    taken.append((delivery, message))
                left = deadline - time.monotonic()
                if self._closing or self.error is not None or len(taken) >= limit or left <= 0:
                    break
                heard = self.condition.wait(min(GAP, left) if taken else left)
                if taken and not heard:
                    break
        if self.error is not None and not taken and not self._closing:
            raise lost(self.error)
        return taken

    def answer(self, deliveries: Sequence[tuple[Delivery, Any]]) -> None:
        """Answer for deliveries, each with its outcome; returns when it is on its way."""

        def settle() -> None:
            for delivery, outcome in deliveries:
                delivery.update(outcome)
                delivery.settle()

        self.run(settle)

    def forget(self, address: str) -> None:
        """Close the links of an address: it is gone."""

        def forget() -> None:
            for link in (self._senders.pop(address, None), self._drop_inlet(address)):
                if link is not None:
                    link.session.close()

        self.run(forget)

    def interrupt(self) -> None:
        """Let those that receive go; the rest goes on."""
        self._closing = True
        with self.condition:
            self.condition.notify_all()

    def close(self) -> None:
        self.interrupt()
        if self.error is None and self._thread.is_alive():
            self.run(self._close, wait=False)
            self._thread.join(self.timeout)
        self.error = self.error or lost("closed")
        self._stop()

    def _stop(self) -> None:
        """Have the thread end, also where the server does not answer any more."""
        self._tell(ApplicationEvent("call", subject=(self._container.stop, Future())))

    def _tell(self, event: ApplicationEvent | None) -> bool:
        """Hand an event to the thread, or that no more will follow; whether it is there."""
        with self._gate:
            if self._over:
                return False
            if event is None:
                self._injector.close()
            else:
                self._injector.trigger(event)
            return True

    # ---- in the thread

    def _loop(self) -> None:
        try:
            self._container.run()
        except Exception as exc:  # noqa: BLE001 - reported to whoever waits
            self._fail(exc)
        self._fail(lost("its thread ended"))
        with self._gate:
            self._over = True
            for end in self._injector.pipe:  # proton itself never closes them
                os.close(end)

    def on_start(self, event: Any) -> None:
        address = self.address
        self._container.selectable(self._injector)
        options: dict[str, Any] = {
            "reconnect": False,
            "allowed_mechs": address.mechanisms,
            "virtual_host": address.virtual_host and f"vhost:{address.virtual_host}",
        }
        if address.user:
            options.update(user=address.user, password=address.password or "")
        if address.heartbeat:
            options["heartbeat"] = address.heartbeat
        if address.tls:
            domain = SSLDomain(SSLDomain.MODE_CLIENT)
            if address.ca_certs:
                domain.set_trusted_ca_db(address.ca_certs)
            domain.set_peer_authentication(SSLDomain.VERIFY_PEER_NAME)
            options["ssl_domain"] = domain
        scheme = "amqps" if address.tls else "amqp"
        self._container.container_id = f"kombu-{os.getpid()}-{uuid4().hex[:8]}"
        self._connection = self._container.connect(
            f"{scheme}://{address.host}:{address.port}", **options
        )
        self._container.schedule(KEPT / 2, self)

    def on_call(self, event: Any) -> None:
        function, future = event.subject
        try:
            future.set_result(function())
        except Exception as exc:  # noqa: BLE001 - handed to whoever waits
            future.set_exception(exc)

    def on_connection_opened(self, event: Any) -> None:
        if not self._opened.done():
            self._opened.set_result(None)

    def on_timer_task(self, event: Any) -> None:
        """Give back what arrived and nobody took: its consumer has gone, or has no credit."""
        if self._closing or self.error is not None:
            return
        self._container.schedule(KEPT / 2, self)
        limit = time.monotonic() - KEPT
        with self.condition:
            for inlet in self._inlets.values():
                while inlet.arrived and inlet.arrived[0][0] < limit:
                    _, delivery, _ = inlet.arrived.popleft()
                    delivery.update(Delivery.RELEASED)
                    delivery.settle()

    # ---- sending

    def _start(self, target: str, batch: Batch) -> None:
        self._batches.setdefault(target, deque()).append(batch)
        if target not in self._senders:
            session = self._connection.session()
            session.open()
            sender = self._container.create_sender(session, target, name=uuid4().hex)
            self._senders[target] = sender
            self._purposes[sender.name] = target
        self._push(target)

    def _push(self, target: str) -> None:
        sender, batches = self._senders.get(target), self._batches.get(target, deque())
        if sender is None:
            return
        for batch in batches:
            while batch.waiting and sender.credit > 0:
                index, message = batch.waiting.popleft()
                delivery = sender.send(message)
                batch.unsettled[delivery.tag] = index

    def on_sendable(self, event: Any) -> None:
        self._push(self._purposes.get(event.link.name, ""))

    def _answered(self, event: Any, error: BaseException | None = None) -> None:
        target = self._purposes.get(event.link.name, "")
        batches = self._batches.get(target, deque())
        for batch in batches:
            index = batch.unsettled.pop(event.delivery.tag, None)
            if index is not None:
                if error is not None:
                    batch.failed[index] = error
                batch.finish()
                break
        event.delivery.settle()
        while batches and batches[0].future.done():
            batches.popleft()
        self._push(target)

    def on_accepted(self, event: Any) -> None:
        self._answered(event)

    def on_rejected(self, event: Any) -> None:
        condition = event.delivery.remote.condition
        why = "" if condition is None else f"{condition.name}: {condition.description}"
        self._answered(event, link_error("send", "amqp:rejected", why))

    def on_released(self, event: Any) -> None:
        self._answered(event, link_error("send", "amqp:released", "not stored"))

    # ---- receiving

    def _demand(self, source: str, limit: int) -> None:
        inlet = self._inlets.get(source)
        if inlet is None:
            session = self._connection.session()
            session.open()
            link = self._container.create_receiver(session, source, name=uuid4().hex)
            with self.condition:
                inlet = self._inlets[source] = Inlet(link)
            self._purposes[link.name] = source
        short = limit - inlet.link.credit - len(inlet.arrived)
        if short > 0:
            inlet.link.flow(short)

    def on_message(self, event: Any) -> None:
        with self.condition:
            inlet = self._inlets.get(self._purposes.get(event.link.name, ""))
            if inlet is None:
                event.delivery.update(Delivery.RELEASED)
                event.delivery.settle()
                return
            inlet.arrived.append((time.monotonic(), event.delivery, event.message))
            self.condition.notify_all()

    def _drop_inlet(self, source: str) -> Any:
        with self.condition:
            inlet = self._inlets.pop(source, None)
            self.condition.notify_all()
        return None if inlet is None else inlet.link

    # ---- ends

    def on_link_error(self, event: Any) -> None:
        self._ended(event.link, event.link.remote_condition)
        event.link.close()

    def on_link_closed(self, event: Any) -> None:
        self._ended(event.link, event.link.remote_condition)

    def on_session_error(self, event: Any) -> None:
        self._session_ended(event.session)
        event.session.close()

    def on_session_closed(self, event: Any) -> None:
        self._session_ended(event.session)

    def _session_ended(self, session: Any) -> None:
        links = [*self._senders.values(), *(inlet.link for inlet in self._inlets.values())]
        for link in links:
            if link.session == session:
                self._ended(link, session.remote_condition)

    def _ended(self, link: Any, condition: Any) -> None:
        """RabbitMQ ends a whole session for what concerns one link: each has one of its own."""
        address = self._purposes.pop(link.name, None)
        if address is None:
            return
        name, description = ("amqp:detached", "closed by the server")
        if condition is not None:
            name, description = str(condition.name), str(condition.description)
        error = link_error(address, name, description)
        if self._senders.get(address) == link:
            del self._senders[address]
            for batch in self._batches.pop(address, ()):
                batch.fail(error)
        inlet = self._inlets.get(address)
        if inlet is not None and inlet.link == link:
            self._drop_inlet(address)

    def on_connection_error(self, event: Any) -> None:
        self._fail(lost(event.connection.remote_condition))

    def on_connection_closed(self, event: Any) -> None:
        self._fail(lost("closed by the server"))

    def on_transport_error(self, event: Any) -> None:
        self._fail(lost(event.transport.condition))

    def on_disconnected(self, event: Any) -> None:
        self._fail(lost("disconnected"))

    def _fail(self, error: BaseException) -> None:
        if self.error is None:
            self.error = error
        if not self._opened.done():
            self._opened.set_exception(error)
        for batches in self._batches.values():
            for batch in batches:
                batch.fail(error)
        self._batches.clear()
        with self.condition:
            self.condition.notify_all()
        self._tell(None)

    def _close(self) -> None:
        with self.condition:
            for inlet in self._inlets.values():
                for _, delivery, _message in inlet.arrived:
                    delivery.update(Delivery.RELEASED)
                    delivery.settle()
                inlet.arrived.clear()
        if self._connection is not None and self._connection.state & Endpoint.LOCAL_ACTIVE:
            self._connection.close()  # the thread ends when the server has closed, too
        else:
            self._tell(None)
