"""The desk with many failures on it: seconds of `hybrid desk` and `hybrid desk list`, start-up included, and
the peak memory of the first, divided by that with a hundred failures.

Usage: python -m benchmarks.ours.desk URL N     prints one JSON line. Empties the database!
"""

import json
import os
import subprocess
import sys
import time

import uvloop

from benchmarks.ours.application import application, created
from benchmarks.ours.process import POOL, empty
from hybrid.broker.failures import Culprit, failed_output, failure_of
from hybrid.broker.shard import Store
from hybrid.codec import pack
from hybrid.streams.transitions import Transition

CAUSES, BATCH, FEW = 7, 500, 100
TRACE_LINES = 40
"""How deep the call stack of a failure is: its text has some 3 kB."""
COMMAND = [sys.executable, "-m", "cli", "--app", "benchmarks.ours.desk:app"]
app = application(os.environ.get("HYBRID_REDIS_URL", "redis://127.0.0.1:6379"))


def failing(depth: int, cause: int) -> None:
    """Raise one of several errors, deep down."""
    if depth:
        failing(depth - 1, cause)
    raise type(f"Cause{cause}", (Exception,), {})(f"this is cause {cause}")


async def fill(store: Store, first: int, last: int) -> None:
    """Put failures on the desk."""
    shard = store.shards[0]
    errors = []
    for cause in range(CAUSES):
        try:
            failing(TRACE_LINES, cause)
        except Exception as error:
            errors.append(error)
    culprit = Culprit("notification", "notification.mail", "topic:order-created")
    for start in range(first, last, BATCH):
        effects = []
        for n in range(start, min(start + BATCH, last)):
            fields = {b"id": b"e%d" % n, b"type": b"order-created", b"data": pack(created(n).__dict__)}
            failure = failure_of(culprit, fields, errors[n % CAUSES], 3)
            effects.append(failed_output(shard.keys, failure))
        await shard.scripts.settle(shard.keys.counters, [Transition((), (), effects)])


def run(url: str, *words: str) -> tuple[float, int]:
    """Run a command; return how long it took (s) and its peak memory (kB)."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [*COMMAND, *words], stdout=subprocess.DEVNULL, env={**os.environ, "HYBRID_REDIS_URL": url}
    )
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, f"{words} ended with {status}"
    return time.perf_counter() - started, usage.ru_maxrss


async def main(url: str, number: int) -> dict[str, object]:
    """Fill the desk, and look at it."""
    await empty(url)
    async with application(url).store() as store:
        await store.open()
        await fill(store, 0, FEW)
        _, small = run(url, "desk")
        await fill(store, FEW, number)
    groups, large = run(url, "desk")
    listed, _ = run(url, "desk", "list")
    return {
        "ours": "hybrid",
        "groups_s": round(groups, 2),
        "list_s": round(listed, 2),
        "memory_flat": round(large / small, 3),
        "pool": POOL,
    }


if __name__ == "__main__":
    print(json.dumps(uvloop.run(main(sys.argv[1], int(sys.argv[2])))))
