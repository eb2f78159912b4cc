"""The schedule: what is due fires once, whoever looks."""

import asyncio
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from hybrid import (
    HARD,
    Context,
    Flow,
    Mediator,
    Processor,
    RetryPolicy,
    SimpleMediator,
    StepTimeout,
    hours,
    seconds,
)
from hybrid.broker.recurring import Plan, Recurring, tick_id, ticked
from hybrid.broker.scheduled import moved
from hybrid.errors import ScheduleError, ServerUnavailable
from hybrid.inspect import schedules
from hybrid.runtime import schedule
from tests.runtime.messages import Completed, Noted, Pay, Place, Renamed
from tests.runtime.world import until


async def test_many_retries_fire_once_with_several_looking(world, monkeypatch):
    monkeypatch.setattr(schedule, "MOST", 7)  # more than one round
    attempts = []
    payment = Processor("payment")

    @payment.on(Pay, retry=RetryPolicy(attempts=2, first_ms=1))
    async def pay(command: Pay, context: Context):
        attempts.append((command.order, context.attempt))
        if context.attempt == 1:
            raise ValueError("again")

    app = world.app(payment)
    await world.tell(*(Pay(order=f"o{n}") for n in range(50)))
    async with app.worker(), app.worker(), app.worker():
        await until(lambda: world.counter("settled:payment") == 50)
    assert sorted(attempts) == sorted((f"o{n}", attempt) for n in range(50) for attempt in (1, 2))


async def test_timeouts_fire_once_with_several_looking(world):
    front, orders = SimpleMediator("front"), Mediator("orders", handles=HARD)
    began = time.time()

    @front.classify(Place, HARD)
    def rule(event):
        return HARD

    @orders.flow(Place)
    async def place(event: Place, flow: Flow) -> Completed:
        late = 0
        for step in [flow.do(Pay(order=str(n)), timeout=0.2) for n in range(5)]:
            try:
                await step
            except StepTimeout:
                late += 1
        return Completed(order=f"{late} late")

    app = world.app(front, orders)
    async with app.running() as client, app.worker(), app.worker():
        receipts = await client.send_many([Place(order=f"o{n}") for n in range(10)])
        for receipt in receipts:
            assert (await client.wait(receipt.id)).event == Completed(order="5 late")
    assert time.time() - began >= 0.2
    assert len(world.broadcasts(Completed)) == 10
    assert world.raw.zcard(world.keys.timers) == 0


@pytest.mark.filterwarnings("default")
async def test_it_goes_on_after_the_server_was_away(world, monkeypatch, caplog):
    real = schedule.Schedule.once
    rounds = []

    async def fire(self):
        rounds.append(self)
        if len(rounds) < 3:
            raise ServerUnavailable("away")
        return await real(self)

    monkeypatch.setattr(schedule.Schedule, "once", fire)
    async with world.running(Processor("payment")):
        await until(lambda: len(rounds) > 4)
    assert caplog.text.count("looking for due timers again: away") == 2
    await asyncio.sleep(0)


@pytest.fixture
def front():
    front = SimpleMediator("front")

    @front.on(Renamed)
    def renamed(event):
        return [Noted(text=event.customer)]

    return front


def ledger_of(world):
    entered, settled = world.counter("entered:event:front"), world.counter("settled:front")
    return entered, settled, world.raw.zcard(world.keys.scheduled)


async def test_what_is_sent_later_enters_once_with_several_looking(world, front, monkeypatch):
    monkeypatch.setattr(schedule, "MOST", 7)  # more than one round
    app = world.app(front)
    async with app.client() as client:
        receipts = [await client.send(Renamed(customer=f"c{n}"), after=seconds(0.3)) for n in range(40)]
    assert ledger_of(world) == (0, 0, 40)
    async with app.worker(), app.worker(), app.worker():
        await until(lambda: ledger_of(world) == (40, 40, 0))
    said = world.broadcasts(Noted)
    assert sorted(note.cause for note in said) == sorted(receipt.id for receipt in receipts)


async def test_it_is_sent_when_it_is_due_and_is_waited_for(world, front):
    async with world.app(front).running() as client:
        began = time.monotonic()
        receipt = await client.send(Renamed(customer="c"), after=seconds(0.5))
        outcome = await client.wait(receipt.id)
        took = time.monotonic() - began
    assert outcome.state == "completed"
    assert 0.5 <= took < 1.5  # 0.75 on a machine that does nothing besides


async def test_an_event_is_broadcast_later_where_no_mediator_runs(world):
    listener = Processor("listener")
    heard = []

    @listener.on(Noted)
    def note(event: Noted):
        heard.append(event.text)

    async with world.app(listener).running() as client:
        await client.publish(Noted(text="later"), after=seconds(0.2))
        assert world.broadcasts(Noted) == []
        await until(lambda: heard == ["later"])
    assert world.counter("entered:topic:noted") == 1


