#!/usr/bin/env python3
"""The floor for sending: bare XADDs by redis-py's asyncio client.

First COUNT events one by one, each confirmed by the server before the next is sent; then ten times as many
in pipelines of 500. The events are those of broker.py, encoded before the clock starts: no validation, no
id check, no size limit.

Usage: sends.py URL [COUNT]
Prints one JSON line. Needs redis[hiredis], msgpack, uvloop. Empties the database!
"""

import json
import statistics
import sys
import time

import msgpack
import redis.asyncio as redis
import uvloop
from redis.backoff import NoBackoff
from redis.retry import Retry

STREAM = b"{floor}:sends"
PIPELINE = 500
WARM_UP = 50
DATA = msgpack.packb({"order_id": "o-123456", "customer": "c-1", "amount": 12.5, "items": ["a", "b", "c"]})


def event(i: int) -> dict[str, str | bytes]:
    """The stream fields of the event number `i`, as in broker.py."""
    return {"id": f"e-{i}", "type": "order-created", "corr": f"f-{i}", "data": DATA}


async def singly(client: redis.Redis, count: int) -> dict[str, float]:
    """One confirmed XADD after the other: the median in microseconds, and the rate."""
    for i in range(WARM_UP):
        await client.xadd(STREAM, event(i))
    events, times, began = [event(i) for i in range(count)], [], time.perf_counter()
    for fields in events:
        started = time.perf_counter()
        await client.xadd(STREAM, fields)
        times.append(time.perf_counter() - started)
    wall = time.perf_counter() - began
    return {"single_p50_us": round(1e6 * statistics.median(times), 1), "single_per_s": round(count / wall)}


async def in_pipelines(client: redis.Redis, count: int) -> dict[str, float]:
    """Pipelines of 500 XADDs without MULTI, one after the other: microseconds per item, and the rate."""
    events = [event(i) for i in range(count)]
    started = time.perf_counter()
    for start in range(0, count, PIPELINE):
        pipe = client.pipeline(transaction=False)
        for fields in events[start : start + PIPELINE]:
            pipe.xadd(STREAM, fields)
        await pipe.execute()
    wall = time.perf_counter() - started
    return {"many_us": round(1e6 * wall / count, 1), "many_per_s": round(count / wall)}


async def run(url: str, count: int) -> dict[str, str | float]:
    """Both ways of sending, on an empty database."""
    client = redis.from_url(url, retry=Retry(NoBackoff(), 0), socket_timeout=None, protocol=2)
    await client.flushdb()
    single = await singly(client, count)
    await client.flushdb()
    many = await in_pipelines(client, 10 * count)
    await client.aclose()
    return {"floor": "sends"} | single | many


if __name__ == "__main__":
    print(json.dumps(uvloop.run(run(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5_000))))
