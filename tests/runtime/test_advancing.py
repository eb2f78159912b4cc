"""Mediators while the server is away, and many wake-ups of one flow at once."""

import pytest

from hybrid import HARD, Flow, Mediator, Processor, SimpleMediator
from hybrid.errors import NotRegistered, ServerUnavailable
from hybrid.streams.queries import Queries
from tests.runtime.messages import Completed, Pay, Place
from tests.runtime.world import until


def components(function):
    front, orders, payment = SimpleMediator("front"), Mediator("orders", handles=HARD), Processor("payment")

    @front.classify(Place, HARD)
    def rule(event):
        return HARD

    orders.flow(Place)(function)

    @payment.on(Pay)
    async def pay(command: Pay):
        return None

    return front, orders, payment


async def paid(event: Place, flow: Flow) -> Completed:
    await flow.do(Pay(order=event.order))
    return Completed(order=event.order)


async def test_records_are_loaded_again_after_the_server_was_away(world, monkeypatch):
    real, failing = Queries.hashes, [1, 2]

    async def hashes(self, keys, fields=()):
        if failing and keys[0].startswith(world.keys.flow("")):
            failing.pop()
            raise ServerUnavailable("away")
        return await real(self, keys, fields)

    async with world.running(*components(paid)) as client:
        monkeypatch.setattr(Queries, "hashes", hashes)
        await client.send(Place(order="o1"), id="f1")
        await until(lambda: world.flow("f1").state == "completed")
    assert failing == []


async def test_wake_ups_of_one_flow_are_folded(world):
    app = world.app(*components(paid))
    async with app.running("front", "orders") as client:
        await client.send(Place(order="o1"), id="f1")
        await until(lambda: world.flow("f1").waits)
    own = world.keys.own("orders")
    for _ in range(30):
        world.raw.xadd(own, {"type": "wake-up", "flow": "f1"})
    async with app.running("orders"):
        await until(lambda: world.raw.xlen(own) == 0)
    assert world.flow("f1").version < 10
    async with app.running() as client:
        assert (await client.wait("f1")).event == Completed(order="o1")


async def test_wake_ups_of_a_failed_flow_leave_one_failure(world):
    async def broken(event: Place, flow: Flow) -> Completed:
        await flow.do(Pay(order=event.order))
        raise ValueError("broken")

    app = world.app(*components(broken))
    async with app.running("front", "orders") as client:
        await client.send(Place(order="o1"), id="f1")
        await until(lambda: world.flow("f1").waits)
    async with app.running("payment"):
        await until(lambda: world.flow("f1").results)
    own = world.keys.own("orders")
    for _ in range(30):
        world.raw.xadd(own, {"type": "wake-up", "flow": "f1"})
    async with app.running("orders") as client:
        await until(lambda: world.raw.xlen(own) == 0)
        assert (await client.wait("f1")).reason == "ValueError: broken"
        await until(lambda: world.failures("orders"))
    assert len(world.failures("orders")) <= 2
    assert (
        world.counter("settled:orders") + len(world.failures("orders"))
        == world.counter("entered:event:orders") + world.counter("entered:own:orders") + 30
    )


async def test_two_that_start_one_flow_start_it_once(world):
    """The same event twice on the mediator's queue, as after a window that was too short."""
    app = world.app(*components(paid))
    async with app.running("front") as client:
        await client.send(Place(order="o1"), id="f1")
        own = world.keys.event("orders")
        await until(lambda: world.raw.xlen(own))
        ((_, fields),) = world.raw.xrange(own)
        for _ in range(5):
            world.raw.xadd(own, fields)
    async with app.running() as client:
        assert (await client.wait("f1")).event == Completed(order="o1")
        await until(lambda: world.raw.xlen(own) == 0)
    assert world.counter("entered:command:pay") == 1
    assert len(world.broadcasts(Completed)) == 1


async def test_a_record_that_can_not_be_read_holds_up_no_other_flow(world):
    app = world.app(*components(paid))
    async with app.running("front", "orders") as client:
        await client.send(Place(order="o1"), id="f1")
        await client.send(Place(order="o2"), id="f2")
        await until(lambda: world.flow("f1").waits and world.flow("f2").waits)
    world.raw.hset(world.keys.flow("f1"), mapping={"step:1": b"\xc1", "version": 7})
    async with app.running() as client:
        assert (await client.wait("f2")).event == Completed(order="o2")
        failure = await world.failure("orders")
        assert failure.error.endswith("UndecodableMessage")
    assert world.raw.xlen(world.keys.own("orders")) == 0


@pytest.mark.parametrize("error", [ValueError("broken"), NotRegistered("newer code knows it")])
async def test_a_wake_up_is_not_lost_when_the_one_that_stood_for_it_was_somebody_elses(world, error):
    own, first = world.keys.own("orders"), []

    async def place(event: Place, flow: Flow) -> Completed:
        await flow.do(Pay(order=event.order))
        if not first:  # another mediator settles that delivery, while we have run into an error
            first.extend(entry for entry, _ in world.raw.xrange(own))
            assert world.raw.xack(own, "hybrid", first[0]) == world.raw.xdel(own, first[0]) == 1
            raise error
        return Completed(order=event.order)

    app = world.app(*components(place))
    async with app.running("front", "orders") as client:
        await client.send(Place(order="o1"), id="f1")
        await until(lambda: world.flow("f1").waits)
    async with app.running("payment"):
        await until(lambda: world.flow("f1").results)
    world.raw.xadd(own, {"type": "wake-up", "flow": "f1"})
    async with app.running("orders") as client:
        assert (await client.wait("f1", timeout=10)).state == "completed"
    assert len(first) == 2
    assert world.failures("orders") == []
