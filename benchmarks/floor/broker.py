#!/usr/bin/env python3
"""The floor for `consume + broadcast + settle`: what a hand-written asyncio loop on redis-py reaches.

Not a product: one group, one consumer, no retries, no leases, no errors. The same atomic work, though:
XREADGROUP COUNT 100, decode and validate each message (msgpack, pydantic), build one follow-up event for
each, and settle 100 deliveries in one EVALSHA (per delivery: if XACK == 1 then XADD), the next batch being
read and handled while the last one settles.

Usage: broker.py URL [MESSAGES]
Prints one JSON line. Needs redis[hiredis], pydantic, msgpack, uvloop. Empties the database!
"""

import asyncio
import json
import sys
import time

import msgpack
import redis.asyncio as redis
import uvloop
from pydantic import BaseModel
from redis.backoff import NoBackoff
from redis.retry import Retry

IN, OUT, GROUP = b"{floor}:order-created", b"{floor}:email-sent", b"notification"
SETTLE = """
local batch = cmsgpack.unpack(ARGV[2])
for i = 1, #batch do
  if redis.call('XACK', KEYS[1], ARGV[1], batch[i][1]) == 1 then
    redis.call('XADD', KEYS[2], '*', 'id', batch[i][2], 'type', 'email-sent',
      'corr', batch[i][3], 'data', batch[i][4])
  end
end
return #batch
"""


class OrderCreated(BaseModel):
    """The event that is consumed."""

    order_id: str
    customer: str
    amount: float
    items: list[str]


async def handle(event: OrderCreated) -> dict[str, str]:
    """The no-op handler: the follow-up event's data."""
    return {"order_id": event.order_id, "customer": event.customer}


async def preload(client: redis.Redis, messages: int) -> None:
    """Put `messages` events into the stream and create the group at its beginning."""
    data = msgpack.packb(
        {"order_id": "o-123456", "customer": "c-1", "amount": 12.5, "items": ["a", "b", "c"]}
    )
    for start in range(0, messages, 500):
        pipe = client.pipeline(transaction=False)
        for i in range(start, min(start + 500, messages)):
            pipe.xadd(IN, {"id": f"e-{i}", "type": "order-created", "corr": f"f-{i}", "data": data})
        await pipe.execute()
    await client.xgroup_create(IN, GROUP, id="0")


async def run(url: str, messages: int) -> dict[str, str | float]:
    """Consume, answer and settle everything: messages per second, and microseconds of CPU for each."""
    client = redis.from_url(url, retry=Retry(NoBackoff(), 0), socket_timeout=None, protocol=2)
    await client.flushdb()
    await preload(client, messages)
    sha = await client.script_load(SETTLE)
    done, settling, started, cpu = 0, None, time.perf_counter(), time.process_time()
    while done < messages:
        reply = await client.xreadgroup(GROUP, "c1", {IN: ">"}, count=100, block=1000)
        batch = []
        for entry, fields in reply[0][1]:
            event = OrderCreated.model_validate(msgpack.unpackb(fields[b"data"]))
            outcome = await handle(event)
            batch.append([entry, fields[b"id"] + b".1", fields[b"corr"], msgpack.packb(outcome)])
        if settling:
            await settling
        packed = msgpack.packb(batch, use_bin_type=False)
        settling = asyncio.ensure_future(client.evalsha(sha, 2, IN, OUT, GROUP, packed))
        done += len(batch)
    await settling
    wall, used = time.perf_counter() - started, time.process_time() - cpu
    assert await client.xlen(OUT) == messages
    await client.aclose()
    return {"floor": "broker", "per_s": round(messages / wall), "cpu_us": round(1e6 * used / messages, 1)}


if __name__ == "__main__":
    print(json.dumps(uvloop.run(run(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 50_000))))
