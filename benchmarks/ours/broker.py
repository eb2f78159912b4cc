"""Ours at floor/broker.py's work: per-message typed handlers, consume + broadcast + settle, one worker
process.

Usage: python -m benchmarks.ours.broker URL N     prints one JSON line. Empties the database!
"""

import json
import sys
import time

import uvloop

from benchmarks.ours.application import application, created
from benchmarks.ours.process import POOL, empty, until


async def main(url: str, number: int) -> dict[str, object]:
    """Events per second, from the start of the worker until the last is settled."""
    await empty(url)
    app = application(url)
    async with app.client() as client, app.store() as store:
        for start in range(0, number, 10_000):
            await client.publish_many([created(i) for i in range(start, min(start + 10_000, number))])
        started, cpu = time.perf_counter(), time.process_time()
        async with app.worker(["notification"]):
            await until(store, "settled:notification", number)
            wall, used = time.perf_counter() - started, time.process_time() - cpu
    cpu_us = round(1e6 * used / number, 1)
    return {"ours": "hybrid", "per_s": round(number / wall), "cpu_us": cpu_us, "pool": POOL}


if __name__ == "__main__":
    print(json.dumps(uvloop.run(main(sys.argv[1], int(sys.argv[2])))))
