"""Faults on demand: a TCP proxy between client and broker, and signals to processes.

Needs the standard library only::

    with FaultProxy("127.0.0.1", 5672) as proxy:
        connection = Connection(f"amqp://guest:guest@127.0.0.1:{proxy.port}//")
        proxy.set(latency=0.2)
        proxy.set(blackhole=True)
        proxy.heal()
        proxy.reset()
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Literal

__all__ = ("FaultProxy", "Faults", "Traffic", "frozen", "kill")

Direction = Literal["up", "down"]

#: Bytes that are read at once.
_CHUNK = 65536
#: Seconds within which the proxy's own thread must answer.
_PATIENCE = 10.0


@dataclass(frozen=True)
class Faults:
    """What the proxy does to what passes; the default is nothing.

    Arguments:
        latency: seconds by which each segment is held up.
        rate: bytes a second; 0: no limit.
        blackhole: takes bytes and passes none while the connection stays up, as a peer does
            whose machine is gone (a half-open connection).
        freeze: takes no bytes either, so that the sender's buffers fill, as a stopped process
            does; what waits passes when it is over.
        refuse: new connections are reset.
        cut_after: connections are reset after so many more bytes; ``None``: never.
        slice: bytes a segment has at most; 0: no limit.
        direction: ``"up"`` (to the broker) or ``"down"``; ``None``: both.
    """

    latency: float = 0.0
    rate: int = 0
    blackhole: bool = False
    freeze: bool = False
    refuse: bool = False
    cut_after: int | None = None
    slice: int = 0
    direction: Direction | None = None


@dataclass
class Traffic:
    """What has passed the proxy.

    Arguments:
        connections: accepted so far.
        open: of them, still open.
        up: bytes to the broker.
        down: bytes from the broker.
    """

    connections: int = 0
    open: int = 0
    up: int = 0
    down: int = 0


class FaultProxy:
    """A TCP proxy on a free loopback port that fails as it is told; runs in its own thread.

    Arguments:
        host: of the broker.
        port: of the broker.
        listen: port of the proxy; 0 takes a free one.

    Raises:
        OSError: from :meth:`start`, when it can't listen.
    """

    def __init__(self, host: str, port: int, listen: int = 0) -> None:
        self.upstream = (host, port)
        self.port = listen
        self._faults = Faults()
        self._passed = 0
        self._traffic = Traffic()
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._failure: OSError | None = None

    # ---- for the test's thread

    def start(self) -> FaultProxy:
        """Listen; ``port`` is known afterwards."""
        ready = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._main(ready)), daemon=True, name="faultproxy"
        )
        self._thread.start()
        if not ready.wait(_PATIENCE):
            raise OSError("the fault proxy did not start")
        if self._failure is not None:
            raise self._failure
        return self

    def stop(self) -> None:
        """Reset all connections and end the thread; may be called twice."""
        if self._thread is None or self._loop is None or self._stopping is None:
            return
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(_PATIENCE)
        self._thread = None

    def set(
        self,
        *,
        latency: float = 0.0,
        rate: int = 0,
        blackhole: bool = False,
        freeze: bool = False,
        refuse: bool = False,
        cut_after: int | None = None,
        slice: int = 0,
        direction: Direction | None = None,
    ) -> None:
        """Have these faults (see :class:`Faults`) and no others, from now on."""
        faults = Faults(latency, rate, blackhole, freeze, refuse, cut_after, slice, direction)

        def change() -> None:
            self._faults = faults
            self._passed = 0

        self._call(change)

    def heal(self) -> None:
        """Have no faults any more."""
        self.set()

    def reset(self) -> None:
        """Reset (RST) every open connection, on both sides."""
        self._call(lambda: self._each(self._abort))

    def close_clients(self) -> None:
        """Close (FIN) every open connection, on both sides."""
        self._call(lambda: self._each(lambda writer: writer.close()))

    @property
    def traffic(self) -> Traffic:
        """A snapshot of what has passed."""
        now = self._traffic
        return Traffic(now.connections, now.open, now.up, now.down)

    def __enter__(self) -> FaultProxy:
        return self.start()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _call(self, function: Callable[[], None]) -> None:
        """Run ``function`` in the loop and wait for it."""
        if self._loop is None:
            raise RuntimeError("the fault proxy was not started")
        done = threading.Event()

        def run() -> None:
            function()
            done.set()

        self._loop.call_soon_threadsafe(run)
        if not done.wait(_PATIENCE):
            raise TimeoutError("the fault proxy does not answer")

    # ---- in the loop

    def _each(self, action: Callable[[asyncio.StreamWriter], None]) -> None:
        for writer in list(self._writers):
            action(writer)

    async def _main(self, ready: threading.Event) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        try:
            server = await asyncio.start_server(self._client, "127.0.0.1", self.port)
        except OSError as exc:
            self._failure = exc
            ready.set()
            return
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await self._stopping.wait()
        self._faults = Faults()
        server.close()
        self._each(self._abort)
        for _ in range(100):
            if not self._traffic.open:
                break
            await asyncio.sleep(0.01)

    @staticmethod
    def _abort(writer: asyncio.StreamWriter) -> None:
        """Close with RST: linger on, zero seconds."""
        with suppress(OSError):
            writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
        writer.transport.abort()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._traffic.connections += 1
        if self._faults.refuse:
            self._abort(writer)
            return
        try:
            up_reader, up_writer = await asyncio.open_connection(*self.upstream)
        except OSError:
            self._abort(writer)
            return
        pair = (writer, up_writer)
        for each in pair:
            each.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._writers.update(pair)
        self._traffic.open += 1
        try:
            await asyncio.gather(
                self._pump(reader, up_writer, "up", pair),
                self._pump(up_reader, writer, "down", pair),
            )
        finally:
            self._traffic.open -= 1
            self._writers.difference_update(pair)
            for each in pair:
                each.close()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        way: Direction,
        pair: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
    ) -> None:
        try:
            while True:
                await self._thawed(way)
                data = await reader.read(_CHUNK)
                if not data:
                    break
                await self._pass(data, writer, way)
            if writer.can_write_eof():
                writer.write_eof()
        except (OSError, RuntimeError):
            for each in pair:
                self._abort(each)

    def _now(self, way: Direction) -> Faults:
        return self._faults if self._faults.direction in (None, way) else Faults()

    async def _thawed(self, way: Direction) -> None:
        while self._now(way).freeze:
            await asyncio.sleep(0.01)

    async def _pass(self, data: bytes, writer: asyncio.StreamWriter, way: Direction) -> None:
        while data:
            await self._thawed(way)
            faults = self._now(way)
            if faults.latency:
                await asyncio.sleep(faults.latency)
                faults = self._now(way)
            if faults.blackhole:
                return
            size = self._segment(len(data), faults)
            if size <= 0:
                raise ConnectionResetError("cut")
            # Counted first, so that whoever has the bytes finds them counted.
            setattr(self._traffic, way, getattr(self._traffic, way) + size)
            self._passed += size
            writer.write(data[:size])
            await writer.drain()
            data = data[size:]
            if faults.rate:
                await asyncio.sleep(size / faults.rate)
            elif faults.slice:
                await asyncio.sleep(0)

    def _segment(self, size: int, faults: Faults) -> int:
        """How many of ``size`` bytes go out at once; 0 or less: the connection is cut."""
        if faults.rate:
            # About twenty segments a second.
            size = min(size, max(1, faults.rate // 20))
        if faults.slice:
            size = min(size, faults.slice)
        if faults.cut_after is not None:
            size = min(size, faults.cut_after - self._passed)
        return size


def kill(pid: int) -> None:
    """SIGKILL one process: it has no chance to clean up."""
    os.kill(pid, signal.SIGKILL)


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """SIGSTOP one process for the duration of the block: it holds its connections, mute."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
