"""Undoing: what a flow has registered is undone, the last first, when it does not complete."""

import asyncio

import pytest

from hybrid import HARD, CommandFailed, Flow, Mediator, Processor, Refused, RetryPolicy, StepTimeout, seconds
from hybrid.broker.outputs import wake_up
from hybrid.errors import NonDeterministicFlow
from hybrid.inspect.actions import DISCARD, RESULTS, RETRY, Desk, Order
from hybrid.inspect.desk_log import Deed
from hybrid.inspect.failures import named
from hybrid.inspect.ledger import ledger
from hybrid.inspect.loose import loose_flows
from hybrid.inspect.steering import Steering
from hybrid.mediator.record import Deed as Who
from hybrid.mediator.steering import cancelling
from hybrid.messages import Command, Event
from hybrid.streams.transitions import CHECK_FAILED, Transition, add
from tests.mediator.flows import front_door, orders
from tests.runtime.messages import Completed, Denied, Paid, Pay, Place, Ship
from tests.runtime.world import until


class Refund(Command):
    order: str


class Refunded(Event):
    order: str


class Restock(Command):
    order: str


@pytest.fixture
def front():
    return front_door()


@pytest.fixture
def shop():
    """A processor whose handlers note what they did; `broken` has the names of those that fail."""
    shop = Processor("shop")
    shop.did, shop.broken = [], set()

    def note(what: str, order: str) -> None:
        shop.did.append(f"{what} {order}")
        if what in shop.broken:
            raise RuntimeError(f"{what} is broken")

    @shop.on(Pay, retry=RetryPolicy(attempts=1))
    async def pay(command: Pay) -> Paid:
        note("pay", command.order)
        return Paid(order=command.order, receipt="r")

    @shop.on(Ship, retry=RetryPolicy(attempts=1))
    async def ship(command: Ship) -> None:
        note("ship", command.order)

    @shop.on(Refund, retry=RetryPolicy(attempts=2, first_ms=5))
    async def refund(command: Refund) -> Refunded:
        note("refund", command.order)
        return Refunded(order=command.order)

    @shop.on(Restock, retry=RetryPolicy(attempts=2, first_ms=5))
    async def restock(command: Restock) -> None:
        note("restock", command.order)

    return shop


async def act(app, flow, action):
    """Do something with what a flow has at the desk."""
    async with app.store() as store:
        views = await named(store, app.topology, flow)
        (done,) = await Desk(store, app.topology, Deed("ann", action)).act([Order(view) for view in views])
        assert done.result == RESULTS[action]


async def balanced(app):
    async with app.store() as store:
        assert (await ledger(store, app.topology)).balanced
        assert await loose_flows(store, app.topology) == []


async def test_a_refused_flow_is_undone_in_reverse_and_then_over(world, front, shop):
    async def place(event: Place, flow: Flow):
        await flow.do(Pay(order="o1"))
        flow.undo(Refund(order="o1"))
        await flow.do(Ship(order="o1"))
        flow.undo(Restock(order="o1"))
        raise Refused(Denied(order="o1"))

    app = world.app(front, orders(place), shop)
    async with app.running() as client:
        await client.send(Place(order="o1"), id="f1")
        outcome = await client.wait("f1", timeout=10)
    assert (outcome.state, outcome.event) == ("refused", Denied(order="o1"))
    assert shop.did == ["pay o1", "ship o1", "restock o1", "refund o1"]
    record = world.flow("f1")
    assert [(step.kind, step.name) for step in record.steps.values()] == [
        ("command", "pay"), ("command", "ship"), ("undo", "restock"), ("undo", "refund"),
    ]  # fmt: skip
    assert (record.undos, record.ending) == ({}, None)
    assert len(world.broadcasts(Denied)) == 1  # when everything is undone, once
    await balanced(app)


