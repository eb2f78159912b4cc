"""Children: flows that a flow starts, and waits for."""

import asyncio

import pytest

from hybrid import COMPLEX, HARD, SIMPLE, Flow, Mediator, Processor, Refused, RetryPolicy, SimpleMediator
from hybrid.errors import ChildFailed
from hybrid.ids import child_id
from hybrid.inspect.actions import DISCARD, Desk, Order
from hybrid.inspect.desk_log import Deed
from hybrid.inspect.failures import named
from hybrid.inspect.flows import flow as view_of
from hybrid.inspect.ledger import ledger
from hybrid.inspect.loose import loose_flows
from hybrid.inspect.steering import Steering
from hybrid.inspect.trace import trace
from hybrid.mediator.record import Deed as Asked
from hybrid.mediator.steering import cancelling
from hybrid.messages import Command, Event
from hybrid.streams.transitions import CHECK_FAILED
from tests.mediator.flows import orders
from tests.runtime.messages import Completed, Denied, Paid, Pay, Place, Ship
from tests.runtime.world import until


class Parcel(Event):
    number: int
    kind: str = "hard"


class Packed(Event):
    number: int


class Unpack(Command):
    number: int


@pytest.fixture
def front():
    """A front door for orders and parcels of all classes."""
    front = SimpleMediator("front")

    @front.classify(Place, HARD)
    def order(event: Place):
        return HARD

    @front.classify(Parcel, SIMPLE, HARD, COMPLEX)
    def parcel(event: Parcel):
        return {"simple": SIMPLE, "hard": HARD}.get(event.kind, COMPLEX)

    @front.on(Parcel)
    def simple(event: Parcel):
        return [Ship(order=str(event.number))] if event.number else None

    return front


@pytest.fixture
def shop():
    """A processor that notes what it did, and pays when `open` is set."""
    shop = Processor("shop")
    shop.did, shop.open = [], asyncio.Event()

    @shop.on(Pay, retry=RetryPolicy(attempts=1))
    async def pay(command: Pay) -> Paid:
        shop.did.append(f"pay {command.order}")
        await shop.open.wait()
        return Paid(order=command.order, receipt="r")

    @shop.on(Ship)
    async def note(command: Ship) -> None:
        shop.did.append(f"note {command.order}")

    @shop.on(Unpack)
    async def unpack(command: Unpack) -> None:
        shop.did.append(f"unpack {command.number}")

    return shop


def parcels(function):
    mediator = Mediator("parcels", handles=(HARD, COMPLEX))
    mediator.flow(Parcel)(function)
    return mediator


async def pack(event: Parcel, flow: Flow) -> Packed:
    if event.number == 13:
        raise Refused(Denied(order="13"))
    if event.number == 14:
        raise KeyError("a mistake")
    flow.undo(Unpack(number=event.number))
    if event.number > 20:
        await flow.do(Pay(order=str(event.number)))
    if event.number > 30:
        await flow.signal("go")
    return Packed(number=event.number)


CHILD = child_id("f1", 1, 1)


async def test_a_child_gives_the_event_that_it_ended_with(world, front, shop):
    async def place(event: Place, flow: Flow) -> Completed:
        packed, simple = await flow.do(Ship(order="0")), None
        packed = await flow.child(Parcel(number=21))
        simple = await flow.child(Parcel(number=1, kind="simple"))
        assert simple is None
        return Completed(order=str(packed.number))

    shop.open.set()
    app = world.app(front, orders(place), parcels(pack), shop)
    async with app.running() as client:
        await client.send(Place(order="o1"), id="f1")
        assert (await client.wait("f1", timeout=10)).event == Completed(order="21")
        await until(lambda: len(shop.did) == 3)
    child = world.flow(child_id("f1", 1, 2))
    assert child.facts["corr"] == "f1"
    assert child.parent == ("f1", 1, 2, "orders")
    assert (child.facts["class"], child.facts["mediator"]) == ("hard", "parcels")
    assert [step.label for step in world.flow("f1").steps.values()] == [
        "ship",
        "child parcel",
        "child parcel",
    ]
    assert world.raw.zcard(world.keys.flows) == 0
    async with app.store() as store:
        assert (await ledger(store, app.topology)).balanced
        steps = (await view_of(store, app.topology, "f1")).steps
        assert [(step.kind, step.reply) for step in steps][1:] == [("child", "packed"), ("child", "")]
        assert str(await trace(store, app.topology, "f1"))


@pytest.mark.parametrize("number", [13, 21])
async def test_one_that_does_not_complete_is_an_error_in_its_parent(world, front, shop, number):
    seen = []

    async def place(event: Place, flow: Flow) -> Completed:
        try:
            await flow.child(Parcel(number=number))
        except ChildFailed as failed:
            seen.append((failed.child, failed.state, failed.event))
        return Completed(order="o1")

    async with world.running(front, orders(place), parcels(pack), shop) as client:
        await client.send(Place(order="o1"), id="f1")
        if number == 21:
            await until(lambda: shop.did)
            await client.cancel(CHILD, why="no more paper", by="ann", now=True)
            shop.open.set()
        assert (await client.wait("f1", timeout=10)).state == "completed"
    ended = ("refused", Denied(order="13")) if number == 13 else ("cancelled", None)
    assert seen[0] == (CHILD, *ended)


