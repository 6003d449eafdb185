"""Many consumers at once, consumers that are killed, a server that restarts."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kombu.testing.conformance import Harness
from kombu.testing.conformance.crashes import Durable, Restarts
from kombu.testing.conformance.store import envelope
from kombu.transport.sqlalchemy import Transport
from kombu.transport.virtual.store import Put, QueueSpec
from t.integration.sqlalchemy.databases import new_database
from t.integration.sqlalchemy.test_store import open_on
from t.kills import Trial
from t.services.pool import Servers

#: 5,000 and 60 make the full trial; a short one fits into every run.
MESSAGES = int(os.environ.get("KOMBU_KILL_MESSAGES", "400"))
KILLS = int(os.environ.get("KOMBU_KILLS", "4"))


def test_eight_consumers_contend(database_url: str) -> None:
    """No deadlock reaches them, no message reaches two of them."""
    total, consumers = 800, 8
    writer = open_on(database_url)
    writer.declare(QueueSpec("contended"))
    for start in range(0, total, 100):
        writer.put(
            [
                Put("contended", envelope(str(number)), priority=number % 3)
                for number in range(start, start + 100)
            ]
        )
    taken: list[str] = []
    failures: list[BaseException] = []
    lock = threading.Lock()

    def consume() -> None:
        store = open_on(database_url)
        try:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                claims = store.claim(["contended"], 10)
                with lock:
                    taken.extend(claim.message["body"] for claim in claims)
                    if len(taken) >= total:
                        return
                store.renew(claims)
                store.settle(acks=claims[1:], releases=claims[:1])
                with lock:  # the released one comes again, to somebody
                    if claims:
                        taken.remove(claims[0].message["body"])
        except BaseException as exc:  # noqa: BLE001 - shown by the test
            failures.append(exc)
        finally:
            store.close()

    threads = [threading.Thread(target=consume) for _ in range(consumers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    writer.close()
    assert failures == []
    assert sorted(taken, key=int) == [str(number) for number in range(total)]


def test_killed_consumers_lose_nothing(database_url: str, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    outcome = Trial(f"sqla+{database_url}", {"lease": 2.0}, notes, MESSAGES, KILLS).run()
    assert (outcome.lost, outcome.left) == (0, 0)


@pytest.mark.server("postgres")
class TestPostgreSQLRestart(Restarts, Durable):
    features = Transport.features
    restartable = True

    @pytest.fixture
    def harness(self, servers: Servers, tmp_path: Path) -> Iterator[Harness]:
        url = new_database("postgresql", servers, tmp_path)
        restart = servers.service("postgres").restart
        with Harness(url, transport_options={"lease": 1}, restart=restart) as harness:
            yield harness
