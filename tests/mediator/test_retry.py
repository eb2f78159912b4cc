"""A retry policy of a command's own: it travels with the command, and the handler's does not count."""

import pytest

from hybrid import Flow, Processor, RetryPolicy
from hybrid.envelope import from_fields
from tests.mediator.flows import failed, front_door, orders
from tests.runtime.messages import Completed, Paid, Pay, Place
from tests.runtime.world import until

QUICK = RetryPolicy(attempts=4, first_ms=1, factor=1.0)


@pytest.fixture
def front():
    """A front door by which orders enter."""
    return front_door()


def shop(fails, **options):
    """Return a processor that fails so many times with each order, and how often it was tried."""
    processor, tried = Processor("shop"), {}

    @processor.on(Pay, **options)
    async def pay(command: Pay) -> Paid:
        tried[command.order] = tried.get(command.order, 0) + 1
        if tried[command.order] <= fails:
            raise OSError("not now")
        return Paid(order=command.order)

    return processor, tried


async def test_a_command_is_tried_as_often_as_its_flow_says(world, front):
    processor, tried = shop(3, retry=RetryPolicy(attempts=1))

    async def place(event: Place, flow: Flow) -> Completed:
        one = await flow.do(Pay(order="o1"), retry=QUICK)
        more = await flow.all(Pay(order="o2"), Pay(order="o3"), retry=QUICK)
        most = await flow.map([Pay(order="o4"), Pay(order="o5")], at_most=1, retry=QUICK)
        return Completed(order=" ".join(paid.order for paid in [one, *more, *most]))

    async with world.running(front, orders(place), processor) as client:
        await client.send(Place(order="o1"), id="f1")
        assert (await client.wait("f1")).event == Completed(order="o1 o2 o3 o4 o5")
    assert tried == dict.fromkeys(("o1", "o2", "o3", "o4", "o5"), 4)
    assert {result.attempt for result in world.flow("f1").results.values()} == {4}


async def test_also_less_often_than_its_handler_says(world, front):
    processor, tried = shop(9, retry=RetryPolicy(attempts=9, first_ms=1))

    async def place(event: Place, flow: Flow) -> Completed:
        await flow.do(Pay(order="o1"), retry=RetryPolicy(attempts=2, first_ms=1))
        return Completed(order="o1")

    async with world.running(front, orders(place), processor) as client:
        await client.send(Place(order="o1"), id="f1")
        assert (await client.wait("f1")).state == "failed"
    assert tried == {"o1": 2}
    (failure,) = world.failures("shop")
    assert failure.attempts == 2
    assert from_fields(failure.fields, b"1-1").retry == "2 1 4.0 60000"


async def test_it_may_change_while_flows_run(world, front):
    processor, _ = shop(0)
    runs = []

    async def place(event: Place, flow: Flow) -> Completed:
        runs.append(1)
        return Completed(order=(await flow.do(Pay(order="o1"), retry=RetryPolicy(attempts=len(runs)))).order)

    async with world.running(front, orders(place), processor) as client:
        await client.send(Place(order="o1"), id="f1")
        assert (await client.wait("f1")).event == Completed(order="o1")
    assert len(runs) == 2


@pytest.mark.parametrize("retry", ["x", "0 1 1 1", "3 1 nan 1", "3 -1 1 1", "3 1 1", "9" * 5_000 + " 1 1 1"])
async def test_one_that_is_none_is_for_the_desk(world, retry):
    processor, tried = shop(0)
    app = world.app(processor)
    async with app.worker():
        await world.tell(Pay(order="o1"), retry=retry)
        failure = await world.failure("shop")
        await world.tell(Pay(order="o2"), retry="")
        await until(lambda: tried == {"o2": 1})
    assert failure.error == "UndecodableMessage"
    assert failure.message.startswith("its retry policy '")


async def test_what_is_no_policy_fails_the_flow(world, front):
    async def place(event: Place, flow: Flow) -> Completed:
        return Completed(order=str(await flow.do(Pay(order="o1"), retry=3)))

    failure = await failed(world, front, orders(place), shop(0)[0])
    assert failure.message == "flow.do: retry is a RetryPolicy, not 3"
