"""Versions of flows: counted while flows run on them; no worker starts without those that are needed."""

import asyncio

import pytest

from hybrid import HARD, Flow, Mediator, Processor, Refused
from hybrid.errors import VersionMissing
from hybrid.inspect.actions import DISCARD, DISCARDED, Desk, Order
from hybrid.inspect.desk_log import Deed
from hybrid.inspect.failures import failures, view
from hybrid.inspect.steering import Steering
from hybrid.inspect.versions import VersionView, versions
from tests.mediator.flows import front_door, orders
from tests.runtime.messages import Completed, Denied, Paid, Pay, Place
from tests.runtime.world import until


async def old(event: Place, flow: Flow) -> Completed:
    await flow.do(Pay(order=event.order))
    return Completed(order="old")


async def new(event: Place, flow: Flow) -> Completed:
    if event.order == "refused":
        raise Refused(Denied(order=event.order))
    if event.order == "broken":
        raise ZeroDivisionError
    await flow.do(Pay(order=event.order))
    return Completed(order="new")


def shop() -> Processor:
    shop = Processor("shop")

    @shop.on(Pay)
    async def pay(command: Pay) -> Paid:
        return Paid(order=command.order)

    return shop


def both() -> Mediator:
    mediator = Mediator("orders", handles=HARD)
    mediator.flow(Place)(old)
    mediator.flow(Place, version=2)(new)
    return mediator


def counts(world):
    return {name: n for name, n in world.counters().items() if name.startswith("running:") and n}


async def start(world, mediator, *ids, order="o"):
    """Run flows to their first step, which nobody does yet."""
    async with world.running(front_door(), mediator) as client:
        await client.send_many([(Place(order=order), id) for id in ids])
        await until(lambda: all(world.flow(id).waits for id in ids))


async def test_each_unfinished_flow_is_counted_on_its_version(world):
    await start(world, orders(old), "f1", "f2")
    assert counts(world) == {"running:orders/place/1": 2}
    await start(world, both(), "f3")
    assert counts(world) == {"running:orders/place/1": 2, "running:orders/place/2": 1}
    async with world.running(front_door(), both(), shop()) as client:
        assert [(await client.wait(id)).event.order for id in ("f1", "f2", "f3")] == ["old", "old", "new"]
        await client.send(Place(order="refused"), id="f4")
        assert (await client.wait("f4")).state == "refused"
    assert counts(world) == {}
    assert world.counter("running:orders/place/1") == 0


async def test_one_that_failed_is_counted_until_it_is_given_up(world):
    app = world.app(front_door(), both())
    async with app.running() as client:
        await client.send(Place(order="broken"), id="f1")
        assert (await client.wait("f1")).state == "failed"
    assert counts(world) == {"running:orders/place/2": 1}
    async with app.store() as store:
        (found,) = [each async for each in failures(store, app.topology)]
        order, desk = Order(view(app.topology, *found)), Desk(store, app.topology, Deed("ann", DISCARD, ""))
        done = await asyncio.gather(desk.act([order]), desk.act([order]))
    assert sorted(outcome.result for (outcome,) in done) == ["already handled", DISCARDED]
    assert counts(world) == {}
    assert world.flow("f1").ended


async def test_one_whose_event_can_not_be_taken_is_counted_on_none_and_then_on_its_version(world):
    app = world.app(front_door(), orders(old, version=3), shop())
    async with app.running() as client:
        world.raw.xadd(world.keys.event("orders"), {"id": "f1", "type": "place", "data": b"\x80"})
        assert (await client.wait("f1")).state == "failed"
        assert counts(world) == {"running:orders/place/0": 1}
        world.raw.hset(world.keys.flow("f1"), "event", b"\x81\xa5order\xa1o")
        await world.send_back(app, await world.failure("orders"))
        assert (await client.wait("f1")).event == Completed(order="old")
    assert counts(world) == {}


async def test_a_restart_counts_on_the_version_that_it_chooses(world):
    app = world.app(front_door(), both(), shop())
    async with app.running() as client:
        await client.send(Place(order="o"), id="f1")
        assert (await client.wait("f1")).event == Completed(order="new")
    async with app.store() as store:
        steering = Steering(store, app.topology, "ann")
        assert (await steering.restart("f1", step=1, version=1)).result == "restarted"
        assert counts(world) == {"running:orders/place/1": 1}
        refused = await steering.restart("f1", step=1, version=7)
        assert refused.result == "refused"
        assert (
            "can't run on version 7 of orders's flow for place: the application here has 1, 2" in refused.why
        )
        assert (await steering.cancel("f1", now=True)).result == "cancelled"
        assert counts(world) == {}
        assert (await steering.restart("f1", step=1)).result == "restarted"
    async with app.running():
        await until(lambda: world.flow("f1").ended)
    assert world.flow("f1").facts["code"] == "1"


async def test_a_flow_that_is_being_undone_needs_no_version(world):
    async def refunding(event: Place, flow: Flow) -> Completed:
        flow.undo(Pay(order="back"))
        raise Refused(Denied(order=event.order))

    async with world.running(front_door(), orders(refunding)) as client:
        await client.send(Place(order="o"), id="f1")
        await until(lambda: world.flow("f1").state == "undoing")
    assert counts(world) == {}
    async with world.running(front_door(), orders(new, version=2), shop()) as client:
        assert (await client.wait("f1")).state == "refused"


async def test_a_worker_does_not_start_without_a_version_that_flows_need(world):
    await start(world, orders(old), "f1", "f2")
    app = world.app(front_door(), orders(new, version=2), shop())
    with pytest.raises(VersionMissing) as refused:
        async with app.running():
            pass
    assert refused.value.missing == [("orders", "place", 1, 2, [2])]
    assert "orders runs 2 flows for place on version 1 (there is 2)" in str(refused.value)
    assert "@mediator.flow(…, version=N)" in str(refused.value)
    async with app.worker(["front", "shop"]):  # the mediator runs elsewhere
        pass
    async with world.running(front_door(), both(), shop()) as client:
        assert (await client.wait("f2")).event == Completed(order="old")
        await client.wait("f1")
    async with app.running():  # nothing needs it any more
        pass


async def test_a_flow_that_is_no_more_is_told_too(world):
    await start(world, orders(old), "f1")
    with pytest.raises(VersionMissing, match=r"orders runs 1 flow for place on version 1 \(there is none\)"):
        async with world.running(Mediator("orders", handles=HARD)):
            pass


async def test_the_versions_are_listed(world):
    await start(world, orders(old), "f1")
    app = world.app(front_door(), orders(new, version=2), orders_of_others())
    async with app.store() as store:
        found = await versions(store, app.topology)
    assert found == [
        VersionView("orders", "place", 2, 0, newest=True, known=True),
        VersionView("orders", "place", 1, 1, newest=False, known=False),
        VersionView("others", "paid", 7, 0, newest=True, known=True),
    ]


def orders_of_others() -> Mediator:
    mediator = Mediator("others", handles=HARD)

    @mediator.flow(Paid, version=7)
    async def nothing(event: Paid, flow: Flow) -> None:
        pass

    return mediator
