"""What all runners share: the end of a delivery that the server refuses, or that somebody else has ended."""

import pytest

from hybrid import HARD, Flow, Mediator, Processor, SimpleMediator
from hybrid.runtime.runner import Runner
from tests.runtime.messages import Completed, Paid, Pay, Place
from tests.runtime.world import until


@pytest.fixture
def shop():
    """Orders that are paid."""
    front, orders, payment = SimpleMediator("front"), Mediator("orders", handles=HARD), Processor("payment")

    @front.classify(Place, HARD)
    def rule(event):
        return HARD

    @orders.flow(Place)
    async def place(event: Place, flow: Flow) -> Completed:
        await flow.do(Pay(order=event.order))
        return Completed(order=event.order)

    @payment.on(Pay)
    async def pay(command: Pay) -> Paid:
        return Paid(order=command.order)

    return front, orders, payment


async def test_a_settle_that_the_server_refuses_ends_among_the_failures(world, shop):
    """Somebody has put another thing under a topic's name: the broadcast can't be stored."""
    world.raw.set(world.keys.topic("paid"), "not a stream")
    async with world.running(*shop) as client:
        await client.send(Place(order="o1"), id="f1")
        failure = await world.failure("payment")
        assert failure.message == "the server refused the outputs of this delivery; the worker's log says why"
        assert failure.envelope.flow == "f1"
        assert world.raw.xlen(world.keys.command("pay")) == 0
        await world.tell(Pay(order="o2"))
        await until(lambda: len(world.failures("payment")) == 2)  # the next goes on
        world.raw.delete(world.keys.topic("paid"))
        await world.send_back(world.app(*shop), failure)
        assert (await client.wait("f1")).state == "completed"


async def test_so_does_an_advance(world, shop):
    world.raw.set(world.keys.topic("completed"), "not a stream")
    async with world.running(*shop) as client:
        await client.send(Place(order="o1"), id="f1")
        failure = await world.failure("orders")
        assert failure.message == "the server refused the outputs of this delivery; the worker's log says why"
        world.raw.delete(world.keys.topic("completed"))


async def test_what_somebody_else_has_settled_meanwhile_changes_nothing(world, shop):
    queue = world.keys.command("pay")
    payment = Processor("payment")

    @payment.on(Pay)
    async def pay(command: Pay) -> Paid:
        ((entry, _),) = world.raw.xrange(queue)
        world.raw.xack(queue, "hybrid", entry)
        world.raw.hset(world.keys.starts, "left", "1 x")
        return Paid(order=command.order)

    await world.tell(Pay(order="o1"))
    world.raw.xgroup_create(queue, "hybrid", id="0", mkstream=True)
    world.raw.xreadgroup("hybrid", "dead", {queue: ">"})
    async with world.running(payment, lease_ms=300):
        await until(lambda: world.raw.hkeys(world.keys.starts) == [b"left"])
    assert world.broadcasts(Paid) == []
    assert world.counter("settled:payment") == 0


async def test_the_base_takes_nothing(store, world, shop):
    from hybrid.runtime.workplace import Workplace

    runner = Runner("nobody", store.shards[0], Workplace(world.app(*shop).topology, world.settings, None))
    assert runner.drop_waiting() == []
    assert runner.running == set()
    with pytest.raises(NotImplementedError):
        runner.take([])
