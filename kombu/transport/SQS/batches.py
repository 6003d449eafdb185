"""SQS's batch calls: ten entries at most, some of which may fail while others succeed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Any

from amqp.exceptions import ChannelError, RecoverableChannelError

from kombu.transport.windows import windows

BATCH = 10
BATCH_BYTES = 1_048_576
ATTEMPTS = 5
LONGEST_PAUSE = 2.0

Entry = dict[str, Any]
#: Sends entries and gives back AWS's answer with its ``Failed`` list.
Call = Callable[[Sequence[Entry]], dict[str, Any]]


def body_size(entry: Entry) -> int:
    return len(entry.get("MessageBody", "").encode())


def pause(attempt: int) -> float:
    """Seconds before trying again: exponential with full jitter."""
    return random.uniform(0, min(LONGEST_PAUSE, 0.05 * 2**attempt))


def send_all(entries: Sequence[Entry], call: Call) -> dict[str, Exception]:
    """Make the calls and try again what failed by no fault of ours.

    Arguments:
        entries: each with an ``Id`` of its own.

    Returns:
        ``Id`` -> error of those that did not succeed.
    """
    failed: dict[str, Exception] = {}
    for window in windows(entries, body_size, BATCH, BATCH_BYTES):
        left = window
        for attempt in range(ATTEMPTS):
            refused = {fault["Id"]: fault for fault in call(left).get("Failed", ())}
            final = attempt == ATTEMPTS - 1
            for identifier, fault in refused.items():
                if fault.get("SenderFault") or final:
                    failed[identifier] = entry_error(fault)
            left = [entry for entry in left if entry["Id"] in refused and entry["Id"] not in failed]
            if not left:
                break
            time.sleep(pause(attempt))
    return failed


def entry_error(fault: Entry) -> Exception:
    text = f"{fault.get('Code', 'unknown error')}: {fault.get('Message', '')}"
    kind: type[Exception] = ChannelError if fault.get("SenderFault") else RecoverableChannelError
    return kind(text)