async def test_a_completed_flow_undoes_nothing(world, front, shop):
    async def place(event: Place, flow: Flow) -> Completed:
        await flow.do(Pay(order="o1"))
        flow.undo(Refund(order="o1"))
        return Completed(order="o1")

    async with world.running(front, orders(place), shop) as client:
        await client.send(Place(order="o1"), id="f1")
        assert (await client.wait("f1", timeout=10)).state == "completed"
    assert shop.did == ["pay o1"]


@pytest.mark.parametrize("how", ["timeout", "given up"])
async def test_a_step_that_failed_ends_a_flow_that_can_be_undone(world, front, shop, how):
    async def place(event: Place, flow: Flow) -> Completed:
        flow.undo(Refund(order="o1"))
        await flow.do(Pay(order="o1"))
        await flow.do(Ship(order="o1"), timeout=seconds(0.1) if how == "timeout" else None)
        return Completed(order="o1")

    silent = Processor("silent")

    @silent.on(Ship, retry=RetryPolicy(attempts=1))
    async def ship(command: Ship) -> None:
        if how == "timeout":
            await asyncio.sleep(0.3)
        raise RuntimeError("no van")

    del shop.handlers[Ship]
    app = world.app(front, orders(place), shop, silent)
    async with app.running() as client:
        await client.send(Place(order="o1"), id="f1")
        if how == "given up":
            await world.failure("silent")
            await act(app, "f1", DISCARD)
        await until(lambda: world.flow("f1").ended)
        outcome = await client.wait("f1", timeout=10)
    assert outcome.state == "failed"
    assert ("in time" if how == "timeout" else "discarded by ann") in outcome.reason
    assert shop.did == ["pay o1", "refund o1"]
    assert world.flow("f1").ended
    assert not world.failures("orders")  # no person needs to look


async def test_an_error_of_the_code_undoes_nothing_and_goes_on_when_mended(world, front, shop):
    broken = True

    async def place(event: Place, flow: Flow) -> Completed:
        await flow.do(Pay(order="o1"))
        flow.undo(Refund(order="o1"))
        if broken:
            raise KeyError("a mistake")
        return Completed(order="o1")

    app = world.app(front, orders(place), shop)
    async with app.running() as client:
        await client.send(Place(order="o1"), id="f1")
        assert (await client.wait("f1", timeout=10)).state == "failed"
        assert not world.flow("f1").ended
        broken = False
        await act(app, "f1", RETRY)
        await until(lambda: world.flow("f1").state == "completed")
    assert shop.did == ["pay o1"]


async def test_what_is_under_way_is_waited_for_before_anything_is_undone(world, front, shop):
    release, begun = asyncio.Event(), asyncio.Event()
    slow = Processor("slow")

    @slow.on(Ship)
    async def ship(command: Ship) -> None:
        begun.set()
        await release.wait()
        shop.did.append("ship o1")

    async def place(event: Place, flow: Flow):
        flow.undo(Restock(order="o1"))
        flow.do(Ship(order="o1"))
        await flow.do(Pay(order="o1"))
        raise Refused(Denied(order="o1"))

    del shop.handlers[Ship]
    async with world.running(front, orders(place), shop, slow) as client:
        await client.send(Place(order="o1"), id="f1")
        await begun.wait()
        await until(lambda: world.flow("f1").state == "undoing")
        assert world.flow("f1").waits == {1}
        assert shop.did == ["pay o1"]
        release.set()
        assert (await client.wait("f1", timeout=10)).state == "refused"
    assert shop.did == ["pay o1", "ship o1", "restock o1"]


