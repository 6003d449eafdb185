"""Fanout exchanges on the published channels of PUBLISH and PSUBSCRIBE."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import deque
from collections.abc import Callable

from kombu.transport.redis.errors import mapped
from kombu.transport.redis.listener import Heard
from kombu.transport.redis.node import Node
from kombu.transport.redis.options import RedisOptions
from kombu.transport.redis.server import Server
from kombu.transport.redis.wake import Waker
from kombu.transport.virtual.envelope import parse
from kombu.transport.virtual.store import Envelope, Fanout
from kombu.utils.json import dumps

logger = logging.getLogger("kombu.transport.redis")

_RECENT = 1000

#: Seconds between two looks at the listener while other messages are delivered.
_PAUSE = 0.002

#: What means something else than itself in PSUBSCRIBE.
_SPECIAL = re.compile(r"[\\?*\[\]]")
_SPECIAL_IN_KEY = re.compile(r"[\\?\[\]]")


class RedisFanout(Fanout):
    """Publish/subscribe for fanout exchanges.

    Arguments:
        server: where to publish and subscribe.
        waker: whose listeners hear the messages.
        options: ``fanout_prefix``, ``fanout_patterns``, ``global_keyprefix`` and
            ``sentinel_fanout_compat``.
        database: number of the database, part of the channel names.
        compat: whether the channel ``/{db}.`` of old sentinel peers is used as well.
    """

    def __init__(
        self,
        server: Server,
        waker: Waker,
        options: RedisOptions,
        database: int,
        compat: bool = False,
    ) -> None:
        self._server, self._waker, self._options = server, waker, options
        self._database = database
        self._compat = compat
        self._lock = threading.RLock()
        #: pattern -> queues, in the order they subscribed
        self._subscriptions: dict[bytes, list[str]] = {}
        #: Where the patterns are listened to.
        self._node: Node | None = None
        self._next_look = 0.0
        self._inbox: deque[tuple[str, Envelope]] = deque()
        self._recent: deque[tuple[str, str]] = deque(maxlen=_RECENT)
        waker.add_hearer(self._heard)

    # ---- names

    def _prefixes(self) -> list[str]:
        given = self._options.fanout_prefix
        if not given:
            return [""]
        if not isinstance(given, str):
            given = "/{db}."
        names = [given.replace("{db}", str(self._database))]
        if self._compat:
            names.append("/{db}.")
        return names

    def _channels(self, exchange: str, routing_key: str) -> list[str]:
        name = exchange
        if routing_key and self._options.fanout_patterns:
            name = f"{exchange}/{routing_key}"
        return [self._options.global_keyprefix + prefix + name for prefix in self._prefixes()]

    def _patterns(self, exchange: str, routing_key: str) -> list[str]:
        """What to subscribe to: in a routing key ``*`` and ``#`` stand for anything."""
        key = routing_key if self._options.fanout_patterns else ""
        plain = [channel.removesuffix(key) for channel in self._channels(exchange, routing_key)]
        key = _SPECIAL_IN_KEY.sub(r"\\\g<0>", key).replace("#", "*")
        return [_SPECIAL.sub(r"\\\g<0>", each) + key for each in plain]

    # ---- the port

    def publish(self, exchange: str, routing_key: str, message: Envelope) -> int | None:
        text = dumps(message)
        with mapped(f"publish to fanout exchange {exchange!r}"):
            node = self._server.any_node()
            channels = self._channels(exchange, routing_key)
            replies = node.link.exchange([("PUBLISH", channel, text) for channel in channels])
            for reply in replies:
                if isinstance(reply, Exception):
                    raise reply
        # In a cluster, subscribers of other nodes are not counted.
        return None if self._server.is_cluster else max(int(reply) for reply in replies)

    def subscribe(self, exchange: str, queue: str, routing_key: str) -> None:
        patterns = self._patterns(exchange, routing_key)
        with self._lock:
            for pattern in patterns:
                queues = self._subscriptions.setdefault(pattern.encode(), [])
                if queue not in queues:
                    queues.append(queue)
        with mapped(f"subscribe to fanout exchange {exchange!r}"):
            self._listen(anew=True)

    def _listen(self, anew: bool = False) -> None:
        """Have a server's listener hear all patterns, also after it was closed or replaced."""
        node = self._node
        if node is None or node not in self._server.nodes():
            node = self._node = self._server.any_node()
            anew = True
        if anew or not node.listener.is_open:
            with self._lock:
                patterns = [pattern.decode() for pattern in self._subscriptions]
            node.listener.subscribe_patterns(patterns)

    def unsubscribe(self, queue: str) -> None:
        with self._lock:
            gone: list[str] = []
            for pattern, queues in list(self._subscriptions.items()):
                if queue in queues:
                    queues.remove(queue)
                if not queues:
                    del self._subscriptions[pattern]
                    gone.append(pattern.decode())
            self._inbox = deque(item for item in self._inbox if item[0] != queue)
        if gone and self._node is not None:
            with mapped("unsubscribe from a fanout exchange"):
                self._node.listener.unsubscribe_patterns(gone)

    def pump(self, deliver: Callable[[str, Envelope], None]) -> int:
        if not self._subscriptions:
            return 0
        # Asking the kernel between any two messages would cost as much as delivering them.
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + _PAUSE
            with mapped("receive fanout messages"):
                self._listen()
                self._waker.hear()
        count = 0
        while self._inbox:
            queue, message = self._inbox.popleft()
            deliver(queue, message)
            count += 1
        return count

    # ---- what the listener hears

    def _heard(self, heard: Heard) -> bool:
        queues = self._subscriptions.get(heard.subscription)
        if queues is None:
            return False
        message = parse(heard.data)
        if message is None:
            logger.error("what came on channel %r is not a message", heard.subscription)
            return True
        with self._lock:
            tag = str(message["properties"].get("delivery_tag"))
            for queue in queues:
                if self._compat:
                    # It comes on two channels.
                    if (tag, queue) in self._recent:
                        continue
                    self._recent.append((tag, queue))
                self._inbox.append((queue, message))
        self._waker.ring()
        return True
