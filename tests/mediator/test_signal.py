"""Signals: what somebody outside says to a flow, taken once, in order, before or after it waits."""

import asyncio

import pytest

from hybrid import Flow, Processor, StepTimeout, days
from hybrid.codec import unpack
from hybrid.errors import ApplicationError, FlowEnded, InvalidMessage, MessageTooLarge, UnknownFlow
from hybrid.inspect.flows import flow as view_of
from hybrid.inspect.flows import summaries
from hybrid.inspect.loose import loose_flows
from hybrid.inspect.trace import trace
from hybrid.keys import Keys
from hybrid.mediator.record import FlowRecord
from tests.mediator.flows import failed, front_door, orders
from tests.runtime.messages import Completed, Pay, Place
from tests.runtime.world import until


@pytest.fixture
def front():
    """A front door by which orders enter."""
    return front_door()


async def approved(event: Place, flow: Flow) -> Completed:
    """Wait for two signals of one name."""
    first = await flow.signal("approve")
    second = await flow.signal("approve")
    return Completed(order=f"{first} {second}")


async def waits(world, id="f1"):
    return await until(lambda: world.flow(id).waits)


async def test_a_flow_waits_for_signals_and_takes_them_in_order(world, front):
    async with world.running(front, orders(approved)) as client:
        await client.send(Place(order="o1"), id="f1")
        await waits(world)
        assert not (await client.signal("f1", "other")).duplicate
        for n in (1, 2):
            await client.signal("f1", "approve", {"n": n}, by="ann")
        assert (await client.wait("f1")).event == Completed(order="{'n': 1} {'n': 2}")
    record = world.flow("f1")
    assert [(step.kind, step.name) for step in record.steps.values()] == [("signal", "approve")] * 2
    assert {(result.kind, result.by) for result in record.results.values()} == {("signalled", "ann")}
    assert list(record.untaken) == ["other"]
    history = [unpack(entry)[1:] for entry in world.raw.lrange(world.keys.history("f1"), 0, -1)]
    told = [said[0][0::2] for kind, said in history if kind == "signal"]
    assert told == [["other", "a client"], ["approve", "ann"], ["approve", "ann"]]


async def test_one_that_comes_before_is_kept_until_the_flow_waits(bed_of, front, raw):
    shop = Processor("shop")

    @shop.on(Pay)
    async def pay(command: Pay):
        return None

    async def place(event: Place, flow: Flow) -> Completed:
        await flow.do(Pay(order=event.order))
        later = flow.signal("approve", timeout=60)
        said = await later
        return Completed(order=str(said))

    async with bed_of(front, orders(place), shop) as bed:
        bed.hold(Pay)
        order = await bed.send(Place(order="o1"))
        await bed.settled()
        await bed.client.signal(order.id, "approve", by="ann", id="s1")
        (untaken,) = bed.flow(order).untaken
        assert (untaken.name, untaken.id, untaken.by, untaken.data) == ("approve", "s1", "ann", None)
        bed.release(Pay)
        await bed.settled()
        assert bed.outcome(order).event == Completed(order="None")
        keys = Keys(bed.app.name, bed.settings.domain, 0)
        record = FlowRecord.read(order.id, raw.hgetall(keys.flow(order.id)))
        assert (record.untaken, record.signals) == ({}, {"s1": None})
        assert raw.zcard(keys.timers) == 0


async def test_the_same_id_counts_once_also_when_it_was_taken(world, front):
    async with world.running(front, orders(approved)) as client:
        await client.send(Place(order="o1"), id="f1")
        await waits(world)
        sent = [client.signal("f1", "approve", {"n": 1}, id="s1") for _ in range(5)]
        assert sorted(receipt.duplicate for receipt in await asyncio.gather(*sent)) == [False, *[True] * 4]
        await until(lambda: 2 in world.flow("f1").waits)
        assert (await client.signal("f1", "approve", {"n": 2}, id="s1")).duplicate
        assert world.flow("f1").waits == {2}
        await client.signal("f1", "approve", {"n": 3}, id="s3")
        assert (await client.wait("f1")).event == Completed(order="{'n': 1} {'n': 3}")
        assert (await client.signal("f1", "approve", {"n": 3}, id="s3")).duplicate  # also after the end


async def test_a_flow_that_is_not_there_or_has_ended_takes_none(world, front):
    async def place(event: Place, flow: Flow) -> Completed:
        return Completed(order=event.order)

    async with world.running(front, orders(place)) as client:
        with pytest.raises(UnknownFlow, match="no flow f1: it has never existed"):
            await client.signal("f1", "approve")
        await client.send(Place(order="o1"), id="f1")
        await client.wait("f1")
        before = world.raw.hgetall(world.keys.flow("f1"))
        with pytest.raises(
            FlowEnded, match=r"flow f1 has ended \(completed\): nothing more can be done with it"
        ):
            await client.signal("f1", "approve")
        assert world.raw.hgetall(world.keys.flow("f1")) == before


