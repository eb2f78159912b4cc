"""Races and maps: the first of several steps, and many steps in windows."""

import asyncio

import pytest

from hybrid import CommandFailed, Flow, Processor, StepTimeout, days
from hybrid.mediator.record import GIVEN_UP, Result
from tests.mediator.flows import failed, front_door, orders
from tests.runtime.messages import Completed, Paid, Pay, Place, Ship
from tests.runtime.world import until


@pytest.fixture
def front():
    """A front door by which orders enter."""
    return front_door()


class Shop:
    """A processor that pays an order when it is released. `did` lists what it did."""

    def __init__(self):
        self.processor = Processor("shop")
        self.did = []
        self.released = {}

        @self.processor.on(Pay)
        async def pay(command: Pay) -> Paid:
            await self.release(command.order).wait()
            self.did.append(command.order)
            return Paid(order=command.order, receipt=f"r{command.amount}")

        @self.processor.on(Ship)
        async def ship(command: Ship):
            self.did.append(f"ship {command.order}")

    def release(self, order):
        return self.released.setdefault(order, asyncio.Event())


@pytest.fixture
def shop():
    return Shop()


async def test_the_first_is_given_and_the_others_may_be_awaited_later(world, front, shop):
    async def place(event: Place, flow: Flow) -> Completed:
        a, b = flow.do(Pay(order="a")), flow.do(Pay(order="b"))
        index, paid = await flow.race(a, b)
        await flow.do(Ship(order=f"{index}{paid.order}"))
        return Completed(order=f"{index} {paid.order} {(await a).order}")

    async with world.running(front, orders(place), shop.processor) as client:
        await client.send(Place(order="o1"), id="f1")
        await until(lambda: world.flow("f1").waits == {1, 2})
        shop.release("b").set()
        await until(lambda: "ship 1b" in shop.did and world.flow("f1").waits == {1})
        shop.release("a").set()
        assert (await client.wait("f1")).event == Completed(order="1 b a")  # b still was the first
    assert "late" not in world.flow("f1").facts
    assert world.counter("entered:own:orders") == 3  # one wake-up for each wait


async def test_a_processor_that_is_away_loses_against_time_and_is_not_asked_later(bed_of, front, shop):
    async def place(event: Place, flow: Flow) -> Completed:
        index, _ = await flow.race(flow.do(Pay(order="a"), timeout=days(7)), flow.sleep(days(3)))
        return Completed(order=str(index))

    async with bed_of(front, orders(place), shop.processor) as bed:
        bed.hold(Pay)
        order = await bed.send(Place(order="o1"))
        await bed.skip(days=3)
        assert bed.outcome(order).event == Completed(order="1")
        await bed.skip(days=5)
        bed.release(Pay)
        await bed.settled()
        assert (shop.did, bed.commands(Pay)) == ([], [Pay(order="a")])


async def test_one_that_nobody_awaits_any_more_changes_nothing(world, front, shop):
    async def place(event: Place, flow: Flow) -> Completed:
        index, _ = await flow.race(flow.do(Pay(order="a")), flow.do(Pay(order="b")))
        return Completed(order=str(index))

    async with world.running(front, orders(place), shop.processor) as client:
        await client.send(Place(order="o1"), id="f1")
        await until(lambda: world.flow("f1").waits == {1, 2})
        shop.release("a").set()
        assert (await client.wait("f1")).event == Completed(order="0")
        version = world.flow("f1").version
        shop.release("b").set()
        await until(lambda: world.counter("settled:shop") == 2)
    assert (world.flow("f1").version, world.counter("entered:own:orders")) == (version, 1)
    assert len(world.broadcasts(Completed)) == 1


async def test_all_of_several_against_a_sleep_and_a_signal(world, front, shop):
    async def place(event: Place, flow: Flow) -> Completed:
        paid = flow.all(Pay(order="a"), Pay(order="b"))
        index, _ = await flow.race(paid, flow.sleep(0.05), flow.signal("stop"))
        assert index == 1
        index, data = await flow.race(paid, flow.signal("stop"), flow.sleep(60))
        if index == 1:  # the step of the first race had taken the first signal
            return Completed(order=f"stopped {data}")
        return Completed(order=" ".join(each.order for each in (await paid)))

    async with world.running(front, orders(place), shop.processor) as client:
        for id in ("f1", "f2"):
            await client.send(Place(order="o1"), id=id)
            await until(lambda id=id: 6 in world.flow(id).waits)
        await client.signal("f1", "stop", {"n": 1})
        await client.signal("f1", "stop", {"n": 2})
        assert (await client.wait("f1")).event == Completed(order="stopped {'n': 2}")
        shop.release("a").set()
        await until(lambda: 1 in world.flow("f2").results)
        assert not world.flow("f2").ended
        shop.release("b").set()
        assert (await client.wait("f2")).event == Completed(order="a b")
    assert world.raw.zcard(world.keys.timers) == 0


