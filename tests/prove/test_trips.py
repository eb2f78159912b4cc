"""Flows that use everything, in worker processes that are killed and frozen, on a server that is killed,
while people steer them and time jumps: see trip_laws.py for what must hold when all have ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import Engine

from hybrid import App, Client, Settings
from hybrid.broker.shard import Store
from hybrid.errors import HybridError, ServerError, UnknownFlow
from hybrid.inspect.steering import Steering
from hybrid.mediator.record import TASK
from hybrid.mediator.tasks import task_id
from hybrid.streams.connection import Connections, cancelled
from tests.conftest import BINARIES
from tests.prove import trips
from tests.prove.conftest import LEASE, rounds, until
from tests.prove.fleet import Fleet
from tests.prove.healing import Healer
from tests.prove.trip_laws import AT_ONCE, Trips
from tests.prove.trips import Confirmed, Part, TripBooked, TripCancelled, some_parts
from tests.servers import Server, spawn

pytestmark = pytest.mark.prove
HOUR_MS = 3_600_000
TEN_YEARS_MS = 10 * 366 * 86_400_000
BRANCHES = 1_000


@dataclass
class Agency:
    """A travel agency of worker processes, with a server of its own."""

    app: App
    store: Store
    client: Client
    fleet: Fleet
    server: Server
    engine: Engine
    healer: Healer
    dice: Random
    flows: list[str] = field(default_factory=list)

    async def book(self, count: int) -> None:
        """Book random trips; each is stored when this returns."""
        for _ in range(count):
            trip = f"t{len(self.flows)}"
            self.flows.append(trip)
            await self.stored(TripBooked(trip=trip, parts=some_parts(self.dice, 6)))

    async def stored(self, event: TripBooked) -> None:
        while True:
            with suppress(ServerError):
                await self.client.send(event, id=event.trip)
                return
            await asyncio.sleep(0.1)  # the server is down

    async def steer(self) -> None:
        """Do to any flow what anybody may."""
        dice, steering = self.dice, Steering(self.store, self.app.topology, "ann")
        flow = dice.choice(await self.going())
        what = dice.randrange(11)
        if what < 2:
            now = what == 1
            await Steering(self.store, self.app.topology, "ann", AT_ONCE if now else "no").cancel(
                flow, now=now
            )
        elif what < 4:
            await (steering.pause(flow) if what == 2 else steering.resume(flow))
        elif what == 4:
            await steering.retry(flow)
        elif what == 5:
            _, record = await self.client.record(flow)
            await steering.restart(flow, step=dice.choice([1, *record.steps]))
        elif what == 6:
            await dice.choice([steering.pause_all, steering.resume_all])("type", "trip-booked")
        elif what == 7:
            await self.healer.skip(dice.choice([-50, 1, 31, 49, 24 * 31]) * HOUR_MS)
        elif what == 8:
            await self.client.publish(TripCancelled(trip=flow))
        else:
            await self.answer(flow)

    async def answer(self, flow: str) -> None:
        """Give a flow what it may wait for from outside."""
        await self.client.signal(flow, "go", by="ann")
        _, record = await self.client.record(flow)
        for number in record.outstanding:
            if record.steps[number].kind == TASK:
                await self.client.answer(task_id(flow, number), choice="no", by="ann")
        for part in range(1, 6):
            await self.client.publish(Confirmed(trip=flow, part=part))

    async def going(self) -> list[str]:
        """Return the flows that have not ended; those that were booked, when all have."""
        return [record.id for record in await self.healer.unfinished()] or self.flows

    async def end(self) -> None:
        """Mend everything, bring all flows to their end, and check the laws."""
        for what in ("book", "unbook"):
            trips.break_down(self.app.settings.directory, what, 0)
        self.fleet.tend()
        try:
            await self.healer.heal()
            with Connections(self.server.url).threaded() as raw:
                await Trips(self.app, self.store, self.engine, raw).hold()
        except AssertionError as error:
            error.add_note(self.fleet.said(lines=5))
            raise


@pytest.fixture
async def agency(tmp_path: Path, dice: Random) -> AsyncIterator[Agency]:
    engine = trips.create_tables(tmp_path)
    async with AsyncExitStack() as stack:
        server = stack.enter_context(
            spawn(BINARIES["valkey"], tmp_path / "server", extra_args=("--appendonly", "yes"))
        )
        values: dict[str, Any] = {"lease_ms": int(LEASE * 1000), "block_ms": 500, "tick_ms": 50}
        values |= {"directory": tmp_path, "flow_ms": TEN_YEARS_MS, "topic_ms": TEN_YEARS_MS}
        settings = Settings.load(redis_url=server.url, **values)
        environment = {f"HYBRID_{name.upper()}": str(value) for name, value in values.items()}
        environment |= {
            "HYBRID_REDIS_URL": server.url,
            "PROVE_APP": "tests.prove.trips",
            "PROVE_AT_MOST": "50",
        }
        app = trips.application(settings)
        store = await stack.enter_async_context(app.store())
        await store.open(test=True)
        client = await stack.enter_async_context(app.client())
        fleet = Fleet(tmp_path, environment)
        stack.callback(fleet.close)
        stack.callback(engine.dispose)
        healer = Healer(app, store, client, 40.0, interrupted=True)
        yield Agency(app, store, client, fleet, server, engine, healer, dice)


async def test_trips_under_everything_at_once(agency: Agency) -> None:
    """Kills, freezes, server crashes, broken handlers, people, and time, all at random."""
    dice = agency.dice
    await agency.fleet.start(count=3)
    for n in range(rounds(10, 150)):
        await agency.book(dice.randint(2, 6))
        for what in ("book", "unbook"):
            trips.break_down(agency.app.settings.directory, what, dice.choice([0, 0, 0.2, 0.6]))
        steering = asyncio.create_task(steer_often(agency))
        await asyncio.sleep(dice.uniform(0.1, 1.0))  # any moment is as good
        victim = dice.choice(agency.fleet.living)
        if n % 5 == 4:
            agency.server.kill9()
            await asyncio.sleep(dice.choice([0.0, LEASE * 1.5]))
            await asyncio.to_thread(agency.server.start)
        elif n % 3 == 2:
            victim.freeze()
            await asyncio.sleep(LEASE * dice.uniform(0.9, 2.5))
            victim.thaw()
        else:
            victim.kill9()
        agency.fleet.tend()
        await cancelled([steering])
    await agency.end()


async def steer_often(agency: Agency) -> None:
    """Steer until cancelled. What the server, or a flow that is over, refuses is nothing to us."""
    while True:
        with suppress(HybridError):
            await agency.steer()
        await asyncio.sleep(agency.dice.uniform(0, 0.15))


async def test_a_join_over_a_thousand_branches_fires_once(agency: Agency) -> None:
    """Two flows with a thousand branches each, in windows and all at once, then one command more; workers are
    killed all the time.
    """
    await agency.fleet.start(count=2)
    wide = "map", "all"
    for flow, kind in zip(("windows", "once"), wide, strict=True):
        agency.flows.append(flow)
        parts = [Part(id=1, kind=kind, many=BRANCHES - (kind == "all")), Part(id=2, kind="book")]
        await agency.stored(TripBooked(trip=flow, parts=parts))
    killed = 0
    while killed < rounds(6, 30) and not await ended(agency):
        await asyncio.sleep(agency.dice.uniform(0.2, 0.8))  # any moment is as good
        agency.dice.choice(agency.fleet.living).kill9()
        killed += 1
        agency.fleet.tend()
        await until("a worker serves", serves, agency)
    await until("the trips have ended", ended, agency, within=90)
    await agency.end()
    assert killed > 2
    with Connections(agency.server.url).threaded() as raw:
        found = Trips(agency.app, agency.store, agency.engine, raw)
    for flow in agency.flows:
        mine = [row for row in found.rows if row.flow == flow]
        assert [row.part for row in mine][-1:] == [2]
        assert len(mine) == len({row.step for row in mine}) == BRANCHES + (flow == "windows")


async def ended(agency: Agency) -> bool:
    """Tell whether all trips that were booked have ended."""
    with suppress(UnknownFlow):
        return all([(await agency.client.record(flow))[1].ended for flow in agency.flows])
    return False


async def serves(agency: Agency) -> bool:
    return any(proc.consumer for proc in agency.fleet.living)