async def test_what_has_entered_can_not_enter_again(world, front):
    """A worker that was killed, or frozen, after its settle comes too late; one killed before changed
    nothing.
    """
    app = world.app(front)
    async with app.client() as client, app.store() as store:
        await client.send(Renamed(customer="c"), after=seconds(0))
        await client.send(Renamed(customer="d"), after=seconds(60))
        (member,) = world.raw.zrange(world.keys.scheduled, 0, -1)
        moving = moved(world.keys, member)
        assert await store.shards[0].scripts.settle(world.keys.counters, [moving, moving]) == [1, 0]
        assert await store.shards[0].scripts.settle(world.keys.counters, [moving]) == [0]
    assert ledger_of(world) == (2, 0, 0)


async def scheduled(world, front, cron, **plan):
    app = world.app(front)
    async with app.store() as store:
        await store.open()
        what = (store, app.topology, "pulse", Renamed(customer="c"), Plan(cron, **plan))
        return app, await schedules.add(*what)


def record(world):
    return Recurring.read("pulse", world.raw.hget(world.keys.schedules, "pulse"))


def due_since(world, ms):
    """Make the next tick one of so long ago, as if nobody had looked since."""
    was = record(world)
    tick = int(time.time() * 1000) - ms
    late = replace(was, tick=was.plan.ticks().latest(tick))
    world.raw.hset(world.keys.schedules, "pulse", late.packed())
    world.raw.zrem(world.keys.scheduled, was.member)
    world.raw.zadd(world.keys.scheduled, {late.member: late.tick})
    return late.tick


async def test_one_event_per_tick_with_several_looking(world, front):
    app, added = await scheduled(world, front, "* * * * * *")
    async with app.worker(), app.worker(), app.worker():
        await until(lambda: world.counter("settled:front") >= 3)
    ticks = range(added.tick, record(world).tick, 1000)
    assert sorted(note.cause for note in world.broadcasts(Noted)) == [
        tick_id("pulse", tick) for tick in ticks
    ]
    assert world.raw.zrange(world.keys.scheduled, 0, -1) == [record(world).member]
    assert ledger_of(world) == (len(ticks), len(ticks), 1)


@pytest.mark.parametrize(("missed", "sent"), [("once", [3]), ("all", [0, 1, 2, 3]), ("skip", [])])
async def test_ticks_that_were_missed(world, front, missed, sent):
    app, _ = await scheduled(world, front, "0 0 * * *", missed=missed)
    day = 86_400_000
    first = due_since(world, 3 * day)
    async with app.worker(), app.worker():
        await until(lambda: record(world).tick > time.time() * 1000)
        await until(lambda: world.counter("settled:front") == len(sent))
    causes = [note.cause for note in world.broadcasts(Noted)]
    assert sorted(causes) == [tick_id("pulse", first + n * day) for n in sent]


async def test_a_tick_that_was_sent_can_not_be_sent_again(world, front):
    app, _ = await scheduled(world, front, "0 0 * * *")
    due_since(world, 86_400_000)
    sending = ticked(world.keys, record(world), int(time.time() * 1000))
    async with app.store() as store:
        assert await store.shards[0].scripts.settle(world.keys.counters, [sending, sending]) == [1, 0]
    assert ledger_of(world) == (1, 0, 1)


async def test_a_tick_that_is_not_due_any_more_changes_nothing(world, front):
    """A worker has read the schedule, and somebody writes it anew or removes it."""
    app, _ = await scheduled(world, front, "0 0 * * *")
    due_since(world, 86_400_000)
    sending = ticked(world.keys, record(world), int(time.time() * 1000))
    async with app.store() as store:
        what = (store, app.topology, "pulse", Renamed(customer="d"), Plan("0 1 * * *"))
        written = await schedules.add(*what, replace=True)
        assert await store.shards[0].scripts.settle(world.keys.counters, [sending]) == [0]
        assert record(world) == written
        await schedules.remove(store, "pulse")
        assert await store.shards[0].scripts.settle(world.keys.counters, [sending]) == [0]
    assert ledger_of(world) == (0, 0, 0)


@pytest.mark.filterwarnings("default")
async def test_a_schedule_that_can_not_be_read_here_stops_nothing(world, front, monkeypatch, caplog):
    app, _ = await scheduled(world, front, "* * * * * *", zone="Europe/Prague")

    def unknown(name):
        raise ScheduleError("no time zone is called Europe/Prague")

    monkeypatch.setattr("hybrid.cron._zone", unknown)
    async with app.running() as client:
        await until(lambda: "schedule pulse does not tick here" in caplog.text)
        await client.send(Renamed(customer="c"), after=seconds(0.1))
        await until(lambda: world.counter("settled:front") == 1)


async def test_a_worker_with_a_wrong_clock_sends_when_the_server_says(world, front, monkeypatch):
    monkeypatch.setattr("hybrid.clock.time", SimpleNamespace(time=lambda: time.time() + 100 * 86_400))
    app, added = await scheduled(world, front, "0 0 1 1 *")
    async with app.running() as client:
        await client.send(Renamed(customer="later"), after=hours(1))
        soon = await client.send(Renamed(customer="soon"), after=seconds(0.2))
        assert (await client.wait(soon.id)).state == "completed"
    assert [note.cause for note in world.broadcasts(Noted)] == [soon.id]
    assert ledger_of(world) == (1, 1, 2)
    assert record(world) == added