async def test_a_compensation_that_fails_waits_for_a_person(world, front, shop):
    async def place(event: Place, flow: Flow):
        flow.undo(Restock(order="o1"))
        flow.undo(Refund(order="o1"))
        raise Refused(Denied(order="o1"))

    shop.broken.add("refund")
    app = world.app(front, orders(place), shop)
    async with app.running() as client:
        await client.send(Place(order="o1"), id="f1")
        failure = await world.failure("shop")
        assert failure.attempts == 2
        assert world.flow("f1").stuck[1].startswith("RuntimeError: refund is broken")
        assert (await client.wait("f1", timeout=10)).state == "failed"
        shop.broken.clear()
        await act(app, "f1", RETRY)
        await until(lambda: world.flow("f1").ended)
    assert shop.did == ["refund o1", "refund o1", "refund o1", "restock o1"]
    assert world.flow("f1").state == "refused"
    await balanced(app)


async def test_whatever_wakes_a_flow_its_last_compensation_is_waited_for(world, front, shop):
    async def place(event: Place, flow: Flow):
        flow.undo(Refund(order="o1"))
        raise Refused(Denied(order="o1"))

    shop.broken.add("refund")
    app = world.app(front, orders(place), shop)
    async with app.running() as client:
        await client.send(Place(order="o1"), id="f1")
        await world.failure("shop")
        wake = wake_up(world.keys, "orders", "f1")
        async with app.store() as store:
            await store.shards[0].settler.settle(Transition((), (), [add(*wake)]))
            await until(lambda: world.counter("settled:orders") == 2)
            assert not world.flow("f1").ended
        shop.broken.clear()
        await act(app, "f1", RETRY)
        await until(lambda: world.flow("f1").ended)
    assert shop.did == ["refund o1"] * 3
    await balanced(app)


async def test_who_does_not_wait_for_the_last_compensation_cancels_now(world, front, shop):
    async def place(event: Place, flow: Flow):
        flow.undo(Refund(order="o1"))
        raise Refused(Denied(order="o1"))

    shop.broken.add("refund")
    app = world.app(front, orders(place), shop)
    async with app.running() as client:
        await client.send(Place(order="o1"), id="f1")
        await world.failure("shop")
        await client.cancel("f1", now=True, by="ann")
        assert world.flow("f1").state == "cancelled"
        assert world.flow("f1").ended
    await balanced(app)


async def test_other_compensations_than_recorded_are_found(world, front, shop):
    names = iter(["o1", "o2", "o3"])

    async def place(event: Place, flow: Flow):
        flow.undo(Refund(order=next(names)))
        await flow.do(Pay(order="o1"))

    async with world.running(front, orders(place), shop) as client:
        await client.send(Place(order="o1"), id="f1")
        outcome = await client.wait("f1", timeout=10)
    assert outcome.state == "failed"
    assert NonDeterministicFlow.__name__ in outcome.reason
    assert "refund with other data" in outcome.reason


async def test_an_error_that_the_flow_caught_undoes_nothing(world, front, shop):
    async def place(event: Place, flow: Flow) -> Completed:
        flow.undo(Refund(order="o1"))
        try:
            await flow.sleep(0.01)
            await flow.signal("go", timeout=0.01)
        except (StepTimeout, CommandFailed):
            pass
        return Completed(order="o1")

    async with world.running(front, orders(place), shop) as client:
        await client.send(Place(order="o1"), id="f1")
        assert (await client.wait("f1", timeout=10)).state == "completed"
    assert shop.did == []


async def test_a_command_that_is_sent_back_meanwhile_is_not_given_up(world, front, shop):
    async def place(event: Place, flow: Flow):
        flow.undo(Refund(order="o1"))
        await flow.do(Pay(order="o1"))

    shop.broken.add("pay")
    app = world.app(front, orders(place), shop)
    async with app.running() as client:
        await client.send(Place(order="o1"), id="f1")
        await world.failure("shop")
        ann = Who("ann", "no more", 0)
        late = cancelling(world.keys, world.flow("f1"), ann)
        shop.broken.clear()
        await act(app, "f1", RETRY)
        async with app.store() as store:
            assert await store.shards[0].settler.settle(late) == CHECK_FAILED
        await until(lambda: world.flow("f1").ended)
    assert shop.did == ["pay o1", "pay o1"]


