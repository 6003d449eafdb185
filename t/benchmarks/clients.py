"""Other AMQP clients on the scenarios of ``broker.py``: ``clients.py CLIENT SCENARIO URL``.

``py-amqp`` is what both sides stand on, so its figures are the floor; pika and aio-pika show
what others reach. Each does what the scenario says in its own best way: JSON is encoded for
every publish, nothing is decoded by consumers that only acknowledge.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from embedded import BODY, HEADERS
from figures import Figures, Spent, percentiles

#: As in broker.py.
PUBLISHED, CONFIRMED, BATCHED, CONSUMED, TIMED, PREFETCH = 3_000, 2_000, 20_000, 5_000, 200, 100


def encoded() -> bytes:
    return json.dumps(BODY).encode()


class Client:
    """Scenarios of a client that blocks."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.queue = f"bench-{uuid4().hex[:8]}"

    def open(self, confirms: bool = False) -> Any:
        """A channel on a connection of its own."""
        raise NotImplementedError

    def close(self, channel: Any) -> None:
        channel.connection.close()

    def declare(self, channel: Any) -> None:
        channel.queue_declare(self.queue, durable=True, auto_delete=False)

    def send(self, channel: Any, body: bytes) -> None:
        """Publish one; wait for the confirm if the channel has them."""
        raise NotImplementedError

    def receive(self, channel: Any, count: int, take: Callable[[bytes], None]) -> None:
        """Hand so many messages to ``take`` and acknowledge each, with a prefetch limit."""
        raise NotImplementedError

    def publish(self) -> Figures:
        channel = self.open()
        self.declare(channel)
        spent = Spent()
        for _ in range(PUBLISHED):
            self.send(channel, encoded())
        figures = spent.figures("publish/s", "publish cpu us/message", PUBLISHED)
        channel.queue_delete(self.queue)
        self.close(channel)
        return figures

    def confirmed(self) -> Figures:
        channel = self.open(confirms=True)
        self.declare(channel)
        took = []
        spent = Spent()
        for _ in range(CONFIRMED):
            begin = time.perf_counter()
            self.send(channel, encoded())
            took.append((time.perf_counter() - begin) * 1e3)
        figures = spent.figures("confirmed publish/s", "confirmed cpu us/message", CONFIRMED)
        channel.queue_delete(self.queue)
        self.close(channel)
        return {**figures, **percentiles(took, "confirmed")}

    def consume(self) -> Figures:
        channel = self.open()
        self.declare(channel)
        for _ in range(CONSUMED):
            self.send(channel, encoded())
        spent = Spent()
        self.receive(channel, CONSUMED, lambda body: None)
        figures = spent.figures("consume+ack/s", "cpu us/message", CONSUMED)
        channel.queue_delete(self.queue)
        self.close(channel)
        return figures

    def latency(self) -> Figures:
        ready, arrived, stamps = threading.Event(), threading.Event(), []

        def take(body: bytes) -> None:
            stamps.append((time.perf_counter() - float(body)) * 1e3)
            arrived.set()

        def consume() -> None:
            channel = self.open()
            self.declare(channel)
            ready.set()
            self.receive(channel, TIMED, take)
            self.close(channel)

        thread = threading.Thread(target=consume, daemon=True)
        thread.start()
        ready.wait(10)
        channel = self.open()
        for _ in range(TIMED):
            time.sleep(0.005)
            arrived.clear()
            self.send(channel, str(time.perf_counter()).encode())
            arrived.wait(10)
        thread.join(10)
        channel.queue_delete(self.queue)
        self.close(channel)
        return percentiles(stamps)


