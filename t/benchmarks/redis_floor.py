"""redis-py with the commands a message needs, and no more: ``redis_floor.py CLIENT SCENARIO URL``.

That is the floor of ``broker.py``'s scenarios: one LPUSH for each message, pipelines of them,
and RPOP of a hundred, which acknowledges nothing.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from uuid import uuid4

import redis

#: As in broker.py.
PUBLISHED, BATCHED, CONSUMED, PREFETCH = 3_000, 20_000, 5_000, 100

#: About what an envelope of those scenarios takes.
TEXT = "x" * 520


def publish(client: redis.Redis, key: str) -> dict[str, float]:
    begin = time.perf_counter()
    for _ in range(PUBLISHED):
        client.lpush(key, TEXT)
    return {"publish/s": PUBLISHED / (time.perf_counter() - begin)}


def batch(client: redis.Redis, key: str) -> dict[str, float]:
    begin = time.perf_counter()
    for _ in range(BATCHED // 1000):
        pipeline = client.pipeline(transaction=False)
        for _ in range(1000):
            pipeline.lpush(key, TEXT)
        pipeline.execute()
    return {"batch publish/s": BATCHED / (time.perf_counter() - begin)}


def consume(client: redis.Redis, key: str) -> dict[str, float]:
    for _ in range(CONSUMED // 1000):
        client.lpush(key, *[TEXT] * 1000)
    begin = time.perf_counter()
    while client.rpop(key, PREFETCH):
        continue
    return {"consume+ack/s": CONSUMED / (time.perf_counter() - begin)}


SCENARIOS: dict[str, Callable[[redis.Redis, str], dict[str, float]]] = {
    "publish": publish,
    "batch": batch,
    "consume": consume,
}


def main(client: str, scenario: str, url: str) -> dict[str, float]:
    run = SCENARIOS.get(scenario)
    if run is None:
        return {}
    key = f"bench-{uuid4().hex[:8]}"
    with redis.Redis.from_url(url) as connection:
        try:
            return run(connection, key)
        finally:
            connection.delete(key)


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
