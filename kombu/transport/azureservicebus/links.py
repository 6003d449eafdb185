"""A queue's links: one sender and one receiver, each used by one thread at a time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, TimeoutError
from typing import Any

from amqp.exceptions import RecoverableConnectionError
from azure.core.exceptions import AzureError
from azure.servicebus import ServiceBusMessage
from azure.servicebus.exceptions import MessageSizeExceededError

from kombu.transport.azureservicebus.errors import ERRORS
from kombu.transport.virtual.errors import message_too_large

logger = logging.getLogger(__name__)

#: Seconds of one receive, after which those that settle have their turn.
SLICE = 0.2
#: Seconds in which a link gives back what was on its way to it.
CLOSING_TIME = 0.2


def opened(make: Callable[[], Any], name: str, timeout: float) -> Any:
    """A link that is open.

    The client itself waits for ever for a server that takes a connection and says nothing.

    Raises:
        RecoverableConnectionError: it did not open in time.
    """
    outcome: Future[Any] = Future()

    def work() -> None:
        try:
            link = make().__enter__()
        except Exception as exc:  # noqa: BLE001 - raised where it is waited for
            if outcome.set_running_or_notify_cancel():
                outcome.set_exception(exc)
        else:
            if outcome.set_running_or_notify_cancel():
                outcome.set_result(link)
            else:
                link.close()

    threading.Thread(target=work, name="kombu-open", daemon=True).start()
    try:
        return outcome.result(timeout)
    except TimeoutError:
        if outcome.cancel():
            text = f"the link to {name!r} did not open in {timeout} s"
            raise RecoverableConnectionError(text) from None
        return outcome.result()


class Sending:
    """The sender of a queue or topic.

    Arguments:
        make: opens one; the client connects when it is first used.
        name: for messages.
        timeout: seconds that may take, and one transfer.
    """

    def __init__(self, make: Callable[[], Any], name: str, timeout: float) -> None:
        self.name = name
        self.timeout = timeout
        self._make = make
        self._lock = threading.Lock()
        self._sender: Any = None

    def send(self, messages: Sequence[ServiceBusMessage]) -> None:
        """Send in as few transfers as the service allows; returns when it has stored them.

        Raises:
            MessageTooLarge: one alone is larger than a transfer may be; none is sent.
        """
        with self._lock, ERRORS.mapped(f"send to {self.name!r}"):
            if self._sender is None:
                self._sender = opened(self._make, self.name, self.timeout)
            batches = [self._sender.create_message_batch()]
            for message in messages:
                try:
                    batches[-1].add_message(message)
                except MessageSizeExceededError:
                    batches.append(self._sender.create_message_batch())
                    self._add_alone(batches[-1], message)
            for batch in batches:
                if len(batch):
                    self._sender.send_messages(batch, timeout=self.timeout)

    def _add_alone(self, batch: Any, message: ServiceBusMessage) -> None:
        try:
            batch.add_message(message)
        except MessageSizeExceededError as exc:
            size = sum(len(part) for part in message.body)
            limit = batch.max_size_in_bytes
            raise message_too_large(size, self.name, limit, "Service Bus") from exc

    def close(self) -> None:
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.close()


class Receiving:
    """The receiver of a queue. The client's receivers are not safe for use by threads.

    Arguments:
        make: opens one.
        name: of the queue, for messages.
        timeout: seconds that may take.
    """

    def __init__(self, make: Callable[[], Any], name: str, timeout: float) -> None:
        self.name = name
        self.timeout = timeout
        self._make = make
        self._lock = threading.Lock()
        #: Whoever settles passes here first, so that a receive can't come before it again.
        self._turn = threading.Lock()
        self._receiver: Any = None
        self._plenty = False
        self._stopped = False

    def _open(self) -> Any:
        if self._receiver is None:
            # Opened here: a receive counts the time that takes against its own.
            self._receiver = opened(self._make, self.name, self.timeout)
        return self._receiver

    def receive(self, limit: int, wait: float) -> Sequence[Any]:
        """Up to ``limit`` messages; none after ``wait`` seconds, or when closed.

        Where the last receive came back short, one message only is asked for: that comes at
        once, while the client waits for company of several; and what was asked for and did not
        come would go to this receiver later, though nobody here waits for it any more.
        """
        deadline = time.monotonic() + wait
        while not self._stopped:
            wanted = limit if self._plenty else 1
            left = max(deadline - time.monotonic(), 0.01)
            with self._turn:
                pass
            with self._lock, ERRORS.mapped(f"receive from queue {self.name!r}"):
                if self._stopped:
                    break
                received: Sequence[Any] = self._open().receive_messages(
                    max_message_count=wanted, max_wait_time=min(left, SLICE)
                )
            self._plenty = len(received) == wanted
            if received or time.monotonic() >= deadline:
                return received
        return ()

    def call(self, doing: str, use: Callable[[Any], None]) -> None:
        """Do something with the receiver, soon."""
        with self._turn, self._lock, ERRORS.mapped(doing):
            use(self._open())

    def stop(self) -> None:
        """Receive no more; what is held can still be settled."""
        self._stopped = True

    def close(self) -> None:
        self._stopped = True
        with self._turn, self._lock:
            receiver, self._receiver = self._receiver, None
            if receiver is not None:
                receiver.close()


def close_all(links: Iterable[Sending | Receiving]) -> None:
    """Close links side by side, and go on when they had time to give back what was on its way.

    The client's own close takes up to a second more, for a thread of its own that sleeps; the
    interpreter waits for that when it ends.
    """
    closing = [threading.Thread(target=_close, args=(link,), name="kombu-close") for link in links]
    for thread in closing:
        thread.start()
    deadline = time.monotonic() + CLOSING_TIME
    for thread in closing:
        thread.join(max(deadline - time.monotonic(), 0.0))


def _close(link: Sending | Receiving) -> None:
    try:
        link.close()
    except (AzureError, OSError) as exc:
        logger.debug("a link to %r was not closed in order: %s", link.name, exc)
