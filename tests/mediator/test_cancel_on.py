"""What a flow is cancelled on: an event that somebody broadcasts, with everything undone."""

import asyncio

import pytest

from hybrid import Flow, Processor
from hybrid.codec import unpack
from hybrid.inspect.flows import flow as view_of
from hybrid.inspect.flows import summaries
from hybrid.inspect.loose import loose_flows
from hybrid.inspect.steering import Steering
from hybrid.keys import Keys
from hybrid.mediator.waits import since
from hybrid.streams.queries import Queries
from tests.mediator.flows import failed, front_door, orders
from tests.runtime.messages import Cancelled, Completed, Paid, Pay, Place, Ship
from tests.runtime.world import until


@pytest.fixture
def front():
    """A front door by which orders enter."""
    return front_door()


async def place(event: Place, flow: Flow) -> Completed:
    """Pay, which is undone by shipping back, and wait for the invoice."""
    flow.cancel_on(Cancelled, match={"order": event.order})
    flow.undo(Ship(order=event.order))
    await flow.do(Pay(order=event.order))
    heard = await flow.wait(Paid, match={"order": event.order}, timeout=60)
    return Completed(order=heard.order)


def mediator(function=place):
    """Return a mediator whose flow hears payments and cancellations."""
    return orders(function, hears=Paid | Cancelled)


def shop():
    """Return a processor that pays and ships, and what it has done."""
    processor, done = Processor("shop"), []

    @processor.on(Pay)
    async def pay(command: Pay) -> None:
        done.append(("pay", command.order))

    @processor.on(Ship)
    async def ship(command: Ship) -> None:
        done.append(("ship", command.order))

    return processor, done


def nothing_left(world):
    """Tell whether nobody waits to hear anything, or for a time."""
    left = [world.keys.matches("orders"), world.keys.timers]
    left += [world.keys.waits("orders", type) for type in ("paid", "cancelled")]
    return world.raw.exists(*left) == 0


async def waits(world, id="f1", step=3):
    return await until(lambda: step in world.flow(id).waits)


def history(world, id="f1"):
    """Return what was done with a flow."""
    entries = [unpack(entry)[1:] for entry in world.raw.lrange(world.keys.history(id), 0, -1)]
    return [rows for what, rows in entries if what == "cancel"]


async def test_the_event_cancels_the_flow_with_everything_undone(world, front):
    processor, done = shop()
    app = world.app(front, mediator(), processor)
    async with app.running() as client:
        for id in "f1", "f2":
            await client.send(Place(order=id), id=id)
            await waits(world, id)
        await client.publish(Cancelled(order="other"))
        await client.publish(Cancelled(order="f1", reason="changed my mind"), id="e1")
        outcome = await client.wait("f1")
        assert (outcome.state, outcome.reason) == (
            "cancelled", "cancelled by cancelled: heard cancelled e1",
        )  # fmt: skip
        assert done == [("pay", "f1"), ("pay", "f2"), ("ship", "f1")]
        assert history(world) == [[["cancelled", "heard cancelled e1"]]]
        await client.publish(Paid(order="f2"))
        assert (await client.wait("f2")).state == "completed"
    assert nothing_left(world)
    notes = [entry.note for entry in world.log() if entry.channel == "topic:cancelled"]
    assert notes == ["", "heard by 1 flow"]


async def test_a_processors_event_names_it(world, front):
    processor, _ = shop()
    desk = Processor("desk")

    @desk.on(Paid)
    async def never(event: Paid) -> Cancelled:
        return Cancelled(order="f1")

    async with world.running(front, mediator(), processor, desk) as client:
        await client.send(Place(order="f1"), id="f1")
        await waits(world)
        await client.publish(Paid(order="f9"))
        assert (await client.wait("f1")).reason.startswith("cancelled by desk: heard cancelled ")


async def test_a_version_conflict_is_tried_again(world, front, monkeypatch):
    """Somebody else changes the record between the look at it and the settle."""
    processor, _ = shop()
    whole, meddled = Queries.hash, []

    async def meddling(self, key):
        fields = await whole(self, key)
        if key == world.keys.flow("f1") and len(meddled) < 3:
            meddled.append(world.raw.hincrby(key, "version", 1))
        return fields

    async with world.running(front, mediator(), processor) as client:
        await client.send(Place(order="f1"), id="f1")
        await waits(world)
        monkeypatch.setattr(Queries, "hash", meddling)
        await client.publish(Cancelled(order="f1"))
        await until(lambda: world.flow("f1").ended)
        monkeypatch.undo()
        assert (await client.wait("f1")).state == "cancelled"
    assert len(meddled) == 3


