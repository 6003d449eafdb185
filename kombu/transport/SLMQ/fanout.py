"""Fanout by the service's topics: what one gets, it copies into the queues subscribed to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kombu.transport.SLMQ.client import ERRORS, Account, queue_name
from kombu.transport.SLMQ.options import SLMQOptions
from kombu.transport.virtual.store import Envelope, Fanout
from kombu.utils.json import dumps


class TopicFanout(Fanout):
    """One topic an exchange.

    Arguments:
        account: logged in.
    """

    def __init__(self, account: Account, options: SLMQOptions) -> None:
        self.account = account
        self.options = options
        self._made: set[str] = set()
        self._subscribed: dict[str, set[str]] = {}

    def _topic(self, exchange: str) -> str:
        """The topic's path, made if need be."""
        path = f"topics/{queue_name(exchange, self.options.queue_name_prefix)}"
        if path not in self._made:
            self.account.ask("PUT", path, None, {})
            self._made.add(path)
        return path

    def _subscriptions(self, path: str, queue: str) -> list[str]:
        found: Any = self.account.ask("GET", f"{path}/subscriptions", missing_ok=True)
        name = queue_name(queue, self.options.queue_name_prefix)
        items = [] if found is None else found["items"]
        return [each["id"] for each in items if each["endpoint"].get("queue_name") == name]

    def publish(self, exchange: str, routing_key: str, message: Envelope) -> int | None:
        with ERRORS.mapped(f"publish to fanout exchange {exchange!r}"):
            path = f"{self._topic(exchange)}/messages"
            self.account.ask("POST", path, None, {"body": dumps(message)})
        return None

    def subscribe(self, exchange: str, queue: str, routing_key: str) -> None:
        with ERRORS.mapped(f"subscribe queue {queue!r} to exchange {exchange!r}"):
            path = self._topic(exchange)
            if not self._subscriptions(path, queue):
                name = queue_name(queue, self.options.queue_name_prefix)
                wanted = {"endpoint_type": "queue", "endpoint": {"queue_name": name}}
                self.account.ask("POST", f"{path}/subscriptions", None, wanted)
        self._subscribed.setdefault(queue, set()).add(exchange)

    def unsubscribe(self, queue: str) -> None:
        with ERRORS.mapped(f"unsubscribe queue {queue!r}"):
            for exchange in self._subscribed.pop(queue, ()):
                path = self._topic(exchange)
                for identifier in self._subscriptions(path, queue):
                    target = f"{path}/subscriptions/{identifier}"
                    self.account.ask("DELETE", target, missing_ok=True)

    def pump(self, deliver: Callable[[str, Envelope], None]) -> int:
        return 0  # the service delivers into the queues
