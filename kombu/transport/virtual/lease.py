"""Settlements that leave together, and leases that are kept alive."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from weakref import WeakMethod, ref

from amqp.exceptions import ConnectionError as AMQPConnectionError

from kombu.transport.virtual.settlement import Settlement, Unsettled
from kombu.transport.virtual.store import Claim, Store
from kombu.utils import forking
from kombu.utils.logfields import log_fields
from kombu.utils.loggers import get_logger

logger = get_logger(__name__)

#: Acknowledgements wait for company no longer than this many seconds.
GATHER_TIME = 0.005

#: Nor for more than this many others.
GATHER_COUNT = 100

#: Seconds of the longest sleep of the thread.
LONGEST_PAUSE = 30.0

#: Seconds for which closing waits for settlements that other threads are sending.
PATIENCE = 5.0


class LeaseKeeper:
    """Holds the claims of one store: renews their leases and settles them in batches.

    One small daemon thread per store with leases, started with the first claim; it ends
    with the store. Safe for use by threads. A forked child starts with nothing held and
    settles nothing of its parent's.

    Arguments:
        store: whose claims these are.
        max_hold: seconds after which a claim is not renewed any more though its owner
            lives; ``None``: for as long as it lives.
    """

    def __init__(self, store: Store, max_hold: float | None = None) -> None:
        self.store = store
        self.max_hold = max_hold
        #: Told how many leases were renewed; weak, as nobody must keep the connection.
        self.on_renewed: WeakMethod[Callable[[int], None]] | None = None
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        self._wake = threading.Event()
        self._held: dict[int, tuple[Claim, float]] = {}
        self._acks: list[Claim] = []
        self._oldest = 0.0
        #: Settlements being sent, by whatever thread.
        self._leaving = 0
        self._failed = Unsettled()
        self._renewed = time.monotonic()
        self._thread: threading.Thread | None = None
        self._closed = False
        forking.register(self)

    def hold(self, claims: Iterable[Claim]) -> None:
        """Keep these claims' leases alive until they are settled."""
        if self.store.lease is None:
            return
        now = time.monotonic()
        with self._lock:
            if not self._held:
                self._renewed = now
            self._held.update((id(claim), (claim, now)) for claim in claims)
            self._start()

    def _start(self) -> None:
        """Have the thread run; called with the lock held."""
        if self._thread is None and not self._closed:
            self._thread = threading.Thread(
                target=_keep, args=(ref(self), self._wake), name="kombu-leases", daemon=True
            )
            self._thread.start()

    def ack(self, claims: Sequence[Claim], now: bool) -> None:
        """Settle as done.

        Arguments:
            now: in this call, so that a failure is raised here; otherwise with others,
                within a few milliseconds.
        """
        if now and not self._acks and not self._held:
            self.store.settle(claims)
            return
        with self._lock:
            if not self._acks:
                self._oldest = time.monotonic()
            self._acks.extend(claims)
            waiting = len(self._acks)
        if now or waiting >= GATHER_COUNT:
            self.flush()
        else:
            self._gather()

    def _gather(self) -> None:
        if self._thread is None:
            with self._lock:
                self._start()
        self._wake.set()

    def settle(self, releases: Iterable[Claim] = (), rejects: Iterable[Claim] = ()) -> None:
        """Settle at once, together with the acknowledgements that are waiting.

        Nothing happens once the keeper was closed or abandoned: the leases run out.

        Raises:
            a connection or channel error of the transport; it is tried again then, and the
            leases are kept meanwhile.
        """
        if self._closed:
            return
        released, rejected = list(releases), list(rejects)
        with self._lock:
            acks, self._acks = self._acks, []
            if not (acks or released or rejected):
                return
            self._leaving += 1
        settlement = Settlement(acks, released, rejected)
        try:
            self._send(settlement)
        except Exception:
            self._keep_for_later([settlement])
            raise
        finally:
            self._left()

    def _send(self, settlement: Settlement) -> None:
        self.store.settle(settlement.acks, settlement.releases, settlement.rejects)
        with self._lock:
            self._failed.succeeded()
            for claim in settlement.claims:
                self._held.pop(id(claim), None)

    def _left(self) -> None:
        with self._lock:
            self._leaving -= 1
            self._arrived.notify_all()

    def _keep_for_later(self, settlements: Iterable[Settlement]) -> None:
        with self._lock:
            if self._closed:
                return
            self._failed.keep(settlements)
            self._start()
        self._wake.set()

    def _retry(self) -> None:
        """Try once more what failed; raises if the backend can't be reached."""
        with self._lock:
            failed = self._failed.take()
            self._leaving += 1
        try:
            while failed:
                try:
                    self._send(failed[0])
                except AMQPConnectionError:
                    self._keep_for_later(failed)
                    raise
                except Exception as exc:  # noqa: BLE001 - what is refused is not to stop others
                    self._refused(failed[0], exc)
                failed.popleft()
        finally:
            self._left()

    def _refused(self, settlement: Settlement, exc: Exception) -> None:
        rest = settlement.after_refusal()
        if rest:
            self._keep_for_later(rest)
            return
        with self._lock:
            for claim in settlement.claims:
                self._held.pop(id(claim), None)
        for claim in settlement.claims:
            logger.error(
                "%r can't be settled: it returns when its lease ends: %r", claim, exc,
                extra=log_fields(queue=claim.queue, reason="not settled"),
            )  # fmt: skip

    def flush(self) -> None:
        """Settle the acknowledgements that are waiting, and what failed before and is due."""
        if self._failed.due:
            self._retry()
        if self._acks:
            self.settle()

    def renew(self) -> None:
        """Renew what is held, when a third of the lease has passed."""
        lease = self.store.lease
        now = time.monotonic()
        if lease is None or not self._held or now - self._renewed < lease / 3:
            return
        with self._lock:
            # Should it fail: again in a twelfth of the lease.
            self._renewed = now - lease / 4
            if self.max_hold is not None:
                for key, (claim, since) in list(self._held.items()):
                    if now - since > self.max_hold:
                        logger.warning(
                            "%r is held for too long: not renewed any more", claim,
                            extra=log_fields(queue=claim.queue, reason="held too long"),
                        )  # fmt: skip
                        del self._held[key]
            claims = [claim for claim, _ in self._held.values()]
        if claims:
            self.store.renew(claims)
        self._renewed = now
        if claims:
            tell = None if self.on_renewed is None else self.on_renewed()
            if tell is not None:
                tell(len(claims))

    def tick(self) -> None:
        """What is due: overdue acknowledgements and renewals."""
        try:
            if self._failed.due or (self._acks and time.monotonic() >= self._acks_due()):
                self.flush()
        finally:
            self.renew()

    def _acks_due(self) -> float:
        """When gathered acknowledgements leave: a backend that fails is given a pause."""
        return max(self._oldest + GATHER_TIME, self._failed.due_at)

    @property
    def idle(self) -> bool:
        """Whether :meth:`tick` has nothing to do."""
        return not (self._acks or self._held or self._failed)

    def pause(self) -> float:
        """Seconds until :meth:`tick` may have something to do."""
        now, lease = time.monotonic(), self.store.lease
        # What is held meanwhile wakes nobody: it must be renewed in time all the same.
        due = [now + (LONGEST_PAUSE if lease is None else min(lease / 3, LONGEST_PAUSE))]
        if self._acks:
            due.append(self._acks_due())
        if self._failed:
            due.append(self._failed.due_at)
        if self._held and lease is not None:
            due.append(self._renewed + lease / 3)
        return max(min(due) - now, 0.0005)

    def close(self) -> None:
        """Settle what is waiting and stop; called before the store is closed."""
        try:
            self.flush()
            with self._arrived:
                self._arrived.wait_for(lambda: not self._leaving, PATIENCE)
        finally:
            self._closed = True
            self._wake.set()

    def abandon(self) -> None:
        """Stop and forget everything without touching the store (after a fork, or its loss)."""
        self._closed = True
        with self._lock:
            self._acks.clear()
            self._failed.clear()
            self._held.clear()
        self._wake.set()

    @property
    def finished(self) -> bool:
        """Whether the thread has to end."""
        return self._closed

    def after_fork_in_child(self) -> None:
        """In a child: hold nothing, settle nothing; the parent does."""
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        self._wake = threading.Event()
        self._thread = None
        self._held = {}
        self._acks = []
        self._failed = Unsettled()
        self._leaving = 0


def _keep(keeper_ref: ref[LeaseKeeper], wake: threading.Event) -> None:
    """The thread: holds no reference to the keeper while it sleeps."""
    failures = 0
    while True:
        keeper = keeper_ref()
        if keeper is None or keeper.finished:
            return
        try:
            keeper.tick()
            failures = 0
        except Exception as exc:  # noqa: BLE001 - the drain loop meets it too, and raises it
            failures += 1
            logger.warning("could not settle or renew (%d in a row): %r", failures, exc)
        pause = keeper.pause()
        del keeper
        wake.wait(pause)
        wake.clear()
