#!/usr/bin/env python3
"""The floor for `five steps, nine commands`: a hand-written mediator and worker on sync redis-py, one process
each.

Not a product: fixed steps in one Lua script, no re-run, no payload validation, no broadcasts, no leases, no
history.

Usage: flows.py URL rate ORDERS | flows.py URL alone ORDERS      prints one JSON line. Empties the database!
"""

import json
import multiprocessing
import sys
import time

import redis

STEPS = [
    ["create-order"],
    ["email-customer", "apply-payment", "adjust-inventory"],
    ["fulfill-order", "order-stock"],
    ["ship-order", "email-customer"],
    ["email-customer"],
]
ADVANCE = """
local steps, id, step, task = cjson.decode(ARGV[1]), ARGV[2], tonumber(ARGV[3]), ARGV[4]
local flow = 'flow:' .. id
redis.call('XACK', ARGV[5], 'g', ARGV[6])
if step == 0 then
  if redis.call('HSETNX', flow, 'step', '1') == 0 then return 0 end
  redis.call('HSET', flow, 'data', ARGV[7])
else
  if redis.call('HGET', flow, 'step') ~= ARGV[3] then return 0 end
  if redis.call('HDEL', flow, 'wait:' .. task) == 0 then return 0 end
  if redis.call('HINCRBY', flow, 'left', -1) > 0 then return 0 end
  redis.call('HSET', flow, 'step', step + 1)
end
local following = steps[step + 1]
if not following then redis.call('RPUSH', 'done', id) return 1 end
redis.call('HSET', flow, 'left', #following)
local data = redis.call('HGET', flow, 'data')
for _, t in ipairs(following) do
  redis.call('HSET', flow, 'wait:' .. t, '1')
  redis.call('XADD', 'commands', '*', 'id', id, 'step', step + 1, 'task', t, 'data', data)
end
return 0
"""


def order(i: int) -> str:
    """The JSON of the order number `i`."""
    return json.dumps(
        {
            "order_id": f"o{i}",
            "customer": "c",
            "amount": 1.5,
            "items": [{"sku": "s", "qty": 1, "price": 9.9}] * 3,
        }
    )


def mediator(url: str) -> None:
    """For ever: read orders and acknowledgements, advance the flows by script."""
    client = redis.from_url(url)
    sha, steps = client.script_load(ADVANCE), json.dumps(STEPS)
    while True:
        reply = client.xreadgroup("g", "m", {"orders": ">", "results": ">"}, count=100, block=2000)
        pipe = client.pipeline(transaction=False)
        for stream, entries in reply or ():
            for entry, f in entries:
                step, task = (0, "") if stream == b"orders" else (f[b"step"], f[b"task"])
                pipe.evalsha(sha, 0, steps, f[b"id"], step, task, stream, entry, f.get(b"data", b""))
        pipe.execute()


def worker(url: str) -> None:
    """For ever: read commands, decode them, acknowledge them."""
    client = redis.from_url(url)
    while True:
        reply = client.xreadgroup("g", "w", {"commands": ">"}, count=100, block=2000)
        pipe = client.pipeline(transaction=False)
        for _, entries in reply or ():
            for entry, f in entries:
                json.loads(f[b"data"])
                pipe.xadd("results", {"id": f[b"id"], "step": f[b"step"], "task": f[b"task"]})
                pipe.xack("commands", "g", entry)
        pipe.execute()


def rate(client: redis.Redis, orders: int) -> dict[str, str | float]:
    """Orders per second with all of them sent at once."""
    started = time.perf_counter()
    pipe = client.pipeline(transaction=False)
    for i in range(orders):
        pipe.xadd("orders", {"id": f"o{i}", "data": order(i)})
    pipe.execute()
    while client.llen("done") < orders:
        time.sleep(0.005)
    return {"floor": "flows", "orders_per_s": round(orders / (time.perf_counter() - started))}


def alone(client: redis.Redis, orders: int) -> dict[str, str | float]:
    """Milliseconds from sending to done, one order at a time."""
    times = []
    for i in range(orders + 5):
        started = time.perf_counter()
        client.xadd("orders", {"id": f"a{i}", "data": order(i)})
        client.blpop("done", 10)
        times.append(1e3 * (time.perf_counter() - started))
    times = sorted(times[5:])
    return {
        "floor": "flows",
        "p50_ms": round(times[len(times) // 2], 2),
        "p99_ms": round(times[int(0.99 * len(times))], 2),
    }


if __name__ == "__main__":
    url, mode, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
    main = redis.from_url(url)
    main.flushdb()
    for key in ("orders", "results", "commands"):
        main.xgroup_create(key, "g", id="0", mkstream=True)
    parts = [multiprocessing.Process(target=part, args=(url,), daemon=True) for part in (mediator, worker)]
    for part in parts:
        part.start()
    time.sleep(0.5)
    print(json.dumps({"rate": rate, "alone": alone}[mode](main, number)))
    for part in parts:
        part.kill()
