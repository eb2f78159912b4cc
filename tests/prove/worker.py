"""A worker process: `python worker.py [component …]`, of the application in the module PROVE_APP (the shop
when it is not set). SIGTERM ends it as a deploy would.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvloop

sys.path.insert(0, str(Path(__file__).parents[2]))

from hybrid import Settings
from hybrid.runtime.worker import Worker

APP = importlib.import_module(os.environ.get("PROVE_APP", "tests.prove.shop"))


def say(*words: object) -> None:
    """Say something in the process' log."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def places(waits: Any) -> Iterator[str]:
    """Return where a coroutine stands, and what it waits for, down to the last."""
    while frame := getattr(waits, "cr_frame", None) or getattr(waits, "gi_frame", None):
        yield f"{waits.__qualname__}:{frame.f_lineno}"
        waits = getattr(waits, "cr_await", None) or getattr(waits, "gi_yieldfrom", None)


def tell(worker: Worker) -> None:
    """Say what is in work, and where every task stands: for the account of a proof that failed."""
    for lane in worker._lanes:
        for delivery in lane.in_work.values():
            say("in work:", lane.group, lane.channel, delivery.entry, delivery.taken_over, delivery.envelope)
    say("taken over, not started:", [delivery.unit for delivery in worker._orphans.waiting])
    for task in asyncio.all_tasks():
        say("task:", " > ".join(places(task.get_coro())))


async def main(names: list[str]) -> int:
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked.set)
    async with APP.application(Settings.load()).worker(names) as worker:
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, tell, worker)
        say("ready", worker.consumer)
        ends = [asyncio.ensure_future(asked.wait()), asyncio.ensure_future(worker.stopped.wait())]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
    say("left", worker.error or "")
    return 1 if worker.error else 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    sys.exit(uvloop.run(main(sys.argv[1:])))
