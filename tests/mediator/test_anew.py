"""Flows that begin anew: with another event, or with another mediator."""

import pytest

from hybrid import COMPLEX, HARD, SIMPLE, Flow, Mediator, Processor, SimpleMediator
from hybrid.errors import Promote
from hybrid.inspect.ledger import ledger
from hybrid.inspect.loose import loose_flows
from hybrid.mediator.record import FlowRecord
from tests.mediator.flows import front_door, orders
from tests.runtime.messages import Completed, Paid, Pay, Place, Renamed, Ship
from tests.runtime.world import until, working


@pytest.fixture
def shop():
    """A processor that notes what it did."""
    shop = Processor("shop")
    shop.did = []

    @shop.on(Pay)
    async def pay(command: Pay) -> Paid:
        shop.did.append(f"pay {command.amount}")
        return Paid(order=command.order)

    @shop.on(Ship)
    async def ship(command: Ship) -> None:
        shop.did.append(f"ship {command.order}")

    return shop


async def sound(app):
    async with app.store() as store:
        assert (await ledger(store, app.topology)).balanced
        assert await loose_flows(store, app.topology) == []


async def test_an_endless_flow_keeps_nothing_of_its_earlier_runs(world, shop):
    async def place(event: Place, flow: Flow) -> Completed:
        flow.now()
        flow.undo(Ship(order="never"))
        await flow.do(Pay(order=event.order, amount=event.total))
        await flow.signal("go", timeout=60)
        if event.total < 30:
            flow.continue_as_new(Place(order="o1", total=event.total + 1))
        return Completed(order=str(flow.run))

    app = world.app(front_door(), orders(place), shop)
    async with app.running() as client:
        await client.send(Place(order="o1", total=10), id="f1")
        await until(lambda: world.flow("f1").waits == {2})
        for n in range(21):
            await client.signal("f1", "go", {"n": n})
        outcome = await client.wait("f1", timeout=20)
    assert outcome.event == Completed(order="21")
    assert shop.did == [f"pay {amount}" for amount in range(10, 31)]
    record = world.flow("f1")
    assert (record.run, len(record.steps), len(record.values), len(record.signals)) == (21, 2, 1, 1)
    assert world.raw.llen(world.keys.history("f1")) < 10
    assert world.raw.zcard(world.keys.timers) == 0
    await sound(app)


async def test_an_endless_flow_does_not_remember_what_it_heard(world, shop):
    async def place(event: Place, flow: Flow) -> Completed:
        paid = flow.wait(Paid, match={"order": "o1"})
        await flow.do(Pay(order="o1", amount=event.total))
        await paid
        if event.total < 5:
            flow.continue_as_new(Place(order="o1", total=event.total + 1))
        return Completed(order="o1")

    app = world.app(front_door(), orders(place, hears=Paid), shop)
    async with app.running() as client:
        await client.send(Place(order="o1", total=1), id="f1")
        assert (await client.wait("f1", timeout=10)).state == "completed"
    assert len(world.flow("f1").heard) == 1
    await sound(app)


async def test_signals_that_no_step_has_taken_stay(world, shop):
    async def place(event: Place, flow: Flow) -> Completed:
        said = await flow.signal("go")
        if said["n"] < 3:
            flow.continue_as_new(event)
        return Completed(order=str(said["n"]))

    async with world.running(front_door(), orders(place), shop) as client:
        await client.send(Place(order="o1"), id="f1")
        await until(lambda: world.flow("f1").waits)
        for n in range(4):
            await client.signal("f1", "go", {"n": n}, id=f"s{n}")
        assert (await client.wait("f1", timeout=10)).event == Completed(order="3")


async def test_it_goes_on_with_an_event_of_its_class_only(world, shop):
    async def place(event: Place, flow: Flow) -> Completed:
        flow.continue_as_new(Renamed(customer="c"))

    async with world.running(front_door(), orders(place), shop) as client:
        await client.send(Place(order="o1"), id="f1")
        outcome = await client.wait("f1", timeout=10)
    assert outcome.state == "failed"
    assert "takes an event of its own class (place), not a Renamed" in outcome.reason


def doors(*classes):
    front = SimpleMediator("front")

    @front.classify(Place, *classes)
    def first(event: Place):
        return classes[0]

    return front