class PyAMQP(Client):
    """py-amqp alone."""

    def open(self, confirms: bool = False) -> Any:
        import amqp

        parts = urlsplit(self.url)
        connection = amqp.Connection(f"{parts.hostname}:{parts.port}", confirm_publish=confirms)
        connection.connect()
        return connection.channel()

    def message(self, body: bytes) -> Any:
        import amqp

        return amqp.Message(
            body,
            content_type="application/json",
            content_encoding="utf-8",
            application_headers=HEADERS,
            delivery_mode=2,
        )

    def send(self, channel: Any, body: bytes) -> None:
        channel.basic_publish(self.message(body), routing_key=self.queue)

    def receive(self, channel: Any, count: int, take: Callable[[bytes], None]) -> None:
        seen = 0

        def received(message: Any) -> None:
            nonlocal seen
            seen += 1
            take(message.body)
            channel.basic_ack(message.delivery_tag)

        channel.basic_qos(0, PREFETCH, False)
        tag = channel.basic_consume(self.queue, callback=received)
        while seen < count:
            channel.connection.drain_events(timeout=20)
        channel.basic_cancel(tag)

    def batch(self) -> Figures:
        channel = self.open()
        self.declare(channel)
        channel.confirm_select()
        acked = 0

        def answered(delivery_tag: int, multiple: bool) -> None:
            nonlocal acked
            acked = delivery_tag if multiple else acked + 1

        # The broker may answer one by one and for many; the last answer is for the last of all.
        channel.events["basic_ack"].add(answered)
        spent = Spent()
        for number in range(1, BATCHED + 1):
            self.send(channel, encoded())
            if not number % 100:
                with contextlib.suppress(TimeoutError, BlockingIOError):
                    while True:
                        channel.connection.drain_events(timeout=0)
        while acked < BATCHED:
            channel.connection.drain_events(timeout=20)
        figures = spent.figures("batch publish/s", "batch cpu us/message", BATCHED)
        channel.queue_delete(self.queue)
        self.close(channel)
        return figures


class Pika(Client):
    """pika's BlockingConnection; batches by its SelectConnection, since only that pipelines."""

    def open(self, confirms: bool = False) -> Any:
        import pika

        channel = pika.BlockingConnection(self.parameters()).channel()
        if confirms:
            channel.confirm_delivery()
        return channel

    def parameters(self) -> Any:
        import pika

        parts = urlsplit(self.url)
        return pika.ConnectionParameters(parts.hostname, parts.port)

    def properties(self) -> Any:
        import pika

        # pika writes no floats and no None in lists, and HEADERS has neither but the latter.
        headers = {**HEADERS, "timelimit": "none"}
        return pika.BasicProperties("application/json", "utf-8", headers, delivery_mode=2)

    def send(self, channel: Any, body: bytes) -> None:
        channel.basic_publish("", self.queue, body, self.properties())

    def receive(self, channel: Any, count: int, take: Callable[[bytes], None]) -> None:
        seen = 0

        def received(channel: Any, method: Any, properties: Any, body: bytes) -> None:
            nonlocal seen
            seen += 1
            take(body)
            channel.basic_ack(method.delivery_tag)
            if seen == count:
                channel.stop_consuming()

        channel.basic_qos(prefetch_count=PREFETCH)
        channel.basic_consume(self.queue, received)
        channel.start_consuming()

    def batch(self) -> Figures:
        import pika

        admin = self.open()
        self.declare(admin)
        figures: Figures = {}

        def opened(channel: Any) -> None:
            acked = 0
            spent = Spent()

            def answered(frame: Any) -> None:
                nonlocal acked
                acked = frame.method.delivery_tag if frame.method.multiple else acked + 1
                if acked >= BATCHED:
                    figures.update(
                        spent.figures("batch publish/s", "batch cpu us/message", BATCHED)
                    )
                    connection.close()

            channel.confirm_delivery(answered)
            for _ in range(BATCHED):
                self.send(channel, encoded())

        connection = pika.SelectConnection(
            self.parameters(),
            on_open_callback=lambda connection: connection.channel(on_open_callback=opened),
            on_close_callback=lambda connection, reason: connection.ioloop.stop(),
        )
        connection.ioloop.start()
        admin.queue_delete(self.queue)
        self.close(admin)
        return figures


