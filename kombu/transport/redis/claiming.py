"""Taking messages from queues on Redis under a lease (see ``claim.lua``)."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from kombu.transport.redis.claims import RedisClaim
from kombu.transport.redis.errors import ERRORS as TABLE
from kombu.transport.redis.errors import WrongType, mapped
from kombu.transport.redis.holder import or_none
from kombu.transport.redis.link import Script
from kombu.transport.redis.settling import SettleVerbs
from kombu.transport.virtual.envelope import parse
from kombu.transport.virtual.store import Claim, Discard
from kombu.utils.logfields import log_fields

logger = logging.getLogger("kombu.transport.redis")


class ClaimVerbs(SettleVerbs):
    """What a store does to hand messages out."""

    claim_script = Script("claim")

    def claim(self, queues: Sequence[str], limit: int) -> list[Claim]:
        self._check_open()
        claims: list[Claim] = []
        if not queues or limit < 1:
            return claims
        if self._keys.tagged:
            self.watch(queues)
        self.sweep_if_due()
        wrong: list[bytes] = []
        try:
            with mapped("claim messages"):
                if self._expiry:
                    self._keep_consumed()  # before the handler may be at work for long
                for group in self._keys.grouped(queues):
                    if len(claims) < limit:
                        claims += self._claim_group(group, limit - len(claims), wrong)
                # In a cluster the script has signed us off only from what it took messages from.
                rest = list(self.waker.registration.queues)
                if claims and rest:
                    self.waker.registration.resign(rest)
        except (*TABLE.connection_errors, *TABLE.channel_errors) as exc:
            if not claims:
                raise
            # What was claimed of other queues is held: it must not wait for its lease's end.
            logger.warning("some of the queues %r can't be claimed from: %s", list(queues), exc)
        if wrong:
            self._complain(wrong, raising=not claims)
        return claims

    def _claim_group(
        self,
        group: Sequence[str],
        limit: int,
        wrong: list[bytes],
        keep: tuple[int, int] = (-1, -1),
    ) -> list[Claim]:
        books = self._keys.bookkeeping(group[0])
        names: list[str] = list(books)
        lists: list[list[str]] = []
        for queue in group:
            of_queue = self._keys.lists(queue)
            lists.append(of_queue)
            names += [
                self._keys.of_queue("idle", queue),
                self._keys.of_queue("delayed", queue),
                self._keys.of_queue("quarantine", queue),
                *of_queue,
            ]
        registered = self._registrations(group)
        for queue in registered:
            names += [self._keys.of_queue("idle", queue), self._keys.of_queue("sentry", queue)]
        owner = self._current_owner()
        micros, _left, rows, bad, wrong_keys = self._server.script(
            self.claim_script,
            names,
            [
                limit,
                owner,
                f"{self._options.lease_seconds:.6f}",
                len(group),
                len(self._keys.steps),
                len(registered),
                int(self._options.ack_emulation),
                self._keys.wake_channel,
                *keep,
                *group,
                *self._keys.steps,
            ],
        )
        for index in range(0, len(bad), 2):
            self._report_bad(group[bad[index] - 1], bad[index + 1])
        wrong += wrong_keys
        stamp = micros.decode()
        claims: list[Claim] = []
        unreadable: list[RedisClaim] = []
        for index in range(0, len(rows), 4):
            number, place, field, raw = rows[index : index + 4]
            which, step = divmod(number - 1, len(self._keys.steps))
            queue = group[which]
            message = parse(raw)
            claim = RedisClaim(
                queue,
                message or {},
                f"{stamp}{place:05d}/{owner}",
                raw,
                field if self._options.ack_emulation else None,
                books,
                lists[which][step],
                step,
            )
            if message is None:
                unreadable.append(claim)
            else:
                claims.append(claim)
        for claim in unreadable:
            self._set_aside(claim)
        for queue in {claim.queue for claim in claims} & self._expiry.keys():
            self._server.pipeline(
                [(self._keys.base(queue), c) for c in self._touch(queue, self._expiry[queue])]
            )
        if rows:
            self.waker.signed_off(registered)
        return claims

    def _registrations(self, group: Sequence[str]) -> list[str]:
        """Queues we are registered for as waiting, that a script for ``group`` may touch."""
        registered = self.waker.registration.queues
        if self._keys.tagged:
            return [queue for queue in group if queue in registered]
        return list(registered)

    def _report_bad(self, queue: str, raw: bytes) -> None:
        logger.error(
            "a value in queue %r is not a message; set aside in %r (%d bytes, starts with %r)",
            queue,
            self._keys.of_queue("quarantine", queue),
            len(raw),
            raw[:40],
            extra=log_fields(queue=queue, reason="quarantined"),
        )

    def _set_aside(self, claim: RedisClaim) -> None:
        """Move what the script took for a message, and is none, out of the way."""
        self._server.call(
            self._keys.base(claim.queue),
            "LPUSH",
            self._keys.of_queue("quarantine", claim.queue),
            claim.raw,
        )
        if claim.field is not None:
            self._settle(claim.books, [], [claim], [])
        self._report_bad(claim.queue, claim.raw)

    def _complain(self, wrong: Sequence[bytes], raising: bool) -> None:
        names = sorted({name.decode("utf-8", "replace") for name in wrong})
        text = f"keys {names} hold something else than a queue's list"
        for name in names:
            if name not in self._complained:
                self._complained.add(name)
                logger.error("key %r holds something else than a queue's list", name)
        if raising:
            raise TABLE.translate(WrongType(text), "claim messages")

    def sweep(self, limit: int) -> list[Discard]:
        found: list[Discard] = []
        for queue in list(self._crowded):
            policy = self._policy(queue)
            if policy is None or not policy.bounded or policy.overflow != "drop-head":
                self._crowded.discard(queue)
                continue
            keep = (or_none(policy.max_length), or_none(policy.max_bytes))
            with mapped(f"shorten queue {queue!r}"):
                claims = self._claim_group([queue], limit - len(found), [], keep)
            found += [Discard("maxlen", claim) for claim in claims]
            if len(found) >= limit:
                break
            self._crowded.discard(queue)
        return found

    # ---- messages of owners that are gone

    def sweep_if_due(self) -> int:
        """Put back what owners left behind, when it is time to look; how many messages."""
        if self.lease is None or not self.restorer.is_due:
            return 0
        with mapped("restore messages"):
            return self.restorer.sweep()

    def watch(self, queues: Sequence[str]) -> None:
        """Name the queues whose abandoned messages this client restores (cluster)."""
        self.restorer.queues.update(queues)
