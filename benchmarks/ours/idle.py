"""One idle hop of ours: from the call of `publish` to the entry of the handler, in one process, 5 ms of
rest before each.

Usage: python -m benchmarks.ours.idle URL N     prints one JSON line. Empties the database!
"""

import asyncio
import json
import sys
import time

import uvloop

from benchmarks.ours.application import OrderCreated, application, created
from benchmarks.ours.process import POOL, empty
from hybrid import Processor

WARM_UP = 20
REST_S = 0.005
entered = asyncio.Queue[float]()
listener = Processor("listener")


@listener.on(OrderCreated)
async def enter(event: OrderCreated) -> None:
    """Say when."""
    entered.put_nowait(time.perf_counter())


async def main(url: str, number: int) -> dict[str, object]:
    """The hop's p50 and p99 in ms."""
    await empty(url)
    app = application(url)
    app.components = [*app.components, listener]
    times = []
    async with app.running("listener") as client:
        for i in range(number + WARM_UP):
            await asyncio.sleep(REST_S)
            started = time.perf_counter()
            await client.publish(created(i))
            times.append(1e3 * (await entered.get() - started))
    times = sorted(times[WARM_UP:])
    middle, tail = times[len(times) // 2], times[int(0.99 * len(times))]
    return {"ours": "hybrid", "p50_ms": round(middle, 3), "p99_ms": round(tail, 3), "pool": POOL}


if __name__ == "__main__":
    print(json.dumps(uvloop.run(main(sys.argv[1], int(sys.argv[2])))))
