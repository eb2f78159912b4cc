"""Memory: bytes on the server per finished order with retention at its default, and whether server and
worker stay flat.

`bytes_per_order`: growth of used_memory over all orders, divided by their number. `server_flat`: growth in
the second half, divided by that in the first. `worker_flat`: the worker's resident memory at the end,
divided by that in the middle.

Usage: python -m benchmarks.ours.memory URL N     prints one JSON line. Empties the database!
"""

import json
import sys
from pathlib import Path

import uvloop

from benchmarks.ours.application import application, order
from benchmarks.ours.process import POOL, empty, until, worker_process
from hybrid.broker.shard import Store

CHUNK = 2_000


async def used(store: Store) -> int:
    """Bytes that the server uses."""
    return int((await store.shards[0].queries.info())["used_memory"])


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


async def main(url: str, number: int) -> dict[str, object]:
    """Run orders in chunks and look at the memory at the start, in the middle and at the end."""
    await empty(url)
    app = application(url)
    server, worker = [], []
    async with worker_process(url) as process, app.client() as client, app.store() as store:
        server.append(await used(store))
        for half in (0, 1):
            for start in range(half * number // 2, (half + 1) * number // 2, CHUNK):
                stop = min(start + CHUNK, (half + 1) * number // 2)
                await client.send_many([order(i) for i in range(start, stop)])
                await until(store, "entered:topic:order-completed", stop)
            server.append(await used(store))
            worker.append(resident(process.pid))
    first, second = server[1] - server[0], server[2] - server[1]
    return {
        "ours": "hybrid",
        "bytes_per_order": round((first + second) / number),
        "server_flat": round(max(second, 0) / max(first, 1), 3),
        "worker_flat": round(worker[1] / worker[0], 3),
        "pool": POOL,
    }


if __name__ == "__main__":
    print(json.dumps(uvloop.run(main(sys.argv[1], int(sys.argv[2])))))
