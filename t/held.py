"""What a process holds, before and after something that must leave nothing."""

from __future__ import annotations

import gc
import os
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager


class Held:
    """Descriptors, threads, objects that the garbage collector knows, and bytes."""

    def __init__(self) -> None:
        gc.collect()
        self.descriptors = len(os.listdir("/proc/self/fd"))
        self.threads = threading.active_count()
        self.objects = len(gc.get_objects())
        self.bytes = tracemalloc.get_traced_memory()[0]

    def __str__(self) -> str:
        return (
            f"{self.descriptors} descriptors, {self.threads} threads, {self.objects} objects, "
            f"{self.bytes} bytes"
        )


@contextmanager
def nothing_left(objects: int = 200, size: int = 100_000) -> Iterator[None]:
    """Fails when more is held after the block than before, but for a few objects and bytes.

    Whatever is made once only must have been made before.
    """
    tracemalloc.start()
    try:
        before = Held()
        yield
        after = Held()
    finally:
        tracemalloc.stop()
    changed = f"{before}; afterwards {after}"
    assert after.descriptors <= before.descriptors, changed
    assert after.threads <= before.threads, changed
    assert after.objects <= before.objects + objects, changed
    assert after.bytes <= before.bytes + size, changed
