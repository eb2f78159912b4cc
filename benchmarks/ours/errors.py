"""What errors cost those that go well: the same good events with and without one bad one for each ten.

A bad event fails three times (the default policy, with its pauses), goes to a workflow processor, is mended
and handled. `good_kept`: good events per second with bad ones among them, divided by those without, from a
stream that was filled before. `wait_kept`: the 99th percentile of the wait from the sending to the handler at
a steady rate, with bad ones divided by without. Sender and worker are one process.

Usage: python -m benchmarks.ours.errors URL N     prints one JSON line. Empties the database!
"""

import asyncio
import json
import sys
import time

import uvloop

from benchmarks.ours.process import POOL, empty
from hybrid import App, Event, Failed, Processor, Settings, WorkflowProcessor

EVERY, PER_TICK = 0.005, 10
"""Steadily: so many good events every so many seconds."""


class Reading(Event):
    """What is handled; `sent` is perf_counter's time."""

    n: int
    sent: float
    bad: bool = False


class Tally:
    """Counts good events and their waits."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.waits: list[float] = []
        self.all_good = asyncio.Event()

    def take(self, reading: Reading) -> None:
        """Take a good event."""
        self.waits.append(time.perf_counter() - reading.sent)
        if len(self.waits) == self.expected:
            self.all_good.set()


def application(url: str, tally: Tally) -> App:
    """A processor that fails for what is bad, and the program that mends it."""
    meter, fixer = Processor("meter"), WorkflowProcessor("meter-repair")

    @meter.on(Reading)
    async def note(event: Reading) -> None:
        if event.bad:
            raise ValueError(event.n)
        if event.n >= 0:
            tally.take(event)

    @fixer.repairs(Reading, on=ValueError)
    def mend(failed: Failed[Reading]) -> Reading | None:
        return failed.message and failed.message.model_copy(update={"bad": False, "n": -1})

    return App("errors", [meter, fixer], settings=Settings.load(redis_url=url))


def readings(first: int, number: int, bad: bool) -> list[Reading]:
    """So many good events and, if asked for, a bad one for each ten."""
    now, found = time.perf_counter(), []
    for n in range(first, first + number):
        found.append(Reading(n=n, sent=now))
        if bad and n % 10 == 9:
            found.append(Reading(n=n, sent=now, bad=True))
    return found


async def rate(url: str, number: int, bad: bool) -> float:
    """Good events per second, of a stream that is full."""
    await empty(url)
    tally = Tally(number)
    app = application(url, tally)
    async with app.client() as client:
        await client.publish_many(readings(0, number, bad))
        async with app.worker():
            started = time.perf_counter()
            await tally.all_good.wait()
    return number / (time.perf_counter() - started)


async def wait(url: str, number: int, bad: bool) -> float:
    """The 99th percentile of the wait of good events that come steadily, in ms."""
    await empty(url)
    tally = Tally(number)
    app = application(url, tally)
    async with app.client() as client, app.worker():
        due = time.perf_counter()
        for first in range(0, number, PER_TICK):
            await client.publish_many(readings(first, PER_TICK, bad))
            due += EVERY
            await asyncio.sleep(max(due - time.perf_counter(), 0))
        await tally.all_good.wait()
    return 1e3 * sorted(tally.waits)[int(0.99 * number)]


async def main(url: str, number: int) -> dict[str, object]:
    """Both, without and with bad ones in turn."""
    number -= number % PER_TICK
    rates = [await rate(url, number, bad) for bad in (False, True, True, False)]
    waits = [await wait(url, number // PER_TICK * PER_TICK, bad) for bad in (False, True, True, False)]
    return {
        "ours": "hybrid",
        "good_kept": round((rates[1] + rates[2]) / (rates[0] + rates[3]), 3),
        "wait_kept": round((waits[1] + waits[2]) / (waits[0] + waits[3]), 3),
        "good_per_s": round((rates[0] + rates[3]) / 2),
        "p99_ms": round((waits[0] + waits[3]) / 2, 2),
        "pool": POOL,
    }


if __name__ == "__main__":
    print(json.dumps(uvloop.run(main(sys.argv[1], int(sys.argv[2])))))