class AioPika:
    """aio-pika on an event loop of its own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.queue = f"bench-{uuid4().hex[:8]}"

    def message(self, body: bytes) -> Any:
        import aio_pika

        headers = {**HEADERS, "timelimit": "none"}
        return aio_pika.Message(
            body,
            headers=headers,
            content_type="application/json",
            content_encoding="utf-8",
            delivery_mode=2,
        )

    async def open(self, confirms: bool) -> tuple[Any, Any, Any]:
        import aio_pika

        connection = await aio_pika.connect(self.url.removesuffix("//") + "/")
        channel = await connection.channel(publisher_confirms=confirms)
        queue = await channel.declare_queue(self.queue, durable=True)
        return connection, channel, queue

    async def send(self, channel: Any, count: int) -> None:
        for _ in range(count):
            await channel.default_exchange.publish(self.message(encoded()), self.queue)

    async def close(self, connection: Any, queue: Any) -> None:
        await queue.delete(if_unused=False, if_empty=False)
        await connection.close()

    def publish(self) -> Figures:
        async def run() -> Figures:
            connection, channel, queue = await self.open(confirms=False)
            spent = Spent()
            await self.send(channel, PUBLISHED)
            figures = spent.figures("publish/s", "publish cpu us/message", PUBLISHED)
            await self.close(connection, queue)
            return figures

        return asyncio.run(run())

    def confirmed(self) -> Figures:
        async def run() -> Figures:
            connection, channel, queue = await self.open(confirms=True)
            took = []
            spent = Spent()
            for _ in range(CONFIRMED):
                begin = time.perf_counter()
                await self.send(channel, 1)
                took.append((time.perf_counter() - begin) * 1e3)
            figures = spent.figures("confirmed publish/s", "confirmed cpu us/message", CONFIRMED)
            await self.close(connection, queue)
            return {**figures, **percentiles(took, "confirmed")}

        return asyncio.run(run())

    def batch(self) -> Figures:
        async def run() -> Figures:
            connection, channel, queue = await self.open(confirms=True)
            publish = channel.default_exchange.publish
            spent = Spent()
            await asyncio.gather(
                *(publish(self.message(encoded()), self.queue) for _ in range(BATCHED))
            )
            figures = spent.figures("batch publish/s", "batch cpu us/message", BATCHED)
            await self.close(connection, queue)
            return figures

        return asyncio.run(run())

    def consume(self) -> Figures:
        async def run() -> Figures:
            connection, channel, queue = await self.open(confirms=False)
            await self.send(channel, CONSUMED)
            await channel.set_qos(prefetch_count=PREFETCH)
            seen, done = 0, asyncio.Event()

            async def received(message: Any) -> None:
                nonlocal seen
                seen += 1
                await message.ack()
                if seen == CONSUMED:
                    done.set()

            spent = Spent()
            await queue.consume(received)
            await done.wait()
            figures = spent.figures("consume+ack/s", "cpu us/message", CONSUMED)
            await self.close(connection, queue)
            return figures

        return asyncio.run(run())

    def latency(self) -> Figures:
        stamps: list[float] = []
        ready, arrived = threading.Event(), threading.Event()

        async def consume() -> None:
            connection, _, queue = await self.open(confirms=False)
            done = asyncio.Event()

            async def received(message: Any) -> None:
                stamps.append((time.perf_counter() - float(message.body)) * 1e3)
                await message.ack()
                arrived.set()
                if len(stamps) == TIMED:
                    done.set()

            await queue.consume(received)
            ready.set()
            await done.wait()
            await connection.close()

        async def produce() -> None:
            connection, channel, queue = await self.open(confirms=False)
            for _ in range(TIMED):
                await asyncio.sleep(0.005)
                arrived.clear()
                body = str(time.perf_counter()).encode()
                await channel.default_exchange.publish(self.message(body), self.queue)
                await asyncio.to_thread(arrived.wait, 10)
            thread.join(10)
            await self.close(connection, queue)

        thread = threading.Thread(target=lambda: asyncio.run(consume()), daemon=True)
        thread.start()
        ready.wait(10)
        asyncio.run(produce())
        return percentiles(stamps)


CLIENTS: dict[str, Callable[[str], Any]] = {"py-amqp": PyAMQP, "pika": Pika, "aio-pika": AioPika}


def main(client: str, scenario: str, url: str) -> Figures:
    run: Callable[[], Figures] = getattr(CLIENTS[client](url), scenario)
    return run()


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