async def test_a_first_one_that_went_wrong_is_raised(world, front):
    async def place(event: Place, flow: Flow) -> Completed:
        try:
            await flow.race(flow.do(Pay(order="a"), timeout=0.05), flow.do(Ship(order="b")))
        except StepTimeout as late:
            try:
                await flow.race(flow.do(Pay(order="c")), flow.signal("never"))
            except CommandFailed as error:
                return Completed(order=f"{late.step} {error.reason}")

    async with world.running(front, orders(place)) as client:
        await client.send(Place(order="o1"), id="f1")
        await until(lambda: 3 in world.flow("f1").waits)
        world.raw.hset(world.keys.flow("f1"), "result:3", Result(GIVEN_UP, data=b"no").packed())
        world.raw.xadd(world.keys.own("orders"), {"type": "wake-up", "flow": "f1"})
        assert (await client.wait("f1")).event == Completed(order="1 no")


@pytest.mark.parametrize("steps", [(), (Pay(order="a"),)])
async def test_only_steps_race(world, front, steps):
    async def place(event: Place, flow: Flow):
        await flow.race(*steps)

    assert "flow.race takes steps" in (await failed(world, front, orders(place))).message


async def test_two_mediators_agree_who_was_first(world, front, shop):
    async def place(event: Place, flow: Flow) -> Completed:
        pays = [flow.do(Pay(order=event.order, amount=n)) for n in range(3)]
        said = []
        for _ in range(3):
            index, paid = await flow.race(*pays, flow.sleep(60))
            assert paid.receipt == f"r{index}"
            await flow.do(Ship(order=f"{event.order}/{index}"))
            said.append(index)
        return Completed(order=" ".join(map(str, said)))

    async def noisy():
        for n in range(60):
            world.raw.xadd(world.keys.own("orders"), {"type": "wake-up", "flow": f"f{n % 20}"})
            await asyncio.sleep(0.001)

    app = world.app(front, orders(place), shop.processor)
    async with app.running() as client, app.worker(["orders"]), app.worker(["orders"]):
        await client.send_many([(Place(order=f"o{n}"), f"f{n}") for n in range(20)])
        for n in range(20):
            shop.release(f"o{n}").set()
        await noisy()
        for n in range(20):
            outcome = await client.wait(f"f{n}")
            (index,) = set(outcome.event.order.split())  # the first one is the first one, for ever
            assert shop.did.count(f"ship o{n}/{index}") == 3
    assert world.failures("orders") == []
    assert len(world.broadcasts(Completed)) == 20
    assert world.raw.zcard(world.keys.timers) == 0


async def test_a_join_of_1000_branches_fires_once_with_two_mediators(world, front):
    shop, did = Processor("shop"), []

    @shop.on(Pay)
    async def pay(command: Pay) -> Paid:
        did.append(command.amount)
        return Paid(order=command.order, receipt=str(command.amount))

    async def place(event: Place, flow: Flow) -> Completed:
        if event.order == "windows":
            paid = await flow.map(Pay(order=event.order, amount=n) for n in range(1_000))
        else:
            paid = await flow.all(*(Pay(order=event.order, amount=n) for n in range(1_000)))
        assert [int(each.receipt) for each in paid] == list(range(1_000))
        return Completed(order=event.order)

    app = world.app(front, orders(place), shop)
    async with app.running() as client, app.worker(["orders"]), app.worker(["orders"]):
        await client.send(Place(order="windows"), id="f1")
        assert (await client.wait("f1")).state == "completed"
        assert world.counter("entered:own:orders") == 20  # one wake-up for each window
        await client.send(Place(order="at once"), id="f2")
        assert (await client.wait("f2")).state == "completed"
        assert world.counter("entered:own:orders") == 21
    assert sorted(did) == sorted([*range(1_000), *range(1_000)])
    assert (world.flow("f1").version, world.flow("f2").version) == (21, 2)
    assert len(world.broadcasts(Completed)) == 2


async def test_a_map_has_a_window(world, front, shop):
    async def place(event: Place, flow: Flow) -> Completed:
        paid = await flow.map([Pay(order=f"o{n}", amount=n) for n in range(5)], at_most=2, timeout=60)
        return Completed(order=" ".join(each.receipt for each in paid) + str(await flow.map([])))

    async with world.running(front, orders(place), shop.processor) as client:
        await client.send(Place(order="o1"), id="f1")
        for first in (0, 2, 4):
            await until(lambda first=first: world.flow("f1").waits)
            assert max(world.flow("f1").steps) == min(first + 2, 5)
            for n in (first + 1, first):
                shop.release(f"o{n}").set()
            await until(lambda first=first: len(shop.did) == min(first + 2, 5))
            await until(lambda first=first: max(world.flow("f1").steps) > first + 2 or first == 4)
        assert (await client.wait("f1")).event == Completed(order="r0 r1 r2 r3 r4[]")


async def test_a_window_has_room_for_one(world, front):
    async def place(event: Place, flow: Flow):
        await flow.map([Pay(order="a")], at_most=0)

    assert "at least 1 command at a time, not 0" in (await failed(world, front, orders(place))).message