@pytest.mark.parametrize(
    ("name", "data", "error"),
    [
        ("Not kebab", None, ApplicationError),
        ("approve", [1], InvalidMessage),
        ("approve", {"at": object()}, InvalidMessage),
        ("approve", {"at": float("nan")}, InvalidMessage),
        ("approve", {"text": "o" * 3_000}, MessageTooLarge),
    ],
)
async def test_what_is_no_signal_is_refused(world, front, name, data, error):
    async with world.running(front, orders(approved), max_message_bytes=2_000) as client:
        await client.send(Place(order="o1"), id="f1")
        await waits(world)
        with pytest.raises(error):
            await client.signal("f1", name, data)
        assert world.flow("f1").signals == {}


async def test_a_timeout_is_raised_and_the_signal_is_for_the_next_step(bed_of, front, raw):
    async def place(event: Place, flow: Flow) -> Completed:
        try:
            await flow.signal("approve", timeout=days(2))
        except StepTimeout as late:
            assert (late.step, late.command) == (1, "signal approve")
        return Completed(order=str(await flow.signal("approve", timeout=60)))

    async with bed_of(front, orders(place)) as bed:
        keys = Keys(bed.app.name, bed.settings.domain, 0)
        order = await bed.send(Place(order="o1"))
        await bed.skip(days=2)
        assert raw.zcard(keys.timers) == 1
        await bed.signal(order, "approve", {"n": 1})
        await bed.settled()
        assert bed.outcome(order).event == Completed(order="{'n': 1}")
        assert [step.state for step in bed.flow(order).steps] == ["timed out", "signalled"]
        assert raw.zcard(keys.timers) == 0  # the signal took the second one's timer with it
        assert not raw.hexists(keys.flow(order.id), "late")


async def test_a_flow_that_waits_for_a_signal_is_shown_and_not_loose(world, front):
    app = world.app(front, orders(approved))
    async with app.running() as client:
        await client.send(Place(order="o1"), id="f1")
        await waits(world)
        await client.signal("f1", "approve", {"n": 1}, by="ann")
        await until(lambda: 2 in world.flow("f1").waits)
        async with app.store() as store:
            assert await loose_flows(store, app.topology) == []
            first, second = (await view_of(store, app.topology, "f1")).steps
            (line,) = await summaries(store, app.topology)
            root = (await trace(store, app.topology, "f1")).root
    assert (first.kind, first.name, first.state, first.processor) == (
        "signal", "signal approve", "signalled", "ann",
    )  # fmt: skip
    assert first.data == {"n": 1}
    assert (second.name, second.state) == ("signal approve", "waiting")
    assert line.waiting_for == ("signal approve",)
    sent = {each.component: each.sent for each in root.handlings}["orders"]
    assert [(each.kind, each.type, each.note) for each in sent] == [
        ("signal", "signal approve", "signalled by ann"),
        ("signal", "signal approve", "waiting"),
    ]


async def test_one_whose_timer_is_gone_is_loose(world, front):
    async def place(event: Place, flow: Flow) -> Completed:
        return Completed(order=str(await flow.signal("approve", timeout=60)))

    app = world.app(front, orders(place))
    async with app.running() as client:
        await client.send(Place(order="o1"), id="f1")
        await waits(world)
    world.raw.delete(world.keys.timers)
    async with app.store() as store:
        (loose,) = await loose_flows(store, app.topology)
    assert loose.missing == "step 1 (signal approve)"


async def test_with_two_mediators_each_signal_is_taken_once_and_in_order(world, front):
    async def place(event: Place, flow: Flow) -> Completed:
        return Completed(order=" ".join([str((await flow.signal("say"))["n"]) for _ in range(10)]))

    app = world.app(front, orders(place))
    async with app.running() as client, app.worker(["orders"]), app.worker(["orders"]):
        ids = [f"f{n}" for n in range(10)]
        await client.send_many([(Place(order=id), id) for id in ids])
        for id in ids:
            await until(lambda id=id: world.flow(id).facts)

        async def say(id):
            for n in range(10):
                twice = [client.signal(id, "say", {"n": n}, id=f"s{n}") for _ in range(2)]
                assert sorted(receipt.duplicate for receipt in await asyncio.gather(*twice)) == [False, True]

        await asyncio.gather(*map(say, ids))
        for id in ids:
            assert (await client.wait(id)).event == Completed(order="0 1 2 3 4 5 6 7 8 9")
    assert world.failures("orders") == []


async def test_a_failed_flow_keeps_the_signals_that_come(world, front):
    async def broken(event: Place, flow: Flow) -> Completed:
        raise ValueError("at the start")

    failure = await failed(world, front, orders(broken))
    app = world.app(front, orders(approved))
    async with app.running() as client:
        for n in (1, 2):
            await client.signal("f1", "approve", {"n": n})
        assert await world.send_back(app, failure) == 1
        await until(lambda: world.flow("f1").ended)
        assert (await client.wait("f1")).event == Completed(order="{'n': 1} {'n': 2}")
