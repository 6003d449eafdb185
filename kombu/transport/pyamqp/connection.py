"""A connection to an AMQP 0-9-1 broker."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any

import amqp
from amqp import spec
from amqp.exceptions import RecoverableConnectionError, UnexpectedFrame
from amqp.method_framing import frame_handler as default_frame_handler
from amqp.method_framing import frame_writer as default_frame_writer

from ...log import get_logger
from . import wire
from .assembly import Assembly
from .channel import Channel
from .heartbeats import Heartbeats, HeartbeatThread
from .link import Link, WriteLock, remaining
from .message import Delivery
from .turns import Reading
from .waiting import BoundedWait

__all__ = ("Connection", "ConnectionBlocked")

logger = get_logger(__name__)

#: Seconds for the peer to answer when a connection or channel is closed.
CLOSE_TIMEOUT = 10.0

#: Seconds between heartbeats where they were asked for without saying how often.
DEFAULT_HEARTBEAT = 60.0

#: The least time between two looks at the socket from publishing, in seconds.
_LOOK_INTERVAL = 0.005


#: How many deliveries publishing in a callback may hold back before it looks no more.
_MOST_HELD_BACK = 1000


class _Here(threading.local):
    """What the current thread is doing."""

    #: Whether it is calling a consumer's callback.
    delivering = False
    #: Whether deliveries have to wait for the end of that.
    holding_back = False


class ConnectionBlocked(RecoverableConnectionError):
    """The broker takes no publishes on this connection: it is short of memory or disk."""


class Connection(BoundedWait, Heartbeats, amqp.Connection):
    """py-amqp's connection on a socket that never blocks longer than it may.

    Arguments as :class:`amqp.Connection`, and:

    Arguments:
        close_timeout: seconds for the broker to answer when this or a channel is closed.
        operation_timeout: seconds for the broker to answer anything else (declare, bind, ...);
            ``None``: no limit but that of the heartbeats.
        confirm_timeout: seconds for the broker to confirm a publish; ``None``: no limit.
        auto_heartbeat: send heartbeats from a thread, for applications that don't call
            ``heartbeat_check`` while they are busy; every 60 seconds unless ``heartbeat`` says.

    While it waits for the broker it sends heartbeats when they are due, and raises
    ConnectionForced when the broker's have been missing for two intervals.
    """

    Channel = Channel

    def __init__(
        self,
        host: str = "localhost:5672",
        userid: str | None = "guest",
        password: str | None = "guest",
        login_method: str | None = None,
        login_response: Any = None,
        authentication: Any = (),
        virtual_host: str = "/",
        locale: str = "en_US",
        client_properties: Any = None,
        ssl: Any = False,
        connect_timeout: float | None = None,
        channel_max: int | None = None,
        frame_max: int | None = None,
        heartbeat: float = 0,
        on_open: Any = None,
        on_blocked: Callable[[str], Any] | None = None,
        on_unblocked: Callable[[], Any] | None = None,
        confirm_publish: bool = False,
        on_tune_ok: Any = None,
        read_timeout: float | None = None,
        write_timeout: float | None = None,
        socket_settings: Any = None,
        frame_handler: Any = default_frame_handler,
        frame_writer: Any = default_frame_writer,
        close_timeout: float = CLOSE_TIMEOUT,
        operation_timeout: float | None = None,
        confirm_timeout: float | None = None,
        auto_heartbeat: bool = False,
        **kwargs: Any,
    ) -> None:
        self.close_timeout = close_timeout
        self.operation_timeout = operation_timeout
        self.confirm_timeout = confirm_timeout
        self.auto_heartbeat = auto_heartbeat
        if auto_heartbeat and not heartbeat:
            heartbeat = DEFAULT_HEARTBEAT
        #: Set by the transport: asks the event loop to come back for what is buffered.
        self.on_leftover: Callable[[], Any] | None = None
        self.blocked_reason: str | None = None
        self._wanted_channel_max = channel_max
        self._wanted_frame_max = frame_max
        self._own_framing = frame_handler is default_frame_handler
        self._heartbeats: HeartbeatThread | None = None
        self._assembly = Assembly()
        self._looked_at = 0.0
        self._asked = {}
        self._here = _Here()
        self._reading = Reading()
        #: Channel and arguments of its ``deliver``.
        self._held_back: deque[tuple[Any, Any, Delivery, Any]] = deque()
        super().__init__(
            host=host,
            userid=userid,
            password=password,
            login_method=login_method,
            login_response=login_response,
            authentication=authentication,
            virtual_host=virtual_host,
            locale=locale,
            client_properties=client_properties,
            ssl=ssl,
            connect_timeout=connect_timeout,
            channel_max=channel_max,
            frame_max=frame_max,
            heartbeat=heartbeat,
            on_open=on_open,
            on_blocked=on_blocked,
            on_unblocked=on_unblocked,
            confirm_publish=confirm_publish,
            on_tune_ok=on_tune_ok,
            read_timeout=read_timeout,
            write_timeout=write_timeout,
            socket_settings=socket_settings,
            frame_handler=frame_handler,
            frame_writer=frame_writer,
            **kwargs,
        )

    # -- connecting ------------------------------------------------------

    def Transport(
        self,
        host: str,
        connect_timeout: float | None,
        ssl: Any = False,
        read_timeout: float | None = None,
        write_timeout: float | None = None,
        socket_settings: Any = None,
        **kwargs: Any,
    ) -> Any:
        """The socket below; py-amqp calls this when it connects."""
        return Link(
            host,
            connect_timeout=connect_timeout,
            ssl=ssl,
            read_timeout=read_timeout,
            write_timeout=write_timeout,
            socket_settings=socket_settings,
            **kwargs,
        )

    def connect(self, callback: Any = None) -> Any:
        """Connect and log in, all within ``connect_timeout`` seconds (but for looking up the name).

        Raises:
            OSError: no connection.
            amqp.exceptions.AccessRefused: the broker refuses the credentials.
            amqp.exceptions.NotAllowed: no such virtual host, or not for this user.
        """
        if self.connected:
            return callback() if callback else None
        started = monotonic()
        self._assembly, self.blocked_reason = Assembly(), None
        try:
            self.transport = self.Transport(
                self.host,
                self.connect_timeout,
                self.ssl,
                self.read_timeout,
                self.write_timeout,
                socket_settings=self.socket_settings,
            )
            self.transport.connect()
            self.on_inbound_frame = self.frame_handler_cls(self, self.on_inbound_method)
            self.frame_writer = _locked(
                self.transport.write_lock, self.frame_writer_cls(self, self.transport)
            )
            deadline = None if not self.connect_timeout else started + self.connect_timeout
            while not self._handshake_complete:
                self.drain_events(timeout=remaining(deadline))
        except BaseException:
            # Whatever it was, nobody will use this socket; it must not stay open.
            self.collect()
            raise
        return None

    def _on_tune(
        self, channel_max: int, frame_max: int, server_heartbeat: int, argsig: str = "BlB"
    ) -> None:
        # What was asked for may be less than what the broker allows, never more (4.2.1).
        super()._on_tune(
            _lower(self._wanted_channel_max, channel_max),
            _lower(self._wanted_frame_max, frame_max),
            server_heartbeat,
            argsig,
        )

    def _on_tune_sent(self, *args: Any, **kwargs: Any) -> None:
        super()._on_tune_sent(*args, **kwargs)
        self.transport.frame_max = self.frame_max

    def _on_open_ok(self) -> None:
        super()._on_open_ok()
        if self.auto_heartbeat and self.heartbeat:
            self._heartbeats = HeartbeatThread(self)
            self._heartbeats.start()

    def collect(self) -> None:
        """Forget the socket and all channels, without a word to the peer."""
        self.on_leftover = None
        self._held_back.clear()
        if self._heartbeats is not None:
            self._heartbeats.stop()
        if self.channels is not None:
            super().collect()

    def abandon(self) -> None:
        """In a forked child: let go of the parent's socket without touching the connection."""
        if self._transport is not None:
            self._transport.abandon()
        self.collect()

    def close(self, *args: Any, **kwargs: Any) -> None:
        """Close the connection; within ``close_timeout`` seconds, whatever the peer does."""
        link = self._transport
        if link is None:
            return
        try:
            with link.having_timeout(self.close_timeout):
                super().close(*args, **kwargs)
        except (OSError, RecoverableConnectionError) as exc:
            # Closing is what was asked for; a peer that does not take part changes nothing.
            logger.debug("the broker did not answer connection.close: %r", exc)
        finally:
            self.collect()

    # -- reading ---------------------------------------------------------

    def drain_events(self, timeout: float | None = None) -> None:
        """Wait for one event (a delivery, an answer, ...) and handle it.

        Arguments:
            timeout: seconds for all of it, also when only a part of a frame arrives or only
                heartbeats do; ``None``: ``read_timeout``, else no limit.

        Raises:
            TimeoutError: there was none in time.
            ConnectionForced: the broker's heartbeats are missing.
            OSError, RecoverableConnectionError: the connection is lost.
        """
        self._drain(timeout, None)

    def _drain(self, timeout: float | None, until: Callable[[], bool] | None) -> None:
        if timeout is None:
            timeout = self.read_timeout
        deadline = None if timeout is None else monotonic() + timeout
        self._usable_link()
        try:
            if self._deliver_held_back():
                return
            if not self._reading.begin() and not self._reading.wait(timeout, until):
                return
            event = self._read_event(timeout, deadline)
            if event is not True:
                self._deliver_to(*event)
        finally:
            self._mention_leftover()

    def _read_event(self, timeout: float | None, deadline: float | None) -> Any:
        """Read the next event, and end the turn.

        Returns:
            of a delivery what :meth:`_deliver_to` takes; anything else was handled: ``True``.
        """
        try:
            link = self._usable_link()
            while True:
                frame = link.next_frame()
                if frame is None:
                    self._fill(link, remaining(deadline) if timeout else timeout)
                elif event := self._handle(frame):
                    return event
        finally:
            self._reading.end()

    def drain_ready(self, most: int = 100) -> bool:
        """Handle what has arrived, without waiting.

        Arguments:
            most: events after which others get their turn.

        Returns:
            whether there may be more.
        """
        link = self._usable_link()
        try:
            for _ in range(most):
                if not self._deliver_held_back():
                    if not self._reading.begin():
                        return False  # another thread is at it
                    try:
                        event = self._read_event(0, None)
                    except TimeoutError:
                        return False
                    if event is not True:
                        self._deliver_to(*event)
                if self._transport is not link:
                    return False  # a callback closed or replaced it
            return True
        except BaseException:
            # What a callback raised; the others' messages are still there.
            self._mention_leftover()
            raise

    def attend(self, timeout: float | None, until: Callable[[], bool] | None = None) -> None:
        """:meth:`drain_events` for what waits for an answer of the broker, not for messages.

        Arguments:
            until: whether the answer was handled, maybe by another thread that reads.

        Within a consumer's callback deliveries are held back until it is over: they would be
        handled before it, in reverse order, and ever deeper in the stack.
        """
        here = self._here
        before, here.holding_back = here.holding_back, here.delivering
        try:
            self._drain(timeout, until)
        finally:
            here.holding_back = before

    def look(self) -> None:
        """Handle one event if there is one; for publishers, who never wait for events.

        So they learn of a blocked connection, a closed channel and the like. At most every few
        milliseconds, as it costs a system call.

        Raises:
            ConnectionForced: the broker's heartbeats are missing.
        """
        now = monotonic()
        delivering = self._here.delivering
        if delivering and len(self._held_back) >= _MOST_HELD_BACK:
            return
        if now - self._looked_at < _LOOK_INTERVAL and (
            delivering or not self._usable_link().has_frame
        ):
            return
        self._looked_at = now
        with suppress(TimeoutError):
            self.attend(timeout=0)

    def _usable_link(self) -> Any:
        link = self._transport
        if link is None:
            raise RecoverableConnectionError("connection already closed")
        return link

    def _mention_leftover(self) -> None:
        """The kernel no longer knows of what was received and not handled; the loop must."""
        link = self._transport
        if self.on_leftover is None or link is None:
            return
        if link.buffered or self._held_back:
            self.on_leftover()

    def _deliver_held_back(self) -> bool:
        """Deliver the first message that was held back, if there is one and it is its turn."""
        if self._here.holding_back:
            return False
        try:
            channel, *delivery = self._held_back.popleft()
        except IndexError:
            return False
        self._deliver_to(channel, *delivery)
        return True

    def forget_held_back(self, channel: Any) -> None:
        """A channel was closed: the broker takes back what was held back of it."""
        for held in [held for held in self._held_back if held[0] is channel]:
            self._held_back.remove(held)

    # -- frames ----------------------------------------------------------

    def blocking_read(self, timeout: float | None = None) -> Any:
        """Read and handle one frame."""
        link = self._usable_link()
        deadline = None if timeout is None else monotonic() + timeout
        frame = link.next_frame()
        while frame is None:
            self._fill(link, remaining(deadline) if timeout else timeout)
            frame = link.next_frame()
        event = self._handle(frame)
        if event and event is not True:
            self._deliver_to(*event)
        return bool(event)

    def _handle(self, frame: tuple[int, int, bytes]) -> Any:
        """Handle one frame; ``False``: it completed no event; else see :meth:`_read_event`."""
        if not self._own_framing:
            return bool(self.on_inbound_frame(frame))
        self.bytes_recv += 1
        try:
            arrival = self._assembly.add(frame)
        except UnexpectedFrame:
            self.transport.connected = False
            raise
        if arrival is None:
            return False
        channel_id, method, payload, properties, body = arrival
        if properties is None:
            self.on_inbound_method(channel_id, method, payload, None)
            return True
        return self._handle_message(channel_id, method, payload, properties, body)

    def _handle_message(
        self,
        channel_id: int,
        method: tuple[int, int],
        payload: bytes,
        properties: dict[str, Any],
        body: bytes,
    ) -> Any:
        if self.channels is None:
            raise RecoverableConnectionError("Connection already closed")
        channel = self.channels.get(channel_id)
        if channel is None:
            return True  # closed by us while this was under way
        text: bytes | str = body
        if channel.auto_decode:
            encoding = properties.get("content_encoding")
            if encoding is not None:
                text = _decoded(body, encoding)
        message = Delivery(text, properties, None, channel)
        if method == wire.BASIC_DELIVER and not channel.is_closing:
            delivery = wire.read_delivery(payload)
            if not self._here.holding_back:
                return channel, delivery, message
            # Cancelling a consumer without acknowledgements must not lose what it was sent.
            tag = delivery[0]
            late = channel.callbacks.get(tag) if tag in channel.no_ack_consumers else None
            self._held_back.append((channel, delivery, message, late))
        else:
            message.frame_method, message.frame_args = method, payload
            channel.dispatch_method(method, payload, message)
        return True

    def _deliver_to(self, channel: Any, delivery: Any, message: Delivery, late: Any = None) -> None:
        here = self._here
        before, here.delivering = here.delivering, True
        try:
            channel.deliver(delivery, message, late)
        finally:
            here.delivering = before

    def on_inbound_method(
        self, channel_id: int, method_sig: tuple[int, int], payload: bytes, content: Any
    ) -> Any:
        """Hand a method to its channel."""
        if self.channels is None:
            raise RecoverableConnectionError("Connection already closed")
        channel = self.channels.get(channel_id)
        if channel is None:
            return None  # closed by us while this was under way
        return channel.dispatch_method(method_sig, payload, content)

    # -- blocked ---------------------------------------------------------

    def dispatch_method(self, method_sig: Any, payload: Any, content: Any) -> Any:
        """Handle a method of the connection itself."""
        if method_sig == spec.Connection.Blocked:
            # py-amqp does not read the reason.
            self.blocked_reason = payload[5 : 5 + payload[4]].decode("utf-8", "replace")
        elif method_sig == spec.Connection.Unblocked:
            self.blocked_reason = None
        return super().dispatch_method(method_sig, payload, content)

    def wait_until_unblocked(self, deadline: float) -> None:
        """Wait for the broker to take publishes again.

        Raises:
            ConnectionBlocked: it did not until the deadline; says why.
        """
        while self.blocked_reason is not None:
            left = remaining(deadline)
            try:
                if not left:
                    raise TimeoutError("timed out")
                self.drain_events(timeout=left)
            except TimeoutError as exc:
                raise ConnectionBlocked(
                    f"basic_publish: timed out, the broker blocks publishers: {self.blocked_reason}"
                ) from exc


def _locked(lock: WriteLock, write_frame: Callable[..., Any]) -> Callable[..., Any]:
    def write(*frame: Any) -> Any:
        with lock:
            return write_frame(*frame)

    return write


def _lower(wanted: int | None, allowed: int) -> int:
    """The lower of two limits, of which 0 and ``None`` are none."""
    return min(wanted or allowed, allowed or wanted or 0)


def _decoded(body: bytes, encoding: str) -> bytes | str:
    """The text of a body, or the body itself when its encoding is wrong, unknown or ``binary``."""
    try:
        return body.decode(encoding)
    except (LookupError, UnicodeError, ValueError):
        return body
