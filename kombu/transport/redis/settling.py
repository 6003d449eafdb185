"""Ending and renewing leases on Redis (see ``settle.lua``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis import exceptions

from kombu.transport.redis.claims import RedisClaim, returned
from kombu.transport.redis.errors import mapped
from kombu.transport.redis.holder import StoreBase
from kombu.transport.redis.keys import Bookkeeping
from kombu.transport.redis.link import Command, Script
from kombu.transport.virtual.envelope import parse
from kombu.transport.virtual.store import Claim

#: Most messages that one script settles, so that the server is nobody's for long.
_TOGETHER = 1000


class SettleVerbs(StoreBase):
    """What a store does with messages that are held."""

    settle_script = Script("settle")

    def settle(
        self,
        acks: Sequence[Claim] = (),
        releases: Sequence[Claim] = (),
        rejects: Sequence[Claim] = (),
    ) -> None:
        self._check_open()
        done: dict[Bookkeeping, list[RedisClaim]] = {}
        back: dict[Bookkeeping, list[RedisClaim]] = {}
        plain: list[tuple[str, Command]] = []
        for claim in (*acks, *rejects):
            assert isinstance(claim, RedisClaim)
            if claim.field is not None:
                done.setdefault(claim.books, []).append(claim)
        for claim in sorted(releases, key=lambda claim: str(claim.receipt), reverse=True):
            assert isinstance(claim, RedisClaim)
            if claim.field is not None:
                back.setdefault(claim.books, []).append(claim)
            else:
                message = parse(claim.raw) or claim.message
                base = self._keys.base(claim.queue)
                plain.append((base, ("RPUSH", claim.source, returned(message))))
        with mapped("settle messages"):
            if plain:
                self._strict(self._server.pipeline(plain))
            for books in {**done, **back}:
                self._settle(books, [], done.get(books, []), back.get(books, []))

    def renew(self, claims: Sequence[Claim]) -> None:
        if self.lease is None or not claims:
            return
        self._check_open()
        held: dict[Bookkeeping, list[RedisClaim]] = {}
        for claim in claims:
            assert isinstance(claim, RedisClaim)
            if claim.field is not None:
                held.setdefault(claim.books, []).append(claim)
        with mapped("renew leases"):
            self._keep_consumed()
            for books, group in held.items():
                self._settle(books, group, [], [])

    def _settle(
        self,
        books: Bookkeeping,
        renewals: Sequence[RedisClaim],
        acks: Sequence[RedisClaim],
        releases: Sequence[RedisClaim],
    ) -> None:
        for first in range(0, max(len(renewals), len(acks), len(releases)), _TOGETHER):
            some = slice(first, first + _TOGETHER)
            self._settle_some(books, renewals[some], acks[some], releases[some])

    def _settle_some(
        self,
        books: Bookkeeping,
        renewals: Sequence[RedisClaim],
        acks: Sequence[RedisClaim],
        releases: Sequence[RedisClaim],
    ) -> None:
        arguments: list[Any] = [
            len(renewals),
            len(acks),
            len(releases),
            f"{self._options.lease_seconds:.6f}",
            *self._keys.around("deleted"),
            *self._keys.around("expiring"),
        ]
        for claim in (*renewals, *acks):
            arguments += (claim.field, claim.receipt)
        for claim in releases:
            message = parse(claim.raw) or claim.message
            arguments += (claim.field, claim.receipt, returned(message, claim.receipt))
        self._repeatable(self.settle_script, list(books), arguments)

    def _repeatable(self, script: Script, keys: list[str], arguments: list[Any]) -> Any:
        """Run a script that does nothing the second time, also when the connection is lost."""
        try:
            return self._server.script(script, keys, arguments)
        except exceptions.ConnectionError:
            return self._server.script(script, keys, arguments)