def complex_orders():
    mediator = Mediator("complex-orders", handles=COMPLEX)

    @mediator.flow(Place)
    async def place(event: Place, flow: Flow) -> Completed:
        await flow.do(Pay(order=event.order, amount=99))
        return Completed(order="complex")

    return mediator


async def test_a_hard_flow_is_promoted_when_what_it_did_is_undone(world, shop):
    async def place(event: Place, flow: Flow) -> Completed:
        await flow.do(Pay(order=event.order, amount=1))
        flow.undo(Ship(order="back"))
        raise Promote(COMPLEX, "it is a large one")

    app = world.app(doors(HARD), orders(place), complex_orders(), shop)
    async with app.running() as client:
        await client.send(Place(order="o1"), id="f1")
        assert (await client.wait("f1", timeout=10)).event == Completed(order="complex")
    assert shop.did == ["pay 1", "ship back", "pay 99"]
    record = world.flow("f1")
    facts = {name: record.facts[name] for name in ("class", "mediator", "reason", "run", "rule")}
    assert facts == {
        "class": "complex", "mediator": "complex-orders", "reason": "it is a large one", "run": "2",
        "rule": "first",
    }  # fmt: skip
    assert [step.name for step in record.steps.values()] == ["pay"]
    past = FlowRecord.read("f1", world.raw.hgetall(world.keys.past("f1", 1)))
    assert [(step.kind, step.name) for step in past.steps.values()] == [("command", "pay"), ("undo", "ship")]
    assert world.raw.pttl(world.keys.past("f1", 1)) > 0
    await sound(app)


async def test_a_promoted_flow_can_be_cancelled_before_anybody_has_taken_it(world, shop):
    async def place(event: Place, flow: Flow) -> Completed:
        raise Promote(COMPLEX, "it is a large one")

    app = world.app(doors(HARD), orders(place), complex_orders(), shop)
    async with app.running("front", "orders") as client:
        await client.send(Place(order="o1"), id="f1")
        await until(lambda: world.flow("f1").facts.get("mediator") == "complex-orders")
        await client.cancel("f1", by="ann")
    async with app.running() as client:
        assert (await client.wait("f1", timeout=10)).state == "cancelled"
        await until(lambda: world.counter("settled:complex-orders") == 1)
    assert shop.did == []
    await sound(app)


@pytest.mark.parametrize("handles", [COMPLEX, "no one"])
async def test_a_simple_event_is_promoted(world, shop, handles):
    front = doors(SIMPLE)

    @front.on(Place)
    def simple(event: Place):
        raise Promote(COMPLEX, "it is a large one")

    mediators = [complex_orders()] if handles is COMPLEX else []
    app = world.app(front, *mediators, shop)
    async with app.running() as client:
        await client.send(Place(order="o1"), id="f1")
        outcome = await client.wait("f1", timeout=10)
    if handles is COMPLEX:
        assert outcome.event == Completed(order="complex")
        assert world.flow("f1").facts["reason"] == "it is a large one"
    else:
        assert outcome.state == "failed"
        assert "place can't be promoted to complex" in world.failures("front")[0].message
    await sound(app)


async def test_where_nobody_carries_it_out_it_waits_for_a_person(world, shop):
    async def place(event: Place, flow: Flow) -> Completed:
        raise Promote(COMPLEX, "it is a large one")

    app = world.app(doors(HARD), orders(place), shop)
    async with app.running() as client:
        await client.send(Place(order="o1"), id="f1")
        outcome = await client.wait("f1", timeout=10)
    assert outcome.state == "failed"
    assert "place can't be promoted to complex: no mediator handles that" in outcome.reason
    await sound(app)


async def test_one_that_was_promoted_to_nobody_who_works_can_be_cancelled(world, shop):
    hard, complex = Mediator("orders", handles=HARD), Mediator("complex", handles=COMPLEX)

    @hard.flow(Place)
    async def place(event: Place, flow: Flow) -> Completed:
        raise Promote(COMPLEX, "it is large")

    @complex.flow(Place)
    async def large(event: Place, flow: Flow) -> Completed:
        return Completed(order="o1")

    app = world.app(front_door(), hard, complex, shop)
    async with working(app, "front", "orders"), app.client() as client:
        await client.send(Place(order="o1"), id="f1")
        await until(lambda: world.flow("f1").facts.get("mediator") == "complex")
        await client.cancel("f1", by="ann")
        assert (await client.wait("f1", timeout=10)).state == "cancelled"
