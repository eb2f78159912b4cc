"""Ours at floor/flows.py's work: orders of five steps and nine commands, mediator and processors in one
worker process.

Usage: python -m benchmarks.ours.flows URL N rate|alone     prints one JSON line. Empties the database!
"""

import json
import sys
import time

import uvloop

from benchmarks.ours.application import application, order
from benchmarks.ours.process import POOL, empty, until, worker_process

WARM_UP = 5


async def rate(url: str, number: int) -> dict[str, object]:
    """Orders per second, from the first send to the last end."""
    app = application(url)
    async with worker_process(url), app.client() as client, app.store() as store:
        events = [order(i) for i in range(number)]
        started = time.perf_counter()
        await client.send_many(events)
        await until(store, "entered:topic:order-completed", number)
        wall = time.perf_counter() - started
    return {"orders_per_s": round(number / wall)}


async def alone(url: str, number: int) -> dict[str, object]:
    """One order at a time: ms from send to the end that the sender hears of."""
    times = []
    async with worker_process(url), application(url).client() as client:
        for i in range(number + WARM_UP):
            started = time.perf_counter()
            receipt = await client.send(order(i))
            outcome = await client.wait(receipt.id)
            times.append(1e3 * (time.perf_counter() - started))
            assert outcome.state == "completed", outcome
    times = sorted(times[WARM_UP:])
    middle, tail = times[len(times) // 2], times[int(0.99 * len(times))]
    return {"p50_ms": round(middle, 2), "p99_ms": round(tail, 2)}


async def main(url: str, number: int, mode: str) -> dict[str, object]:
    """Run one mode."""
    await empty(url)
    figures = await {"rate": rate, "alone": alone}[mode](url, number)
    return {"ours": "hybrid", **figures, "pool": POOL}


if __name__ == "__main__":
    print(json.dumps(uvloop.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))))
