"""Exchanges, bindings and queue arguments, as the broker process keeps them for all clients."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

Binding = tuple[str, str, str]


class Catalogue:
    """Safe for use by threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._types: dict[str, str] = {}
        self._bindings: dict[str, dict[Binding, None]] = {}
        self._arguments: dict[str, Mapping[str, Any]] = {}

    def bind(self, exchange: str, *binding: str) -> None:
        with self._lock:
            routing_key, pattern, queue = binding
            self._bindings.setdefault(exchange, {})[routing_key, pattern, queue] = None

    def unbind(self, exchange: str, *binding: str) -> None:
        with self._lock:
            routing_key, pattern, queue = binding
            self._bindings.get(exchange, {}).pop((routing_key, pattern, queue), None)

    def bindings(self, exchange: str) -> list[Binding]:
        with self._lock:
            return list(self._bindings.get(exchange, ()))

    def declare_exchange(self, exchange: str, type: str) -> None:
        with self._lock:
            self._types[exchange] = type

    def exchange_type(self, exchange: str) -> str | None:
        return self._types.get(exchange)

    def delete_exchange(self, exchange: str) -> None:
        with self._lock:
            self._types.pop(exchange, None)
            self._bindings.pop(exchange, None)

    def declare_queue(self, queue: str, arguments: Mapping[str, Any]) -> None:
        self._arguments[queue] = arguments

    def queue_arguments(self, queue: str) -> Mapping[str, Any] | None:
        return self._arguments.get(queue)

    def forget_queue(self, queue: str) -> None:
        self._arguments.pop(queue, None)