async def test_an_event_from_before_or_one_too_many_does_nothing(world, front):
    processor, done = shop()
    async with world.running(front, mediator(), processor) as client:
        await client.publish(Cancelled(order="f1"))
        await until(lambda: any(entry.type == "cancelled" for entry in world.log()))
        await client.send(Place(order="f1"), id="f1")
        await waits(world)
        entry, fields = world.raw.xrange(world.keys.topic("cancelled"))[0]
        again = {**fields, b"time": entry.split(b"-")[0], b"broadcast": b"1"}
        world.raw.xadd(world.keys.own("orders"), again)
        await until(lambda: [e for e in world.log() if (e.channel, e.type) == ("own:orders", "cancelled")])
        assert world.flow("f1").state == "running"
        await client.publish_many([Cancelled(order="f1") for _ in range(20)])
        assert (await client.wait("f1")).state == "cancelled"
        await until(lambda: sum(entry.channel == "topic:cancelled" for entry in world.log()) == 21)
    assert done == [("pay", "f1"), ("ship", "f1")]
    assert len(history(world)) == 1
    assert world.failures("orders") == []


async def test_workers_that_compete_cancel_each_flow_once(world, front):
    processor, done = shop()
    app = world.app(front, mediator(), processor)
    async with app.running() as client, app.worker(["orders"]), app.worker(["orders"]):
        ids = [f"f{n}" for n in range(60)]
        await client.send_many([(Place(order=id), id) for id in ids])
        # while some are at work still: it is cancelled when it is heard, or was not made yet
        await until(lambda: world.raw.zcard(world.keys.waits("orders", "cancelled")) == 60)
        events = [each for id in ids for each in (Cancelled(order=id), Paid(order=id))]
        events.remove(Paid(order="f7"))  # whatever comes first for the others, one is cancelled
        await client.publish_many(events)
        states = [(await client.wait(id)).state for id in ids]
    assert set(states) <= {"cancelled", "completed"}
    undone = sorted(order for what, order in done if what == "ship")
    assert undone == sorted(id for id, state in zip(ids, states, strict=True) if state == "cancelled")
    assert len(undone) >= 1
    assert nothing_left(world)


async def test_it_is_shown_and_does_not_keep_a_flow_from_being_loose(world, front):
    processor, _ = shop()
    app = world.app(front, mediator(), processor)
    async with app.running() as client:
        await client.send(Place(order="f1"), id="f1")
        await waits(world)
        async with app.store() as store:
            first = (await view_of(store, app.topology, "f1")).steps[0]
            (line,) = await summaries(store, app.topology)
            assert await loose_flows(store, app.topology) == []
            world.raw.delete(world.keys.timers, world.keys.waits("orders", "paid"))
            (loose,) = await loose_flows(store, app.topology)
    assert (first.kind, first.name, first.state) == ("cancel-on", "cancel on cancelled order=f1", "listening")
    assert line.waiting_for == ("wait paid order=f1",)
    assert loose.missing == "step 3 (wait paid order=f1)"


@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("ended", [False, True])
async def test_a_restarted_flow_is_cancelled_on_the_same_event(world, front, step, ended):
    processor, done = shop()
    app = world.app(front, mediator(), processor)
    async with app.running() as client, app.store() as store:
        await client.send(Place(order="f1"), id="f1")
        await waits(world)
        if ended:
            await client.publish(Paid(order="f1"))
            assert (await client.wait("f1")).state == "completed"
            assert nothing_left(world)
        done.clear()
        restarted = await Steering(store, app.topology, "ann").restart("f1", step=step)
        assert restarted.result == "restarted", restarted.why
        await until(lambda: world.flow("f1").run == 2 and 3 in world.flow("f1").waits)
        assert world.raw.hgetall(world.keys.matches("orders")) == {
            b"paid order": b"1", b"cancelled order": b"1",
        }  # fmt: skip
        await client.publish(Cancelled(order="f1"))
        await until(lambda: world.flow("f1").state == "cancelled")
    assert done == [("pay", "f1")] * (step == 1) + [("ship", "f1")]
    assert nothing_left(world)


async def test_an_event_of_another_shard_cancels(world, front):
    processor, _ = shop()
    app = world.app(front, mediator(), processor, shards=2)
    shards = [Keys(world.name, world.settings.domain, n) for n in range(2)]
    async with app.running() as client:
        await client.send(Place(order="f1"), id="f1")
        (home,) = await until(lambda: [k for k in shards if world.raw.exists(k.waits("orders", "paid"))])
        (other,) = (keys for keys in shards if keys is not home)
        await asyncio.to_thread(
            world.raw.xadd,
            other.topic("cancelled"),
            {"id": "e1", "type": "cancelled", "data": b"\x81\xa5order\xa2f1"},
        )
        assert (await client.wait("f1")).state == "cancelled"


async def test_what_is_not_declared_is_refused(world, front):
    failure = await failed(world, front, orders(place, hears=Paid), shop()[0])
    assert failure.message == (
        "flow.cancel_on(Cancelled, match=…): the mediator hears Paid. Declare what its flows listen to:"
        " @mediator.flow(…, hears=Cancelled)"
    )


def test_what_is_heard_was_broadcast_since():
    assert [since(b"1000 5000", at, elsewhere=False) for at in (999, 1000)] == [False, True]
    assert [since(b"1000 5000", at, elsewhere=True) for at in (3999, 4000)] == [False, True]
