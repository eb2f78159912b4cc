"""Steering flows from outside: cancel, pause, resume, retry, restart, fix."""

import asyncio

import pytest

from hybrid import Flow, Processor, RetryPolicy
from hybrid.codec import unpack
from hybrid.inspect.ledger import ledger
from hybrid.inspect.loose import loose_flows
from hybrid.inspect.steering import Steering
from hybrid.mediator.record import Deed, FlowRecord
from tests.mediator.flows import front_door, orders
from tests.runtime.messages import Completed, Paid, Pay, Place, Ship
from tests.runtime.world import until


@pytest.fixture
def shop():
    """A processor that notes what it did; `broken` has the names of those that fail."""
    shop = Processor("shop")
    shop.did, shop.broken = [], set()

    @shop.on(Pay, retry=RetryPolicy(attempts=1))
    async def pay(command: Pay) -> Paid:
        shop.did.append(f"pay {command.amount}")
        if "pay" in shop.broken:
            raise RuntimeError("the bank is closed")
        return Paid(order=command.order, receipt=f"r{len(shop.did)}")

    @shop.on(Ship)
    async def ship(command: Ship) -> None:
        shop.did.append(f"ship {command.order}")

    return shop


async def place(event: Place, flow: Flow) -> Completed:
    """Pay; wait for a signal; ship what the payment says."""
    paid = await flow.do(Pay(order=event.order))
    flow.undo(Ship(order="back"))
    await flow.signal("go")
    await flow.do(Ship(order=paid.receipt))
    return Completed(order=paid.receipt)


@pytest.fixture
async def app(world, shop):
    """A running application, and its client as `app.client`."""
    app = world.app(front_door(), orders(place), shop)
    async with app.running() as client:
        app.client = client
        yield app
    async with app.store() as store:
        assert (await ledger(store, app.topology)).balanced
        assert await loose_flows(store, app.topology) == []
    world.check_versions()


async def steering(app, verb, *arguments, dry=False, **options):
    async with app.store() as store:
        steering = Steering(store, app.topology, "ann", "why not", dry=dry)
        return (await getattr(steering, verb)(*arguments, **options))[1:]


async def waiting(app, world, id="f1"):
    """Send an order and wait until it waits for its signal."""
    await app.client.send(Place(order="o1"), id=id)
    await until(lambda: world.flow(id).waits == {2})


def deeds(world, id="f1"):
    entries = [unpack(entry) for entry in world.raw.lrange(world.keys.history(id), 0, -1)]
    return [(what, *rows[0]) for _, what, rows in entries if rows and rows[0][0] == "ann"]


async def test_cancel_with_undoing(world, app, shop):
    await waiting(app, world)
    assert await steering(app, "cancel", "f1", dry=True) == ("would be cancelled", "")
    assert world.flow("f1").state == "running"
    assert await steering(app, "cancel", "f1") == ("undoing", "")
    outcome = await app.client.wait("f1", timeout=10)
    assert (outcome.state, outcome.reason) == ("cancelled", "cancelled by ann: why not")
    assert shop.did == ["pay 10", "ship back"]
    assert deeds(world) == [("cancel", "ann", "why not")]
    assert await steering(app, "cancel", "f1") == ("already cancelled", "")
    assert (await steering(app, "pause", "f1"))[0] == "refused"


async def test_cancel_now_undoes_nothing(world, app, shop):
    await waiting(app, world)
    assert await steering(app, "cancel", "f1", now=True) == ("cancelled", "")
    assert world.flow("f1").ended
    assert shop.did == ["pay 10"]


async def test_two_at_once_one_wins(world, app, shop):
    await waiting(app, world)
    results = await asyncio.gather(*(steering(app, "cancel", "f1", now=True) for _ in range(8)))
    assert sorted(result for result, _ in results) == ["already cancelled"] * 7 + ["cancelled"]
    assert len(deeds(world)) == 1


