"""Flows that wait, half of them asleep for thirty days, half for a person: what they cost.

`bytes_per_flow`: growth of the server's used_memory, less the flow's own data (its event and what it asks),
divided by their number. `server_idle`, `worker_idle`: CPU time of an idle system with them, divided by that
without any; `commands_idle`: commands on the server, likewise. `late_ms`: how late at most naps of some
seconds ended, until the flow had gone on, with 100,000 timers pending. `tasks_s`, `flows_s`: seconds of
`hybrid tasks list` and `hybrid flows list`, start-up included.

Usage: python -m benchmarks.ours.waiting URL N     prints one JSON line. Empties the database!
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import redis
import uvloop

from benchmarks.ours.memory import used
from benchmarks.ours.process import POOL, empty
from hybrid import HARD, App, Client, Event, Flow, Mediator, Settings, SimpleMediator, days, seconds
from hybrid.broker.shard import Store
from hybrid.codec import pack
from hybrid.mediator.place import timeout_member
from hybrid.mediator.record import FIRED
from hybrid.runtime.dedicated import dedicate

CHUNK, PENDING, NAPS = 1_000, 100_000, 50
IDLE_S = 30.0
"""How long an idle system is watched."""
AFTER_S = 60.0
"""So long after a load the server itself still tidies up: its file, its tables, its memory."""
QUESTION = "Approve this order?"
TICKS = os.sysconf("SC_CLK_TCK")
COMMAND = [sys.executable, "-m", "cli", "--app", "benchmarks.ours.waiting:app"]


class OrderPlaced(Event):
    """The initiating event."""

    order_id: str
    amount: float


class Nap(Event):
    """Initiates a flow that sleeps for some seconds."""

    seconds: float


front = SimpleMediator("front")
orders = Mediator("order", handles=HARD)


@front.classify(OrderPlaced | Nap, HARD)
def always_hard(event: OrderPlaced | Nap):
    """Every order is mediated."""
    return HARD


@orders.flow(OrderPlaced)
async def place_order(event: OrderPlaced, flow: Flow) -> None:
    """Wait: every other one for a person."""
    if event.amount:
        await flow.ask(QUESTION, choices=("yes", "no"), for_="manager")
    else:
        await flow.sleep(days(30))


@orders.flow(Nap)
async def nap(event: Nap, flow: Flow) -> None:
    """Wait a little."""
    await flow.sleep(seconds(event.seconds))


def application(url: str) -> App:
    """The application on a server."""
    return App("bench", [front, orders], settings=Settings.load(redis_url=url))


app = application(os.environ.get("HYBRID_REDIS_URL", "redis://127.0.0.1:6379"))


def order(n: int) -> OrderPlaced:
    """The events: their size is that of an order's id and an amount."""
    return OrderPlaced(order_id=f"o{n}", amount=float(n % 2))


def own_bytes(n: int) -> int:
    """Bytes of what a flow has of its own: its event, and what it asks."""
    asks = len(QUESTION) + len(pack(["manager", ["yes", "no"]])) if n % 2 else 0
    return len(pack(order(n).__dict__)) + asks


class Spent(NamedTuple):
    """What an idle system has spent per second: CPU time of server and worker, and commands."""

    server: float
    worker: float
    commands: float


def cpu(pid: int) -> float:
    """CPU time of a process, in seconds."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / TICKS


async def spent(store: Store, pid: int) -> Spent:
    """What was spent so far."""
    info = await store.shards[0].queries.info()
    server = float(info["used_cpu_user"]) + float(info["used_cpu_sys"])
    return Spent(server, cpu(pid), float(info["total_commands_processed"]))


async def idle(store: Store, pid: int) -> Spent:
    """Watch an idle system."""
    before = await spent(store, pid)
    await asyncio.sleep(IDLE_S)
    after = await spent(store, pid)
    return Spent(*((last - first) / IDLE_S for first, last in zip(before, after, strict=True)))


@asynccontextmanager
async def worker(url: str) -> AsyncIterator[int]:
    """Run a worker in a process of its own; give its process id when it consumes."""
    command = [sys.executable, "-m", "benchmarks.ours.waiting", url, "worker"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = await asyncio.to_thread(process.stdout.readline)
        assert line.strip() == "ready", line
        yield process.pid
    finally:
        process.kill()
        process.wait()


async def fill(client: Client, store: Store, number: int) -> None:
    """Start so many flows, and return when all of them wait."""
    shard = store.shards[0]
    for first in range(0, number, CHUNK):
        await client.send_many([order(n) for n in range(first, min(first + CHUNK, number))])
        while await shard.queries.size(shard.keys.flows) < min(first + CHUNK, number):
            await asyncio.sleep(0.02)


async def latest(url: str, client: Client, store: Store) -> float:
    """How late (ms) the latest of some naps ended, among many pending timers."""
    keys = store.shards[0].keys
    with redis.from_url(url) as raw:
        far = int(time.time() * 1000) + 30 * 86_400_000
        for first in range(0, PENDING, CHUNK):
            names = [f"pending-{n}" for n in range(first, first + CHUNK)]
            raw.zadd(keys.timers, {timeout_member(id, 1, 1, "order", FIRED): far for id in names})
    ids = [receipt.id for receipt in await client.send_many([Nap(seconds=1 + n / 20) for n in range(NAPS)])]
    late = []
    for id in ids:
        await client.wait(id, timeout=60)
        _, record = await client.record(id)
        step = record.steps[1]
        late.append(int(record.facts["ended"]) - step.sent - step.timeout)
    return max(late)


def run(url: str, *words: str) -> float:
    """Run a command; return how long it took (s)."""
    started = time.perf_counter()
    subprocess.run(
        [*COMMAND, *words], stdout=subprocess.DEVNULL, env={**os.environ, "HYBRID_REDIS_URL": url}, check=True
    )
    return time.perf_counter() - started


async def main(url: str, number: int) -> dict[str, object]:
    """Watch the system without flows and with them."""
    await empty(url)
    made = application(url)
    async with made.store() as store, made.client() as client, worker(url) as pid:
        await fill(client, store, 1)  # so that everything is there that does not grow
        without, before = await idle(store, pid), await used(store)
        await fill(client, store, number + 1)
        await asyncio.sleep(AFTER_S)
        grown = await used(store) - before - sum(map(own_bytes, range(number)))
        with_them = await idle(store, pid)
        tasks, flows = run(url, "tasks", "list"), run(url, "flows", "list")
        late = await latest(url, client, store)
    return {
        "ours": "hybrid",
        "bytes_per_flow": round(grown / number),
        "server_idle": round(with_them.server / without.server, 2),
        "worker_idle": round(with_them.worker / without.worker, 2),
        "commands_idle": round(with_them.commands / without.commands, 2),
        "tasks_s": round(tasks, 2),
        "flows_s": round(flows, 2),
        "late_ms": round(late),
        "pool": POOL,
    }


async def work(url: str) -> None:
    """Be the worker."""
    async with application(url).worker() as running:
        dedicate()  # as `hybrid run` does
        print("ready", flush=True)
        await running.stopped.wait()


if __name__ == "__main__":
    if sys.argv[2:] == ["worker"]:
        uvloop.run(work(sys.argv[1]))
    else:
        print(json.dumps(uvloop.run(main(sys.argv[1], int(sys.argv[2])))))
