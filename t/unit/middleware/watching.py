"""A middleware that writes down what it sees."""

from __future__ import annotations

from typing import Any

from kombu.middleware import Middleware


class Watch(Middleware):
    """Writes down (hook, what) before, and what came of it after."""

    def __init__(self, name: str = "", seen: list[Any] | None = None) -> None:
        self.name = name
        self.seen: list[Any] = [] if seen is None else seen

    def around(self, hook: str, what: Any, event: Any, proceed: Any) -> Any:
        self.seen.append((self.name + hook, what))
        try:
            return proceed(event)
        finally:
            self.seen.append((self.name + hook, "done"))

    def on_publish(self, publishing: Any, proceed: Any) -> Any:
        return self.around("publish", publishing.routing_key, publishing, proceed)

    def on_deliver(self, delivery: Any, proceed: Any) -> Any:
        return self.around("deliver", delivery.queue, delivery, proceed)

    def on_settle(self, settlement: Any, proceed: Any) -> Any:
        return self.around("settle", settlement.action, settlement, proceed)

    def on_declare(self, declaration: Any, proceed: Any) -> Any:
        return self.around("declare", declaration.entity.name, declaration, proceed)

    def on_reconnect(self, reconnection: Any, proceed: Any) -> Any:
        return self.around("reconnect", None, reconnection, proceed)

    def on_notice(self, notice: Any) -> None:
        self.seen.append((self.name + notice.kind, notice.queue))

    @property
    def begun(self) -> list[Any]:
        return [(hook, what) for hook, what in self.seen if what != "done"]