async def test_a_paused_flow_goes_on_when_it_is_resumed(world, app, shop):
    await waiting(app, world)
    assert await steering(app, "pause", "f1") == ("paused", "")
    result, why = await steering(app, "pause", "f1")
    assert (result, why) == ("refused", "flow f1 is paused already, by ann: why not")
    await app.client.signal("f1", "go")
    await until(lambda: world.flow("f1").results.get(2) and not world.raw.xlen(world.keys.own("orders")))
    assert shop.did == ["pay 10"]
    assert await steering(app, "resume", "f1") == ("resumed", "")
    assert (await app.client.wait("f1", timeout=10)).state == "completed"
    assert (await steering(app, "resume", "f1"))[0] == "refused"
    assert [what for what, *_ in deeds(world)] == ["pause", "resume"]


@pytest.mark.parametrize(("kind", "name"), [("type", "place"), ("key", "o1")])
async def test_all_of_a_kind_are_paused_also_those_to_come(world, app, shop, kind, name):
    await waiting(app, world)
    assert await steering(app, "pause_all", kind, name) == ("paused", "")
    assert (await steering(app, "pause_all", kind, name))[0] == "refused"
    await app.client.send(Place(order="o1"), id="f2")
    await app.client.signal("f1", "go")
    await until(lambda: world.flow("f1").paused and world.flow("f2").paused)
    assert world.flow("f2").steps == {}
    assert shop.did == ["pay 10"]
    result, why = await steering(app, "resume", "f1")
    assert (result, why) == ("refused", f"flow f1 is paused with all flows of {kind} {name}: resume those")
    assert await steering(app, "resume_all", kind, name) == ("resumed", "2 flows had been stopped")
    assert (await app.client.wait("f1", timeout=10)).state == "completed"
    await until(lambda: world.flow("f2").waits == {2})
    await app.client.signal("f2", "go")
    assert (await app.client.wait("f2", timeout=10)).state == "completed"
    assert (await steering(app, "resume_all", kind, name))[0] == "refused"


async def test_the_failed_step_is_tried_again(world, app, shop):
    shop.broken.add("pay")
    await app.client.send(Place(order="o1"), id="f1")
    await world.failure("shop")
    assert await steering(app, "retry", "f1", dry=True) == ("would be retried", "")
    shop.broken.clear()
    assert await steering(app, "retry", "f1") == ("retried", "")
    await until(lambda: world.flow("f1").waits == {2})
    assert (await steering(app, "retry", "f1"))[0] == "refused"


async def test_a_restart_keeps_what_was_done_before(world, app, shop):
    await waiting(app, world)
    await app.client.signal("f1", "go")
    await app.client.wait("f1", timeout=10)
    assert shop.did == ["pay 10", "ship r1"]
    assert await steering(app, "restart", "f1", step=3, dry=True) == ("would be restarted", "")
    assert await steering(app, "restart", "f1", step=3) == ("restarted", "")
    await until(lambda: world.flow("f1").ended)
    record = world.flow("f1")
    assert shop.did == ["pay 10", "ship r1", "ship r1"]
    assert (record.run, record.state) == (2, "completed")
    past = FlowRecord.read("f1", world.raw.hgetall(world.keys.past("f1", 1)))
    assert (past.state, past.run, len(past.steps)) == ("completed", 1, 3)
    assert deeds(world) == [("restart", "ann", "why not", 3, 0)]
    assert world.raw.zcard(world.keys.flows) == 0


async def test_a_restart_from_the_first_step_is_a_fresh_start(world, app, shop):
    await waiting(app, world)
    await steering(app, "cancel", "f1")
    await until(lambda: world.flow("f1").ended)
    result, why = await steering(app, "restart", "f1", step=2)
    assert (result, why) == (
        "refused",
        "flow f1 was undone, also what step 2 builds on: restart it from step 1",
    )
    assert await steering(app, "restart", "f1", step=1) == ("restarted", "")
    await until(lambda: world.flow("f1").waits == {2})
    assert shop.did == ["pay 10", "ship back", "pay 10"]
    await app.client.signal("f1", "go")
    await until(lambda: world.flow("f1").state == "completed")
    assert shop.did[3:] == ["ship r3"]


