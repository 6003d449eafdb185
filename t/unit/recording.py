"""A channel that only writes down what is asked of it: for what must reach the broker, and how."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from amqp.protocol import queue_declare_ok_t


class Client:
    """Stands for the user's connection."""

    connection_errors: tuple[type[BaseException], ...] = (ConnectionResetError,)
    channel_errors: tuple[type[BaseException], ...] = (LookupError,)
    recoverable_connection_errors = connection_errors

    def __init__(self) -> None:
        self.declared_entities: set[int] = set()

    def ensure(self, obj: Any, fun: Any, **policy: Any) -> Any:
        return fun


class Transport:
    """Stands for the transport's connection."""

    def __init__(self) -> None:
        self.client = Client()


class RecordingChannel:
    """Writes down calls as (method, keywords); positional arguments are under ``args``."""

    supports_batch_publish = False
    shares_bindings = True
    channel_id = 1

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.connection = Transport()
        self.events: dict[str, set[Any]] = defaultdict(set)
        self.answers: dict[str, Any] = {}

    def __getattr__(self, method: str) -> Any:
        if method.startswith("__") or method == "message_to_python":
            raise AttributeError(method)

        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append((method, {**kwargs, "args": args} if args else kwargs))
            answer = self.answers.get(method)
            if isinstance(answer, BaseException):
                raise answer
            return answer(*args, **kwargs) if callable(answer) else answer

        return call

    def queue_declare(self, queue: str, **kwargs: Any) -> Any:
        self.calls.append(("queue_declare", {"queue": queue, **kwargs}))
        return queue_declare_ok_t(queue or "chosen-by-broker", 5, 2)

    def prepare_queue_arguments(self, arguments: Any, **options: Any) -> Any:
        given = {name: value for name, value in options.items() if value is not None}
        return {**(arguments or {}), **given}

    def prepare_message(
        self,
        body: Any,
        priority: Any = None,
        content_type: Any = None,
        content_encoding: Any = None,
        headers: Any = None,
        properties: Any = None,
    ) -> dict[str, Any]:
        return {
            "body": body,
            "priority": priority,
            "content_type": content_type,
            "content_encoding": content_encoding,
            "headers": headers,
            "properties": properties,
        }

    def named(self, method: str) -> list[dict[str, Any]]:
        """What was given to each call of ``method``."""
        return [kwargs for name, kwargs in self.calls if name == method]

    @property
    def methods(self) -> list[str]:
        """The names of all calls, in order."""
        return [name for name, _ in self.calls]
