"""Consumers killed with SIGKILL at any moment lose nothing.

``KOMBU_CRASH_MESSAGES`` and ``KOMBU_CRASH_KILLS`` set the size; 30000 and 60 is the full one.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from kombu import Connection, Producer
from t.integration.redis.servers import RedisServer

MESSAGES = int(os.environ.get("KOMBU_CRASH_MESSAGES", "2000"))
KILLS = int(os.environ.get("KOMBU_CRASH_KILLS", "6"))
CONSUMERS = 8 if MESSAGES > 10_000 else 3


def _start(url: str, queue: str, log: Path, options: dict[str, object]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "t.integration.redis.crash_consumer",
            url,
            queue,
            str(log),
            json.dumps(options),
        ],
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.timeout(60 + MESSAGES // 100)
@pytest.mark.parametrize("steps", [[0], [0, 3, 6, 9]], ids=["one-step", "four-steps"])
@pytest.mark.parametrize("scheme", ["redis", "redis+streams"])
def test_killed_consumers_lose_nothing(
    server: RedisServer, tmp_path: Path, steps: list[int], scheme: str
) -> None:
    options: dict[str, object] = {"lease": 2, "priority_steps": steps}
    url = server.url.replace("redis:", f"{scheme}:", 1)
    log = tmp_path / "handled"
    log.touch()
    with Connection(url, transport_options=options) as connection:
        channel = connection.channel()
        channel.queue_declare("crash")
        producer = Producer(channel)
        with producer.batch():
            for number in range(MESSAGES):
                producer.publish({"n": number}, routing_key="crash", priority=number % 10)
        consumers = [_start(url, "crash", log, options) for _ in range(CONSUMERS)]
        dice = random.Random(7)
        handled: Counter[int] = Counter()
        kills = 0
        deadline = time.monotonic() + 40 + MESSAGES / 120
        try:
            while len(handled) < MESSAGES and time.monotonic() < deadline:
                time.sleep(dice.uniform(0.02, 0.1))
                handled = Counter(map(int, log.read_text().split()))
                # kills are spread over the whole run
                if kills < KILLS and len(handled) >= kills * MESSAGES / (KILLS + 2) and handled:
                    number = dice.randrange(CONSUMERS)
                    consumers[number].send_signal(signal.SIGKILL)
                    consumers[number].wait()
                    kills += 1
                    consumers[number] = _start(url, "crash", log, options)
        finally:
            for consumer in consumers:
                consumer.kill()
                consumer.wait()
        lost = MESSAGES - len(handled)
        twice = sum(handled.values()) - len(handled)
        print(f"{MESSAGES} sent, {kills} kills, {lost} lost, {twice} handled twice")
        assert kills >= min(KILLS, 3)
        assert lost == 0
        assert twice <= kills * 100
