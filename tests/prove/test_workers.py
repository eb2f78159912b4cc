"""Workers that die, freeze, leave and race, while work goes on."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict

import pytest

from hybrid.broker.log import entries_of
from hybrid.broker.outputs import wake_up
from hybrid.streams.connection import cancelled
from hybrid.streams.transitions import Transition, add
from tests.prove.conftest import LEASE, World, holding, rounds, until
from tests.prove.fleet import Proc
from tests.prove.shop import COMPONENTS, is_locked

pytestmark = pytest.mark.prove
OTHERS = [component.name for component in COMPONENTS if component.name != "order"]


async def test_killed_at_random_moments(world: World) -> None:
    """Workers get kill -9 under load, one after the other, each replaced at once."""
    await world.fleet.start(count=2)
    await world.load.send(40)
    world.load.begin()
    for _ in range(rounds(4, 10)):
        await asyncio.sleep(world.dice.uniform(0.3, 2.5))  # any moment is as good
        world.dice.choice(world.fleet.living).kill9()
        world.fleet.tend()
    await world.load.end()
    await world.audit.clean()


async def test_all_killed_at_once(world: World) -> None:
    """With everybody dead, those who come next take everything over."""
    for _ in range(rounds(1, 5)):
        procs = await world.fleet.start(count=2)
        await world.load.send(60)
        await until("the workers hold work", holding, world, *procs)
        for proc in procs:
            proc.kill9()
    await world.fleet.start(count=2)
    await world.audit.clean()


async def test_frozen_while_another_finishes(world: World) -> None:
    """A worker frozen with work in hand changes nothing when it thaws after another has finished it."""
    procs = await world.fleet.start(count=2)
    for n in range(rounds(2, 8)):
        victim = procs[n % 2]
        await world.load.send(40)
        await freeze_with_work_in_hand(world, victim)
        await world.audit.quiet()
        before, names = await world.audit.tally(), await names_of(world, victim)
        victim.thaw()
        await until("the thawed worker goes on under another name", goes_on, world, victim, names)
        assert await world.audit.tally() == before
    world.fleet.all[0].terminate()
    assert world.fleet.all[0].wait(20) == 0
    await world.load.send(10)  # the other one, too, works again
    await world.audit.clean()


async def test_thawed_while_another_is_at_it(world: World) -> None:
    """A worker that thaws as its work is taken over races with the new owner; all is done once."""
    procs = await world.fleet.start(count=2)
    await world.load.send(30)
    world.load.begin(batch=3)
    for n in range(rounds(4, 15)):
        victim = procs[n % 2]
        await freeze_with_work_in_hand(world, victim)
        await asyncio.sleep(LEASE * world.dice.uniform(0.9, 2.2))
        victim.thaw()
        await until("the thawed worker works again", holding, world, victim)
    await world.load.end()
    await world.audit.clean()


async def test_mediators_race_for_the_same_flows(world: World) -> None:
    """Two mediators get wake-ups of the same flows all the time; every step is issued once."""
    await world.fleet.start("order", count=2)
    await world.fleet.start(*OTHERS)
    shard = world.store.shards[0]
    await world.load.send(20)
    world.load.begin(batch=3)

    async def nag() -> None:
        while True:
            some = world.dice.choices(world.load.orders[-60:], k=6)
            wakes = [wake_up(shard.keys, "order", order.id) for order in some for _ in range(2)]
            effects = [add(wake.queue, wake.counter, wake.fields) for wake in wakes]
            await shard.scripts.settle(shard.keys.counters, [Transition((), (), effects)])
            await asyncio.sleep(0.03)

    nagging = asyncio.create_task(nag())
    await asyncio.wait([nagging], timeout=rounds(6, 60))
    await cancelled([nagging])
    await world.load.end()
    await world.audit.clean()
    by: dict[str, set[str]] = defaultdict(set)
    entries = await shard.queries.range(shard.keys.log, most=10**7)
    for entry in (said for _, fields in entries for said in entries_of(fields)):
        if entry.component == "order" and entry.outcome in ("advanced", "ended"):
            by[entry.flow or entry.id].add(entry.consumer)
    shared = sum(len(consumers) == 2 for consumers in by.values())
    assert shared > len(by) / 4, f"only {shared} of {len(by)} flows were carried on by both: no race was run"


async def test_rolling_deploy(build) -> None:
    """SIGTERM under load: a leaving worker leaves nothing that somebody has to wait for."""
    world = await build(lease_ms=60_000)  # so that what waits for a lease misses every deadline here
    procs = await world.fleet.start(count=2)
    await world.load.send(40)
    world.load.begin()
    for _ in range(rounds(3, 12)):
        leaving, *procs = procs
        procs += await world.fleet.start()
        await asyncio.sleep(world.dice.uniform(0, 1))  # any moment is as good
        began = time.monotonic()
        leaving.terminate()
        await asyncio.to_thread(leaving.wait, 20)
        assert leaving.code == 0, leaving.log.read_text()[-3000:]
        assert time.monotonic() - began < 6
        assert not await world.audit.pending_of(leaving), leaving.log.read_text()[-3000:]
    await world.load.end()
    await world.audit.clean(within=30, struck_off=False)


async def test_rolling_deploy_of_other_code(world: World) -> None:
    """Workers of old code go, some killed, and workers of new code come, while old and new flows run: other
    fields in a command and a broadcast, another version of the flow. Nobody starts the old code again.
    """
    old = await world.fleet.start(count=3)
    await world.load.send(40)
    world.load.begin()
    world.fleet.environment["PROVE_CODE"] = "2"
    for leaving in old:
        await world.fleet.start()
        await asyncio.sleep(rounds(2, 10) * world.dice.uniform(0.5, 1))  # old and new side by side
        if world.dice.random() < 0.5:
            leaving.kill9()
            continue
        leaving.terminate()
        await asyncio.to_thread(leaving.wait, 20)
        assert leaving.code == 0, leaving.log.read_text()[-3000:]
    await world.load.end()
    await world.audit.clean()
    shard = world.store.shards[0]
    entries = await shard.queries.range(shard.keys.log, most=10**7)
    said = [each for _, fields in entries for each in entries_of(fields)]
    passed = {each.component for each in said if each.outcome == "passed on"}
    assert passed >= {"order", "payment"}, f"only {passed} passed on: no old code met new messages"
    records = [await world.client.record(order.id) for order in world.load.orders]
    assert {record.facts["code"] for _, record in records} == {"1", "2"}


async def freeze_with_work_in_hand(world: World, victim: Proc) -> None:
    """Freeze a worker that holds deliveries, and not the database's lock, which would stop everybody."""
    for _ in range(200):
        await until("the worker holds work", holding, world, victim)
        victim.freeze()
        if await world.audit.pending_of(victim) and not is_locked(world.app.settings.directory):
            return
        victim.thaw()
    raise AssertionError("it could not be frozen with work in hand")


async def names_of(world: World, proc: Proc) -> set[str]:
    return {name for name, pid in (await world.audit.consumers()).items() if pid == proc.pid}


async def goes_on(world: World, proc: Proc, names: set[str]) -> bool:
    return bool(await names_of(world, proc) - names)
