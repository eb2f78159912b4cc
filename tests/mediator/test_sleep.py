"""Sleeping flows: a step without a command, whose timer gives it its result."""

import asyncio
from datetime import timedelta

import pytest

from hybrid import Flow, Processor, days, seconds
from hybrid.inspect.flows import flow as view_of
from hybrid.inspect.loose import loose_flows
from hybrid.inspect.trace import trace
from tests.mediator.flows import failed, front_door, orders
from tests.runtime.messages import Completed, Pay, Place
from tests.runtime.world import until


@pytest.fixture
def front():
    """A front door by which orders enter."""
    return front_door()


async def test_a_flow_sleeps_and_goes_on(bed_of, front):
    async def place(event: Place, flow: Flow) -> Completed:
        began = flow.now()
        assert await flow.sleep(days(30)) is None
        assert await flow.sleep(0.04) is None
        assert flow.now() - began >= timedelta(days=30, milliseconds=40)
        await flow.sleep(0)
        return Completed(order=event.order)

    async with bed_of(front, orders(place)) as bed:
        order = await bed.send(Place(order="o1"))
        await bed.skip(days=29)
        assert bed.flow(order).summary.waiting_for == ("sleep 30 d",)
        await bed.skip(days=1, seconds=1)
        assert bed.outcome(order).event == Completed(order="o1")
        told = [(step.name, step.state) for step in bed.flow(order).steps]
        assert told == [("sleep 30 d", "slept"), ("sleep 0.04 s", "slept"), ("sleep 0 s", "slept")]


async def test_nobody_needs_to_run_meanwhile_and_it_is_shown(world, front):
    async def place(event: Place, flow: Flow) -> Completed:
        await flow.sleep(seconds(0.5))
        return Completed(order=event.order)

    app = world.app(front, orders(place))
    async with app.running() as client:
        await client.send(Place(order="o1"), id="f1")
        await until(lambda: world.flow("f1").waits)
    async with app.store() as store:
        assert await loose_flows(store, app.topology) == []
        (step,) = (await view_of(store, app.topology, "f1")).steps
        assert (step.kind, step.name, step.state, step.processor) == ("timer", "sleep 0.5 s", "sleeping", "")
        assert step.deadline == step.sent + 500
        root = (await trace(store, app.topology, "f1")).root
        (sleeping,) = {each.component: each.sent for each in root.handlings}["orders"]
        assert (sleeping.kind, sleeping.type, sleeping.note) == ("timer", "sleep 0.5 s", "sleeping")
    async with app.running() as client:
        await client.wait("f1")
    async with app.store() as store:
        (step,) = (await view_of(store, app.topology, "f1")).steps
    assert step.state == "slept"
    assert step.done >= step.deadline - 5


async def test_a_sleep_without_its_timer_is_loose(world, front):
    async def place(event: Place, flow: Flow) -> Completed:
        await flow.sleep(60)
        return Completed(order=event.order)

    app = world.app(front, orders(place))
    async with app.running() as client:
        await client.send(Place(order="o1"), id="f1")
        await until(lambda: world.flow("f1").waits)
    world.raw.delete(world.keys.timers)
    async with app.store() as store:
        (loose,) = await loose_flows(store, app.topology)
    assert (loose.flow, loose.missing) == ("f1", "step 1 (sleep 1 m)")


async def test_each_fires_once_with_several_mediators_and_schedules(world, front):
    async def place(event: Place, flow: Flow) -> Completed:
        naps = [flow.sleep(0.01 * n) for n in range(5)]
        for nap in reversed(naps):
            await nap
        await flow.sleep(0.01)
        return Completed(order=event.order)

    async def noisy():
        for n in range(60):
            world.raw.xadd(world.keys.own("orders"), {"type": "wake-up", "flow": f"f{n % 20}"})
            await asyncio.sleep(0.001)

    app = world.app(front, orders(place))
    async with app.running() as client, app.worker(), app.worker(["orders"]):
        await client.send_many([(Place(order=f"o{n}"), f"f{n}") for n in range(20)])
        await noisy()
        for n in range(20):
            assert (await client.wait(f"f{n}")).state == "completed"
    assert world.raw.zcard(world.keys.timers) == 0
    assert len(world.broadcasts(Completed)) == 20
    assert not any("late" in world.flow(f"f{n}").facts for n in range(20))


async def test_a_sleep_stands_between_commands_and_may_run_beside_them(world, front):
    shop = Processor("shop")

    @shop.on(Pay)
    async def pay(command: Pay):
        return None

    async def place(event: Place, flow: Flow) -> Completed:
        nap = flow.sleep(0.05)
        await flow.do(Pay(order=event.order))
        await nap
        await flow.do(Pay(order="again"))
        flow.sleep(60)  # the flow ends before: nobody is to be woken
        return Completed(order=event.order)

    async with world.running(front, orders(place), shop) as client:
        await client.send(Place(order="o1"), id="f1")
        await client.wait("f1")
    assert world.raw.zcard(world.keys.timers) == 0
    kinds = [step.kind for _, step in sorted(world.flow("f1").steps.items())]
    assert kinds == ["timer", "command", "command", "timer"]


async def test_the_timer_of_a_sleep_goes_with_its_flow(world, front):
    shop = Processor("shop")

    @shop.on(Pay)
    async def pay(command: Pay):
        return None

    async def place(event: Place, flow: Flow) -> Completed:
        flow.sleep(60)
        await flow.do(Pay(order=event.order))
        return Completed(order=event.order)

    async with world.running(front, orders(place), shop) as client:
        await client.send(Place(order="o1"), id="f1")
        await client.wait("f1")
    assert world.raw.zcard(world.keys.timers) == 0


async def test_another_time_than_recorded_is_told(world, front):
    runs = []

    async def place(event: Place, flow: Flow):
        runs.append(event)
        await flow.sleep(0.01 if len(runs) == 1 else 0.02)

    failure = await failed(world, front, orders(place))
    assert failure.error == "NonDeterministicFlow"
    assert "step 1 was sleep 0.01 s and is now sleep 0.02 s" in failure.message


async def test_a_command_instead_of_a_sleep_is_told(world, front):
    runs = []

    async def place(event: Place, flow: Flow):
        runs.append(event)
        await (flow.sleep(0.01) if len(runs) == 1 else flow.do(Pay(order="o1")))

    failure = await failed(world, front, orders(place))
    assert "step 1 was sleep 0.01 s and is now pay" in failure.message


async def test_nobody_sleeps_backwards(world, front):
    async def place(event: Place, flow: Flow):
        await flow.sleep(-1)

    failure = await failed(world, front, orders(place))
    assert failure.message == "a sleep of -1 s is not possible: 0 to ten years are"