async def test_a_child_that_goes_wrong_waits_at_the_desk_and_its_parent_says_so(world, front, shop):
    async def place(event: Place, flow: Flow) -> Completed:
        await flow.child(Parcel(number=14))
        return Completed(order="o1")

    app = world.app(front, orders(place), parcels(pack), shop)
    async with app.running() as client:
        await client.send(Place(order="o1"), id="f1")
        outcome = await client.wait("f1", timeout=10)
        assert outcome.state == "failed"
        assert "KeyError: 'a mistake'" in outcome.reason
        await client.cancel("f1")
        await until(lambda: world.flow(CHILD).ended)
    assert world.flow("f1").state == world.flow(CHILD).state == "cancelled"


@pytest.mark.parametrize("number", [25, 35])
async def test_cancelling_the_parent_cancels_its_children(world, front, shop, number):
    async def place(event: Place, flow: Flow) -> Completed:
        flow.undo(Ship(order="o1"))
        await flow.child(Parcel(number=number))
        return Completed(order="o1")

    app = world.app(front, orders(place), parcels(pack), shop)
    async with app.running() as client:
        await client.send(Place(order="o1"), id="f1")
        await until(lambda: shop.did)
        if number > 30:
            shop.open.set()
            await until(lambda: world.flow(CHILD).waits == {2})
        await client.cancel("f1", why="no more", by="ann")
        shop.open.set()
        outcome = await client.wait("f1", timeout=10)
    assert (outcome.state, outcome.reason) == ("cancelled", "cancelled by ann: no more")
    assert shop.did == [f"pay {number}", f"unpack {number}", "note o1"]  # its child's first, then its own
    child = world.flow(CHILD)
    assert (child.state, child.facts["error"]) == (
        "cancelled",
        "cancelled by flow f1: cancelled by ann: no more",
    )
    async with app.store() as store:
        assert (await ledger(store, app.topology)).balanced
        assert await loose_flows(store, app.topology) == []


async def test_a_child_that_has_not_begun_is_cancelled_before_it_begins(world, front, shop):
    async def place(event: Place, flow: Flow) -> Completed:
        await flow.child(Parcel(number=25))
        return Completed(order="o1")

    app = world.app(front, orders(place), parcels(pack), shop)
    async with app.running("orders", "front", "shop") as client:
        await client.send(Place(order="o1"), id="f1")
        await until(lambda: world.raw.xlen(world.keys.event("parcels")))
        await client.cancel("f1")
        assert world.flow("f1").state == "undoing"  # until its child is over
        async with app.running("parcels"):
            assert (await client.wait("f1", timeout=10)).state == "cancelled"
    assert world.flow(CHILD).state == "cancelled"
    assert shop.did == []


async def test_events_that_do_not_come_in_from_outside_are_no_children(world, front, shop):
    async def place(event: Place, flow: Flow) -> Completed:
        await flow.child(Paid(order="o1", receipt="r"))
        return Completed(order="o1")

    async with world.running(front, orders(place), parcels(pack), shop) as client:
        await client.send(Place(order="o1"), id="f1")
        outcome = await client.wait("f1", timeout=10)
    assert "paid is no initiating event; those are: parcel, place" in outcome.reason


@pytest.mark.parametrize("number", [14, 41])
async def test_one_that_is_given_up_at_the_desk_is_undone_and_its_parent_told(world, front, shop, number):
    seen = []

    async def place(event: Place, flow: Flow) -> Completed:
        try:
            await flow.child(Parcel(number=number))
        except ChildFailed as failed:
            seen.append((failed.child, failed.state, failed.reason))
        return Completed(order="o1")

    async def wrong(event: Parcel, flow: Flow) -> Packed:
        flow.undo(Unpack(number=event.number))
        if event.number == 41:
            await flow.do(Ship(order="0"))
        raise KeyError("a mistake")

    app = world.app(front, orders(place), parcels(wrong), shop)
    async with app.running() as client:
        await client.send(Place(order="o1"), id="f1")
        await world.failure("parcels")
        async with app.store() as store:
            views = await named(store, app.topology, CHILD)
            await Desk(store, app.topology, Deed("ann", DISCARD)).act([Order(view) for view in views])
        await until(lambda: world.flow("f1").ended)
    assert seen == [(CHILD, "failed", "given up: discarded by ann")]
    child = world.flow(CHILD)
    assert (child.state, child.ended) == ("failed", True)
    assert ("unpack 41" in shop.did) == (number == 41)  # what its first run was to register was not recorded
    async with app.store() as store:
        assert (await ledger(store, app.topology)).balanced
        assert await loose_flows(store, app.topology) == []


