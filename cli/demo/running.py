"""The demo at work: the bookstore on a store of its own, customers, people, and what came of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.live import Live

from cli.demo.answers import Verdict, events, expected, judge, order_times, percentiles
from cli.demo.people import People, deeds, told_later
from cli.demo.picture import Frame, line, listeners, picture, took
from cli.output import Column, is_terminal, out, show, styled, table
from hybrid import App, Client, Event, discovery
from hybrid.broker.shard import Store
from hybrid.inspect.pulse import Pulse, PulseReader
from hybrid.runtime.worker import Worker

LONGEST = 27.0
"""Seconds after which the demo gives up."""
SENDING = 6.0
"""Seconds over which the events are sent at the least, so that there is something to see."""
CROWD = 24
"""Flows under way at the same time: customers come as fast as the shop serves them …"""
PATIENCE = 15.0
"""… for so many seconds; then they all come."""
FRAME = 0.15
LINE = 1.0


@dataclass(slots=True)
class Course:
    """How far the demo is."""

    total: int
    began: float = field(default_factory=time.monotonic)
    sent: int = 0
    rates: list[float] = field(default_factory=list)
    last: tuple[float, int] = (0.0, 0)
    under_way: int = 0

    @property
    def crowded(self) -> bool:
        """Whether the next customer waits outside."""
        return self.under_way >= CROWD and time.monotonic() - self.began < PATIENCE

    async def pause(self, seconds: float) -> None:
        """Wait between two looks."""
        await asyncio.sleep(seconds)

    def frame(self, pulse: Pulse) -> Frame:
        """Return a frame, and remember the rate."""
        now = time.monotonic() - self.began
        then, done = self.last
        if now > then:
            self.rates.append((pulse.deliveries - done) / (now - then))
            self.last = (now, pulse.deliveries)
        return Frame(pulse, self.total, self.sent, now, tuple(self.rates))


@dataclass(frozen=True, slots=True)
class Report:
    """What came of the demo. Times in ms; rates per second."""

    seconds: float
    pulse: Pulse
    orders: tuple[int, int]
    """The median and the 99th percentile of the time from an order's sending to its end."""
    handled: tuple[int, int]
    """The same of a delivery, from taken to settled."""
    verdicts: tuple[Verdict, ...]

    @property
    def good(self) -> bool:
        """Whether everything is as it should be."""
        return not any(verdict.wrong for verdict in self.verdicts)


async def demo(directory: Path, silent: bool) -> Report:
    """Run the bookstore in this directory until all events have ended, or time is up; show it, unless
    `silent`.
    """
    app = discovery.load(discovery.BOOKSTORE, directory=directory, redis_url="")
    async with (
        app.store() as store,
        Worker(app.topology, app.resources, store),
        Client(app, store) as client,
    ):
        given, people = events(), People(client, deeds())
        course, reader = Course(len(given) + told_later(deeds())), PulseReader(store, app.topology)
        sending = asyncio.create_task(_send(app, client, course, given))
        try:
            async with _shown(silent) as show:
                while not await _over(course, reader, show, sending):
                    told = await people.act()
                    course.sent += told  # read only now: the other customers came meanwhile
                    await course.pause(FRAME)
        finally:
            sending.cancel()
        return await _report(app, store, course, reader)


async def _send(app: App, client: Client, course: Course, given: list[dict[str, object]]) -> None:
    """Send the events evenly over SENDING seconds."""
    for number, one in enumerate(given):
        event = app.topology.catalog.validate(str(one["type"]), one["data"])
        assert isinstance(event, Event)
        await course.pause(max(0.0, course.began + SENDING * number / len(given) - time.monotonic()))
        while course.crowded:
            await course.pause(FRAME / 10)
        await client.send(event, id=str(one["id"]))
        course.sent += 1
        course.under_way += 1


async def _over(course: Course, reader: PulseReader, show: Shower, sending: asyncio.Task[None]) -> bool:
    """Show a frame; return whether everything is done, or time is up."""
    pulse = await reader.take()
    course.under_way = course.sent - pulse.ended
    frame = course.frame(pulse)
    show(frame)
    if sending.done():
        sending.result()
    all_ended = course.sent == course.total == pulse.ended
    return (all_ended and not pulse.unfinished and not pulse.outstanding) or frame.elapsed > LONGEST


class Shower:
    """Shows frames: as a picture that moves, or as lines now and then."""

    def __init__(self, live: Live | None, silent: bool) -> None:
        self._live = live
        self._silent = silent
        self._told = -LINE

    def __call__(self, frame: Frame) -> None:
        """Show a frame."""
        if self._live:
            self._live.update(picture(frame, self._live.console.height), refresh=True)
        elif not self._silent and frame.elapsed - self._told >= LINE:
            self._told = frame.elapsed
            out(line(frame))


@asynccontextmanager
async def _shown(silent: bool) -> AsyncIterator[Shower]:
    if silent or not is_terminal():
        yield Shower(None, silent)
        return
    with Live(console=Console(highlight=False), auto_refresh=False, transient=True) as live:
        yield Shower(live, silent)


async def _report(app: App, store: Store, course: Course, reader: PulseReader) -> Report:
    seconds = time.monotonic() - course.began
    pulse = await reader.take()
    verdicts = await judge(store, app.topology, pulse, expected())
    orders = percentiles(await order_times(store, app.topology, "place-order"))
    return Report(round(seconds, 2), pulse, orders, percentiles(reader.spans), tuple(verdicts))


def printed(report: Report) -> None:
    """Print what came of the demo."""
    pulse = report.pulse
    events = pulse.messages("topic")
    rows = [
        (event, number, ", ".join(f"{who} {times:,}" for who, times in listeners(pulse, event)) or "nobody")
        for event, number in sorted(events.items(), key=lambda pair: (-pair[1], pair[0]))
    ]
    table(
        [Column("broadcast"), Column("times", right=True), Column("heard by")], rows, "nothing was broadcast"
    )
    outcomes = ", ".join(f"{number:,} {state}" for state, number in sorted(pulse.outcomes.items()))
    commands = sum(pulse.messages("command").values())
    out("")
    out(f"events      {pulse.ended:,} ended in {report.seconds:.1f} s: {outcomes}")
    out(f"messages    {commands:,} commands, {sum(events.values()):,} broadcasts, {pulse.retried} retries")
    out(f"deliveries  {pulse.deliveries:,} settled, {pulse.deliveries / report.seconds:,.0f}/s")
    out(f"orders      {took(*report.orders)}, from sent to ended")
    out(f"handlers    {took(*report.handled)}, from taken to settled")
    out("")
    for verdict in report.verdicts:
        show(styled("wrong" if verdict.wrong else "right").append(f"  {verdict.what}", style="default"))
        for text in verdict.wrong:
            out(f"       {text}")


def facts(report: Report) -> dict[str, object]:
    """Return what came of the demo, JSON-ready."""
    pulse = report.pulse
    heard = [
        {"event": event, "by": who, "times": number} for (event, who), number in sorted(pulse.heard.items())
    ]
    return {
        "good": report.good,
        "seconds": report.seconds,
        "outcomes": dict(pulse.outcomes),
        "broadcasts": pulse.messages("topic"),
        "commands": pulse.messages("command"),
        "retries": pulse.retried,
        "heard": heard,
        "deliveries": pulse.deliveries,
        "order_ms": dict(zip(("p50", "p99"), report.orders, strict=True)),
        "handler_ms": dict(zip(("p50", "p99"), report.handled, strict=True)),
        "checks": {verdict.what: list(verdict.wrong) for verdict in report.verdicts},
    }
