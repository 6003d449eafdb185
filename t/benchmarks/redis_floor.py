"""What redis-py alone does with the commands that a message needs: ``redis_floor.py URL``.

Run by either side's interpreter; prints one JSON line.
"""

from __future__ import annotations

import json
import sys
import time
from uuid import uuid4

import redis

#: About what an envelope of the other scenarios takes.
TEXT = "x" * 520


def main(url: str, count: int = 3_000, many: int = 50_000) -> dict[str, float]:
    figures: dict[str, float] = {}
    key = f"bench-{uuid4().hex[:8]}"
    with redis.Redis.from_url(url) as client:
        begin = time.perf_counter()
        for _ in range(count):
            client.lpush(key, TEXT)
        figures["raw LPUSH/s"] = count / (time.perf_counter() - begin)
        begin = time.perf_counter()
        for _ in range(many // 1000):
            pipeline = client.pipeline(transaction=False)
            for _ in range(1000):
                pipeline.lpush(key, TEXT)
            pipeline.execute()
        figures["raw pipelined LPUSH/s"] = many / (time.perf_counter() - begin)
        begin = time.perf_counter()
        taken = 0
        while found := client.rpop(key, 100):
            taken += len(found)
        figures["raw RPOP 100/s"] = taken / (time.perf_counter() - begin)
    return figures


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