async def test_a_restart_that_would_do_something_twice_is_refused(world, shop):
    app = world.app(front_door(), orders(place), shop)
    async with app.running("front", "orders") as client:
        await client.send(Place(order="o1"), id="f1")
        await until(lambda: world.flow("f1").waits == {1})
        result, why = await steering(app, "restart", "f1", step=1)
        assert result == "refused"
        assert "step 1 (pay) under way, which would be done twice" in why
        for step in (7, 0, -1):
            assert (await steering(app, "restart", "f1", step=step))[0] == "refused"
        assert (await steering(app, "restart", "no-such", step=1))[0] == "refused"


async def test_a_result_that_was_wrong_is_put_right(world, app, shop):
    await waiting(app, world)
    assert (await steering(app, "fix", "f1", [(1, "receipt", "R")], dry=True))[0] == "would be fixed"
    assert await steering(app, "fix", "f1", [(1, "receipt", "R-7")]) == ("fixed", "")
    await app.client.signal("f1", "go")
    assert (await app.client.wait("f1", timeout=10)).event == Completed(order="R-7")
    assert deeds(world) == [("fix", "ann", "why not", "1.receipt")]


async def test_what_was_put_right_is_what_is_undone(world, shop):
    async def place(event: Place, flow: Flow) -> Completed:
        paid = await flow.do(Pay(order=event.order))
        flow.undo(Ship(order=paid.receipt))
        await flow.signal("go")
        return Completed(order=paid.receipt)

    app = world.app(front_door(), orders(place), shop)
    async with app.running() as client:
        await client.send(Place(order="o1"), id="f1")
        await until(lambda: world.flow("f1").waits == {2})
        assert await steering(app, "fix", "f1", [(1, "receipt", "R-7")]) == ("fixed", "")
        await until(lambda: b"R-7" in world.flow("f1").undos[1].data)
        assert await steering(app, "cancel", "f1") == ("undoing", "")
        await until(lambda: world.flow("f1").ended)
    assert shop.did == ["pay 10", "ship R-7"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ((2, "receipt", "x"), "no result of step 2 to fix"),
        ((1, "nope", "x"), "no field nope in the result of step 1; its fields: order, receipt"),
        ((1, "receipt.x", "x"), "no field receipt.x"),
        ((1, "receipt", 7), "receipt"),
    ],
)
async def test_what_can_not_be_fixed(world, app, change, why):
    await waiting(app, world)
    result, said = await steering(app, "fix", "f1", [change])
    assert result == "refused"
    assert why in said
    await app.client.cancel("f1", now=True)


async def test_a_restart_on_a_version_that_there_is_not_is_refused(world, app):
    await waiting(app, world)
    result, why = await steering(app, "restart", "f1", step=1, version=9)
    assert result == "refused"
    assert why.endswith("version 9 of orders's flow for place: the application here has 1")
    assert await steering(app, "restart", "f1", step=1, version=1) == ("restarted", "")
    await until(lambda: world.flow("f1").waits == {2})


async def test_what_an_earlier_run_has_left_at_the_desk_does_not_refuse_a_retry(world, app, shop):
    shop.broken.add("pay")
    await app.client.send(Place(order="o1"), id="f1")
    await world.failure("shop")
    await steering(app, "restart", "f1", step=1)
    await until(lambda: len(world.failures("shop")) == 2)
    shop.broken.clear()
    assert await steering(app, "retry", "f1", dry=True) == ("would be retried", "")
    assert await steering(app, "retry", "f1") == ("retried", "")
    await until(lambda: world.flow("f1").waits == {2})
    assert deeds(world)[-1] == ("retry", "ann", "why not", "step 1")
    result, why = await steering(app, "retry", "f1")
    assert result == "refused"
    assert "awaits step 1 no longer" in why


async def test_one_that_its_parent_has_asked_to_be_cancelled_is_not_restarted(world, app):
    await waiting(app, world)
    asked = Deed("flow f0", "no more", 1).packed()
    world.raw.hset(world.keys.flow("f1"), "asked", asked)  # before its mediator has heard of it
    assert await steering(app, "restart", "f1", step=1) == (
        "refused",
        "flow f1 is to be cancelled by flow f0: no more: wait until it has ended",
    )
