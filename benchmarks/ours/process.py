"""One worker process of ours, for the benchmarks whose sender is another process."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redis.asyncio as redis
import uvloop

from benchmarks.ours.application import application
from hybrid.broker.shard import Store
from hybrid.runtime.dedicated import dedicate

POOL = "one pipelined connection per shard, one connection per blocking reader"


@asynccontextmanager
async def worker_process(url: str, *names: str) -> AsyncIterator[subprocess.Popen[str]]:
    """Run a worker (of these components) in a process of its own; gives it when it consumes."""
    command = [sys.executable, "-m", "benchmarks.ours.process", url, *names]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = await asyncio.to_thread(process.stdout.readline)
        assert line.strip() == "ready", line
        yield process
    finally:
        process.kill()
        process.wait()


async def empty(url: str) -> None:
    """Empty the database."""
    client = redis.from_url(url)
    await client.flushdb()
    await client.aclose()


async def counter(store: Store, name: str) -> int:
    """Return one of the counters that the scripts keep."""
    shard = store.shards[0]
    return int((await shard.queries.hash(shard.keys.counters)).get(name.encode(), 0))


async def until(store: Store, name: str, value: int) -> None:
    """Return when a counter has reached a value."""
    while await counter(store, name) < value:
        await asyncio.sleep(0.005)


async def _main(url: str, names: list[str]) -> None:
    async with application(url).worker(names) as worker:
        dedicate()  # as `hybrid run` does
        print("ready", flush=True)
        await worker.stopped.wait()


if __name__ == "__main__":
    uvloop.run(_main(sys.argv[1], sys.argv[2:]))
