"""Kept runs: a cache that changes nothing but the time it takes."""

import pytest

from hybrid import HARD, Flow, Mediator, Processor, SimpleMediator
from hybrid.envelope import Envelope
from hybrid.mediator.kept import Kept, KeptRuns
from hybrid.mediator.record import FlowRecord
from hybrid.mediator.replay import Run
from hybrid.mediator.surroundings import Surroundings
from hybrid.runtime import advancing
from tests.runtime.messages import Completed, Pay, Place, Ship
from tests.runtime.world import until


class Shop:
    """Flows of three steps that count how often they begin and how far they come."""

    def __init__(self):
        self.begun, self.came, self.closed = 0, [], 0
        self.front, self.orders = SimpleMediator("front"), Mediator("orders", handles=HARD)
        self.payment = Processor("payment")
        self.front.classify(Place, HARD)(lambda event: HARD)
        self.orders.flow(Place)(self.place)

        @self.payment.on(Pay | Ship)
        async def pay(command: Pay):
            return None

    async def place(self, event: Place, flow: Flow) -> Completed:
        self.begun += 1
        try:
            await flow.do(Pay(order=event.order))
            number = flow.random()
            self.came.append("paid")
            await flow.all(Ship(order=event.order), Pay(order=event.order))
            assert flow.random() != number
            self.came.append("shipped")
            await flow.do(Pay(order=f"{number}"))
            return Completed(order=f"{number}")
        finally:
            self.closed += 1

    @property
    def components(self):
        return self.front, self.orders, self.payment


@pytest.fixture
def shop():
    return Shop()


@pytest.fixture
def keeping(monkeypatch):
    monkeypatch.setattr(advancing, "PROVEN", 0)


async def test_a_kept_run_goes_on_where_it_waits(world, shop, keeping):
    async with world.running(*shop.components) as client:
        await client.send(Place(order="o1"), id="f1")
        outcome = await client.wait("f1")
        assert outcome.event == Completed(order=str(world.flow("f1").values[1][0]))
    assert (shop.begun, shop.came, shop.closed) == (1, ["paid", "shipped"], 1)
    assert world.counter("entered:command:pay") == 3
    assert (world.flow("f1").version, len(world.raw.lrange(world.keys.history("f1"), 0, -1))) == (4, 4)


async def test_at_first_functions_are_run_again_each_time(world, shop):
    async with world.running(*shop.components) as client:
        await client.send(Place(order="o1"), id="f1")
        await client.wait("f1")
        assert (shop.begun, shop.closed) == (4, 4)
        for n in range(advancing.PROVEN):
            await client.send(Place(order=f"o{n}"))
        await until(lambda: world.counter("entered:topic:completed") == advancing.PROVEN + 1)
        begun = shop.begun
        await client.send(Place(order="o2"), id="f2")
        await client.wait("f2")
        assert shop.begun == begun + 1


async def test_a_run_that_somebody_else_went_on_with_is_begun_anew(world, shop, keeping):
    app = world.app(*shop.components)
    async with app.running("front", "orders") as client:
        await client.send(Place(order="o1"), id="f1")
        await until(lambda: world.flow("f1").waits)
        world.raw.hincrby(world.keys.flow("f1"), "version", 1)
        async with app.running("payment"):
            assert (await client.wait("f1")).state == "completed"
    assert (shop.begun, shop.came) == (2, ["paid", "shipped"])


async def test_a_wake_up_for_nothing_leaves_it_waiting(world, shop, keeping):
    app = world.app(*shop.components)
    async with app.running("front", "orders") as client:
        await client.send(Place(order="o1"), id="f1")
        await until(lambda: world.flow("f1").waits)
        for _ in range(3):
            version = world.flow("f1").version
            world.raw.xadd(world.keys.own("orders"), {"type": "wake-up", "flow": "f1"})
            await until(lambda before=version: world.flow("f1").version > before)
        async with app.running("payment"):
            assert (await client.wait("f1")).state == "completed"
    assert (shop.begun, world.counter("entered:command:pay")) == (1, 3)


async def test_runs_end_with_the_worker(world, shop, keeping):
    async with world.app(*shop.components).running("front", "orders") as client:
        await client.send(Place(order="o1"), id="f1")
        await until(lambda: world.flow("f1").waits)
        assert shop.closed == 0
    assert shop.closed == 1


async def kept(shop, id="f1", version=1, started="5"):
    record = FlowRecord(id, {"version": str(version), "started": started})
    flow = Flow(record, Envelope(id, "place"), Surroundings(None, 10_000, 0))
    run = Run(shop.place, Place(order="o1"), flow)
    run.go_on()
    return Kept(run, flow.envelope)


async def test_what_fits(shop):
    waiting = await kept(shop, version=3, started="7")
    assert waiting.fits({b"version": b"3", b"started": b"7"})
    for other in ({b"version": b"4", b"started": b"7"}, {b"version": b"3", b"started": b"8"}, {}):
        assert not waiting.fits(other)


async def test_the_oldest_makes_room(shop):
    runs = KeptRuns(most=2)
    for id in ("f1", "f2", "f3"):
        runs.keep(id, await kept(shop, id))
    assert (len(runs), shop.closed, runs.take("f1")) == (2, 1, None)
    taken = runs.take("f2")
    assert taken
    runs.close()
    runs.keep("f4", await kept(shop, "f4"))
    assert (len(runs), shop.closed) == (0, 3)