@pytest.mark.parametrize("wakes", [False, True])
async def test_what_is_left_at_the_desk_does_not_end_a_flow_that_has_gone_on(world, front, shop, wakes):
    broken = {"orders"}

    async def place(event: Place, flow: Flow) -> Completed:
        if wakes:
            await flow.do(Pay(order="o1"))
        if broken:
            raise KeyError("a mistake")
        return Completed(order="o1")

    app = world.app(front, orders(place), shop)
    async with app.running() as client:
        await client.send(Place(order="o1"), id="f1")
        assert (await client.wait("f1", timeout=10)).state == "failed"
        broken.clear()
        async with app.store() as store:
            done = await Steering(store, app.topology, "ann").restart("f1", step=1)
        assert done.result == "restarted"
        await until(lambda: world.flow("f1").ended)
        await act(app, "f1", DISCARD)
    record = world.flow("f1")
    assert (record.state, "error" in record.facts) == ("completed", False)
    assert world.failures("orders") == []
    await balanced(app)


@pytest.mark.parametrize("seen", [False, True])
async def test_what_was_under_way_at_a_cancel_is_undone_although_it_was_not_registered_yet(
    world, front, shop, seen
):
    async def place(event: Place, flow: Flow) -> Completed:
        await flow.do(Pay(order="o1"))
        flow.undo(Refund(order="o1"))
        await flow.do(Ship(order="never"))
        return Completed(order="o1")

    app = world.app(front, orders(place), shop)
    async with app.running("front", "orders") as client:
        await client.send(Place(order="o1"), id="f1")
        await until(lambda: world.flow("f1").waits)
        if not seen:
            await client.cancel("f1")
            assert world.flow("f1").state == "undoing"
    async with app.running("shop") as client:
        await until(lambda: world.flow("f1").results)
        if seen:  # the result is there, and the function has not run since
            await client.cancel("f1")
            assert world.flow("f1").state == "undoing"
    async with app.running() as client:
        assert (await client.wait("f1", timeout=10)).state == "cancelled"
    assert shop.did == ["pay o1", "refund o1"]
    await balanced(app)


async def test_a_cancelled_flow_whose_code_is_gone_is_undone_as_far_as_it_is_registered(world, front, shop):
    async def place(event: Place, flow: Flow) -> Completed:
        flow.undo(Refund(order="o1"))
        await flow.do(Pay(order="o1"))
        flow.undo(Restock(order="o1"))
        return Completed(order="o1")

    app = world.app(front, orders(place, version=1), shop)
    async with app.running("front", "orders") as client:
        await client.send(Place(order="o1"), id="f1")
        await until(lambda: world.flow("f1").waits)
        await client.cancel("f1")

    async def other(event: Place, flow: Flow) -> Completed:
        return Completed(order="o1")

    changed = Mediator("orders", handles=HARD)
    changed.flow(Place, version=2)(other)
    async with world.app(front, changed, shop, pass_on_ms=0).running() as client:
        assert (await client.wait("f1", timeout=10)).state == "cancelled"
    assert shop.did == ["pay o1", "refund o1"]


@pytest.mark.parametrize("where", ["at the desk", "under way"])
async def test_a_cancelled_flow_leaves_no_timer_of_a_command(world, front, shop, where):
    async def place(event: Place, flow: Flow) -> Completed:
        await flow.do(Pay(order="o1"), timeout=3600)
        return Completed(order="o1")

    shop.broken.add("pay")
    app = world.app(front, orders(place), shop)
    async with app.running("front", "orders", *(["shop"] if where == "at the desk" else [])) as client:
        await client.send(Place(order="o1"), id="f1")
        await until(lambda: world.flow("f1").waits)
        if where == "at the desk":
            await world.failure("shop")
        assert world.raw.zcard(world.keys.timers) == 1
        await client.cancel("f1", now=where == "under way")
        await until(lambda: world.flow("f1").ended)
    assert world.raw.zcard(world.keys.timers) == 0
