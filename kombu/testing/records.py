"""What went through a test's broker, and assertions about it."""

from __future__ import annotations

import base64
import difflib
import pprint
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kombu.message import Message
from kombu.transport.virtual.store import Envelope

#: Seconds that assertions wait for what other threads are about to do.
WITHIN = 1.0


@dataclass(frozen=True)
class Record:
    """One message as a test sees it.

    Arguments:
        body: deserialized.
        queue: the queue it went into or came from; ``None`` where it was recorded by its
            producer.
    """

    body: Any
    exchange: str
    routing_key: str
    queue: str | None
    headers: Mapping[str, Any] = field(default_factory=dict)
    properties: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, envelope: Envelope, queue: str | None) -> Record:
        """Read an envelope as it is stored."""
        properties = dict(envelope.get("properties") or {})
        info = properties.pop("delivery_info", None) or {}
        body = envelope.get("body")
        if properties.get("body_encoding") == "base64" and isinstance(body, (str, bytes)):
            body = base64.b64decode(body)
        content_type = envelope.get("content-type")
        message = Message(
            body=body,
            content_type=content_type,
            content_encoding=envelope.get("content-encoding"),
            headers=dict(envelope.get("headers") or {}),
            accept=[content_type] if content_type else None,
        )
        return cls(
            message.decode(),
            str(info.get("exchange") or ""),
            str(info.get("routing_key") or ""),
            queue,
            dict(envelope.get("headers") or {}),
            properties,
        )


class Records:
    """Messages in the order in which they came; threads may add some while a test waits.

    Arguments:
        what: what happened to them, for messages: ``published`` or ``consumed``.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self._records: list[Record] = []
        self._changed = threading.Condition()

    def add(self, record: Record) -> None:
        """Note one more."""
        with self._changed:
            self._records.append(record)
            self._changed.notify_all()

    def clear(self) -> None:
        """Forget all."""
        with self._changed:
            self._records.clear()

    @property
    def all(self) -> list[Record]:
        """All so far."""
        with self._changed:
            return list(self._records)

    def expect(
        self,
        expected: Mapping[str, Any],
        times: int | None,
        within: float,
    ) -> list[Record]:
        """The records that have all of ``expected``.

        Arguments:
            expected: field -> value; of ``headers`` and ``properties`` those named count.
            times: how many there must be; ``None``: one at least.
            within: seconds to wait for them.

        Raises:
            AssertionError: there are others, too many or too few; shows the nearest.
        """
        __tracebackhide__ = True
        deadline = time.monotonic() + (0 if times == 0 else within)
        with self._changed:
            while True:
                found = [record for record in self._records if _matches(record, expected)]
                enough = bool(found) if times is None else len(found) >= times
                left = deadline - time.monotonic()
                if enough or left <= 0:
                    break
                self._changed.wait(left)
            if not enough or (times is not None and len(found) != times):
                raise AssertionError(self._difference(expected, times, len(found)))
            return found

    def _difference(self, expected: Mapping[str, Any], times: int | None, found: int) -> str:
        wanted = "at least one message" if times is None else f"{times} message(s)"
        lines = [
            f"{wanted} like this should have been {self.what}, {found} were:",
            *_indented(pprint.pformat(dict(expected), width=80)),
        ]
        records = self._records
        if not records:
            return "\n".join([*lines, f"nothing was {self.what}"])
        if not found:
            nearest = max(records, key=lambda record: _nearness(record, expected))
            lines.append(f"the nearest that was {self.what} (- expected, + {self.what}):")
            lines.extend(_indented(_diff(expected, _shown(nearest, expected))))
        lines.append(f"all that was {self.what}:")
        lines.extend(
            f"  {number}. {record.body!r} to {record.exchange!r} with {record.routing_key!r}"
            + (f", queue {record.queue!r}" if record.queue else "")
            for number, record in enumerate(records[:20], 1)
        )
        return "\n".join(lines)


def _shown(record: Record, expected: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a record that an expectation is about."""
    return {name: _part(getattr(record, name), wanted) for name, wanted in expected.items()}


def _part(value: Any, wanted: Any) -> Any:
    if isinstance(wanted, Mapping) and isinstance(value, Mapping):
        return {key: value[key] for key in wanted if key in value}
    return value


def _matches(record: Record, expected: Mapping[str, Any]) -> bool:
    for name, wanted in expected.items():
        value = getattr(record, name)
        if name in ("headers", "properties"):
            value = _part(value, wanted)
        if wanted != value:
            return False
    return True


def _nearness(record: Record, expected: Mapping[str, Any]) -> float:
    alike = sum(1 for name, wanted in expected.items() if getattr(record, name) == wanted)
    wanted, got = pprint.pformat(dict(expected)), pprint.pformat(_shown(record, expected))
    return alike + difflib.SequenceMatcher(None, wanted, got).ratio()


def _diff(expected: Mapping[str, Any], got: Mapping[str, Any]) -> str:
    return "\n".join(
        line.rstrip("\n")
        for line in difflib.ndiff(
            pprint.pformat(dict(expected), width=60).splitlines(),
            pprint.pformat(dict(got), width=60).splitlines(),
        )
    )


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in text.splitlines()]
