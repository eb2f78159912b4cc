"""Ours at floor/sends.py's work: single sends, each confirmed, and sending many.

Usage: python -m benchmarks.ours.sends URL N     N single sends, then 10 N in bulk; prints one JSON line.
Empties the database!
"""

import json
import sys
import time

import uvloop

from benchmarks.ours.application import application, created
from benchmarks.ours.process import POOL, empty

WARM_UP = 50


async def main(url: str, number: int) -> dict[str, object]:
    """Validated, idempotent sends, one by one and in bulk."""
    await empty(url)
    times = []
    async with application(url).client() as client:
        for i in range(number + WARM_UP):
            started = time.perf_counter()
            await client.publish(created(i))
            times.append(time.perf_counter() - started)
        times = times[WARM_UP:]
        bulk = 10 * number
        started = time.perf_counter()
        for start in range(0, bulk, 10_000):
            await client.publish_many([created(i) for i in range(start, min(start + 10_000, bulk))])
        wall = time.perf_counter() - started
    return {
        "ours": "hybrid",
        "single_p50_us": round(1e6 * sorted(times)[number // 2], 1),
        "single_per_s": round(number / sum(times)),
        "many_us": round(1e6 * wall / bulk, 2),
        "many_per_s": round(bulk / wall),
        "pool": POOL,
    }


if __name__ == "__main__":
    print(json.dumps(uvloop.run(main(sys.argv[1], int(sys.argv[2])))))
