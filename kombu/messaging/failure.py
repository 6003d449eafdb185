"""Failure policies: what becomes of a message when handling it is done, or failed.

====================  ============  ====================  ====================  ================
policy                before        handler returns       handler raises        undecodable
====================  ============  ====================  ====================  ================
``manual``                                                raised                raised
``ack-first``         acknowledged                        logged                logged
``ack``                             acknowledged          acknowledged, logged  rejected, logged
``reject-on-error``                 acknowledged          rejected, logged      rejected, logged
``requeue-on-error``                acknowledged          requeued, logged      rejected, logged
====================  ============  ====================  ====================  ================

A message that the handler has settled itself is left as it is, and so is one of a consumer
without acknowledgements. "Rejected" means dead-lettered where the queue says so. An
``on_decode_error`` handler is a handler like others: what it returns or raises counts.

Logged means that ``drain_events`` goes on; what ends a process (``KeyboardInterrupt``,
``SystemExit``) is raised always and leaves the message to the broker, which delivers it again.
That a message could not be settled, because the connection is lost, is raised too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from kombu.log import get_logger
from kombu.middleware.events import is_undecodable, needs_settling
from kombu.utils.logfields import message_fields

logger = get_logger(__name__)

Action = Literal["ack", "reject", "requeue"]

#: Called with a message and with what hands it to its handler.
Policy = Callable[[Any, Callable[[Any], Any]], None]


def _ack_first(message: Any, handle: Callable[[Any], Any]) -> None:
    if needs_settling(message):
        message.ack()
    try:
        handle(message)
    except Exception as exc:  # noqa: BLE001 - the policy's purpose
        _log(message, exc, "acknowledged before")


def _afterwards(on_error: Action) -> Policy:
    """Acknowledge what was handled; do ``on_error`` where that failed."""

    def policy(message: Any, handle: Callable[[Any], Any]) -> None:
        action: Action = "ack"
        try:
            handle(message)
        except Exception as exc:  # noqa: BLE001 - the policy's purpose
            action = "reject" if is_undecodable(message, exc) else on_error
            _log(message, exc, _WORDS[action] if needs_settling(message) else "settled before")
        if needs_settling(message):
            getattr(message, action)()

    return policy


_WORDS: Mapping[Action, str] = {
    "ack": "acknowledged",
    "reject": "rejected",
    "requeue": "requeued",
}

_POLICIES: Mapping[str, Policy | None] = {
    "manual": None,
    "ack-first": _ack_first,
    "ack": _afterwards("ack"),
    "reject-on-error": _afterwards("reject"),
    "requeue-on-error": _afterwards("requeue"),
}


def policy_named(name: str) -> Policy | None:
    """The policy of that name; ``None`` for ``manual``.

    Raises:
        ValueError: there is none; names those there are.
    """
    try:
        return _POLICIES[name]
    except KeyError:
        raise ValueError(f"no failure policy {name!r}: one of {', '.join(_POLICIES)}") from None


def _log(message: Any, exc: BaseException, fate: str) -> None:
    logger.error(
        "handling message %r failed (%s): %r",
        message.delivery_tag, fate, exc,
        exc_info=exc, extra=message_fields(message, reason=fate),
    )  # fmt: skip
