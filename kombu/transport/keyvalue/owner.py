"""Who claims: a key that lives as long as its process renews it."""

from __future__ import annotations

import os
import threading
import time
from typing import Any
from uuid import uuid4

from kombu.transport.keyvalue.layout import OWNERS
from kombu.transport.keyvalue.port import KeyValue


class Owner:
    """One owner at a time; a new one, under another name, when it was found dead.

    Arguments:
        lease: seconds it is taken for living after its last renewal.
    """

    def __init__(self, keys: KeyValue, lease: float) -> None:
        self.keys = keys
        self.lease = lease
        self._lock = threading.RLock()
        self._name = ""
        self._handle: Any = None
        self._renewed = 0.0

    def ensure(self) -> str:
        """The name to claim under, good for at least half a lease."""
        with self._lock:
            if self._name and time.monotonic() - self._renewed < self.lease / 2:
                return self._name
            if not self.renew():
                begun = time.monotonic()
                name = f"{os.getpid()}-{uuid4().hex[:12]}"
                self._handle = self.keys.open_owner(f"{OWNERS}/{name}", self.lease)
                self._name, self._renewed = name, begun
            return self._name

    def renew(self) -> bool:
        """Start the lease anew; ``False`` when the owner is dead (or was never there)."""
        with self._lock:
            if not self._name:
                return False
            # Taken before the request is sent, so that the server's clock runs out later.
            begun = time.monotonic()
            if self.keys.renew_owner(self._handle):
                self._renewed = begun
                return True
            self._name = ""
            return False

    def close(self) -> None:
        """Die now: what is still claimed is free."""
        with self._lock:
            name, self._name = self._name, ""
            if name:
                self.keys.close_owner(self._handle)
