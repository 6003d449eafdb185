"""The connection to NATS: an asyncio client in a thread of its own, for callers that block."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import os
import threading
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import ConnectionClosedError, NoServersError
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.errors import NotFoundError

_Result = TypeVar("_Result")

#: Seconds in which a pull is mostly answered: a consumer that another client has deleted never
#: does.
PULL_PATIENCE = 1.0


class _Client(Client):
    """Sends neither name nor password in plain text to a server when TLS was asked for."""

    async def _process_info(self, info: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        if self.options.get("tls") and not info.get("tls_required"):
            raise NatsError("TLS was asked for, but the server does not speak it")
        await super()._process_info(info, *args, **kwargs)


class Link:
    """One connection; its methods may be called from any thread.

    Arguments:
        settings: for the client's ``connect``.
        timeout: seconds any one request may take.
    """

    def __init__(self, settings: Mapping[str, Any], timeout: float) -> None:
        self.timeout = timeout
        #: Called, in the client's thread, when the connection has ended.
        self.on_lost: Callable[[], None] = lambda: None
        self._pid = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="nats", daemon=True)
        self._thread.start()
        self.client = _Client()
        self.jetstream = self.client.jetstream(timeout=timeout)
        self._pulls: dict[str, _Pull] = {}
        self._requests: dict[str, _Pull] = {}
        self._turns: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._number = 0
        self._inbox = self.client.new_inbox()
        try:
            self.run(self._connect(settings))
        except BaseException:
            self._end_loop()
            raise

    async def _connect(self, settings: Mapping[str, Any]) -> None:
        # kombu's own layer connects again: it declares and consumes anew then.
        # The client by itself tries sixty times, and says in the end that there is no server.
        failures: list[Exception] = []

        async def failed(exc: Exception) -> None:
            failures[:] = [exc]

        try:
            await self.client.connect(
                **settings,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                closed_cb=self._closed,
                error_cb=failed,
            )
        except NoServersError as exc:
            raise exc from (failures[0] if failures else None)
        await self.client.subscribe(f"{self._inbox}.*", cb=self._pulled)

    async def _closed(self) -> None:
        for pull in list(self._pulls.values()):
            pull.end()
        self.on_lost()

    def check(self) -> None:
        """Raise ConnectionClosedError if the connection has ended."""
        if self.client.is_closed:
            raise ConnectionClosedError

    def run(self, work: Coroutine[Any, Any, _Result], timeout: float | None = None) -> _Result:
        """Let the client's thread do it, and return what comes of it.

        Raises:
            nats.errors.Error: it failed, or took longer than the limit.
        """
        if os.getpid() != self._pid or not self._thread.is_alive():
            work.close()
            raise ConnectionClosedError
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(self.timeout + 1 if timeout is None else timeout)
        except concurrent.futures.TimeoutError:
            future.cancel()
            raise NatsTimeoutError from None
        except concurrent.futures.CancelledError:
            raise ConnectionClosedError from None

    # ---- pulling: what is there now, as one request

    async def pull(self, stream: str, consumer: str, limit: int) -> list[Msg] | None:
        """Up to ``limit`` messages that are ready; ``None``: there is no such consumer."""
        # What is delivered names its consumer, not the request: one at a time of each.
        key = f"{stream}.{consumer}"
        async with self._turns[key]:
            self._number += 1
            pull = self._pulls[key] = self._requests[str(self._number)] = _Pull(limit)
            request = json.dumps({"batch": limit, "no_wait": True}).encode()
            try:
                await self.client.publish(
                    f"$JS.API.CONSUMER.MSG.NEXT.{key}",
                    request,
                    reply=f"{self._inbox}.{self._number}",
                )
                await asyncio.wait_for(asyncio.shield(pull.ended), PULL_PATIENCE)
            except asyncio.TimeoutError:
                # It is far away, then: what is asked after this is answered after this.
                with suppress(NotFoundError):
                    await self.jetstream.consumer_info(stream, consumer)
                if not pull.ended.done():
                    return pull.messages or None
            finally:
                del self._pulls[key], self._requests[str(self._number)]
        self.check()
        return pull.messages

    async def _pulled(self, message: Msg) -> None:
        if message.subject.startswith(self._inbox):
            request = self._requests.get(message.subject.rpartition(".")[2])
            if request is not None:
                request.end()
            return
        pull = self._pulls.get(delivered_by(message))
        if pull is None or pull.ended.done():
            # Nobody waits for it any more: others may have it.
            await self.client.publish(message.reply, b"-NAK")
        else:
            pull.add(message)

    # ---- life

    def forget(self, stream: str) -> None:
        """A stream is gone: nobody pulls from it any more."""
        for key in [key for key in list(self._turns) if key.startswith(f"{stream}.")]:
            if not self._turns[key].locked():
                del self._turns[key]

    def subscribe(self, subject: str, told: Callable[[bytes], Awaitable[None]]) -> Subscription:
        """Call ``told`` in the client's thread with what is published there, from now on."""

        async def work() -> Subscription:
            async def received(message: Msg) -> None:
                await told(message.data)

            subscription = await self.client.subscribe(subject, cb=received)
            await self.client.flush(timeout=self._whole_seconds)
            return subscription

        return self.run(work())

    async def flush(self) -> None:
        """Return when the server has got everything that was sent."""
        await self.client.flush(timeout=self._whole_seconds)

    @property
    def _whole_seconds(self) -> int:
        return max(int(self.timeout), 1)

    def close(self) -> None:
        """Hang up; in a forked child the connection is the parent's."""
        if os.getpid() != self._pid or not self._thread.is_alive():
            return
        try:
            self.run(self.client.close())
        except NatsTimeoutError:
            pass  # the socket goes with the loop
        finally:
            self._end_loop()

    def _end_loop(self) -> None:
        async def cancel_all() -> None:
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(cancel_all(), self._loop).result(self.timeout)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(self.timeout)
        self._loop.close()


def delivery(message: Msg) -> list[str]:
    """What JetStream says in the address for acknowledgements.

    Stream, consumer, times delivered, sequence in the stream, and more.
    """
    tokens: list[str] = message.reply.split(".")
    # $JS.ACK.<stream>.…, with two more before it where the server has domains.
    return tokens[2:] if len(tokens) == 9 else tokens[4:]


def delivered_by(message: Msg) -> str:
    """The consumer that a message was pulled from."""
    return ".".join(delivery(message)[:2])


class _Pull:
    """What one pull request has brought so far."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.messages: list[Msg] = []
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def add(self, message: Msg) -> None:
        self.messages.append(message)
        if len(self.messages) >= self._limit:
            self.end()

    def end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)