async def test_one_that_fails_at_once_is_retried_as_itself(world, front, shop):
    broken = {"parcels"}

    async def place(event: Place, flow: Flow) -> Completed:
        await flow.child(Parcel(number=1))
        return Completed(order="o1")

    async def mended(event: Parcel, flow: Flow) -> Packed:
        if broken:
            raise KeyError("a mistake")
        return Packed(number=1)

    app = world.app(front, orders(place), parcels(mended), shop)
    async with app.running() as client:
        await client.send(Place(order="o1"), id="f1")
        assert (await client.wait("f1", timeout=10)).state == "failed"
        broken.clear()
        async with app.store() as store:
            assert (await Steering(store, app.topology, "ann").retry(CHILD)).result == "retried"
        await until(lambda: world.flow("f1").ended)
    assert world.flow("f1").state == "completed"


async def test_a_child_that_came_in_time_leaves_no_timer_behind(bed_of, front, shop):
    async def place(event: Place, flow: Flow) -> Completed:
        await flow.child(Parcel(number=1), timeout=3600)
        await flow.child(Parcel(number=1, kind="simple"), timeout=3600)
        return Completed(order="o1")

    async with bed_of(front, orders(place), parcels(pack), shop) as bed:
        order = await bed.send(Place(order="o1"))
        await bed.settled()
        assert bed.outcome(order).state == "completed"
        (shard,) = bed._shards
        assert await shard.queries.size(shard.keys.timers) == 0


async def test_a_parent_undoes_nothing_before_what_its_child_has_under_way_has_ended(world, front, shop):
    async def place(event: Place, flow: Flow) -> Completed:
        flow.undo(Unpack(number=0))
        await flow.child(Parcel(number=40))
        return Completed(order="o1")

    async def pay_only(event: Parcel, flow: Flow) -> None:
        await flow.do(Pay(order="child"))

    app = world.app(front, orders(place), parcels(pay_only), shop)
    async with app.running() as client:
        await client.send(Place(order="o1"), id="f1")
        await until(lambda: shop.did)
        await client.cancel("f1", by="ann")
        await until(lambda: world.flow(CHILD).state == "undoing")
        assert shop.did == ["pay child"]
        shop.open.set()
        assert (await client.wait("f1", timeout=10)).state == "cancelled"
    assert shop.did == ["pay child", "unpack 0"]
    assert world.flow(CHILD).state == "cancelled"
    async with app.store() as store:
        assert (await ledger(store, app.topology)).balanced
        assert await loose_flows(store, app.topology) == []


async def test_one_that_waits_at_the_desk_is_cancelled_when_its_parent_does_the_step_anew(world, front, shop):
    async def place(event: Place, flow: Flow) -> Completed:
        await flow.child(Parcel(number=1))
        return Completed(order="o1")

    async def broken(event: Parcel, flow: Flow) -> Packed:
        flow.undo(Unpack(number=flow.envelope.run))
        await flow.do(Ship(order="0"))
        if flow.envelope.run == 1:
            raise KeyError("a mistake")
        return Packed(number=1)

    app = world.app(front, orders(place), parcels(broken), shop)
    async with app.running() as client:
        await client.send(Place(order="o1"), id="f1")
        assert (await client.wait("f1", timeout=10)).state == "failed"
        async with app.store() as store:
            done = await Steering(store, app.topology, "ann", "anew").restart("f1", step=1)
        assert done.result == "restarted"
        await until(lambda: world.flow("f1").ended and world.flow(CHILD).ended)
    assert world.flow("f1").state == "completed"
    old = world.flow(CHILD)
    assert (old.state, old.facts["error"]) == (
        "cancelled",
        "cancelled by flow f1: restarted from step 1 by ann: anew",
    )
    assert shop.did.count("unpack 1") == 1
    async with app.store() as store:
        assert (await ledger(store, app.topology)).balanced
        assert await loose_flows(store, app.topology) == []


async def test_a_simple_one_that_is_asked_too_late_leaves_nothing(world, front, shop):
    async def place(event: Place, flow: Flow) -> Completed:
        await flow.child(Parcel(number=1, kind="simple"))
        await flow.signal("go")
        return Completed(order="o1")

    app = world.app(front, orders(place), parcels(pack), shop)
    async with app.running() as client, app.store() as store:
        await client.send(Place(order="o1"), id="f1")
        await until(lambda: world.flow("f1").waits == {2})
        record = world.flow("f1")
        del record.results[1]  # as it was read before the child was done
        late = cancelling(world.keys, record, Asked("ann", "no more", 0), now=True)
        assert await store.shards[0].settler.settle(late) == CHECK_FAILED
        await client.cancel("f1", now=True)
    assert not world.raw.exists(world.keys.flow(CHILD))
