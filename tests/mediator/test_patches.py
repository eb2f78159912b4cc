"""`flow.patched`: small changes of a function take effect where a flow has not been yet."""

import pytest

from hybrid import Flow, Processor
from hybrid.errors import ApplicationError
from hybrid.inspect.steering import Steering
from hybrid.mediator.patches import is_new_ground
from hybrid.mediator.record import FlowRecord, Issued
from tests.mediator.flows import front_door, orders
from tests.runtime.messages import Completed, Noted, Paid, Pay, Place, Ship, Shipped
from tests.runtime.world import until


@pytest.fixture
def did():
    """What was done, in order."""
    return []


@pytest.fixture
def shop(did):
    shop = Processor("shop")

    @shop.on(Pay)
    async def pay(command: Pay) -> Paid:
        did.append(f"pay {command.order}")
        return Paid(order=command.order)

    @shop.on(Ship)
    async def ship(command: Ship) -> Shipped:
        did.append(f"ship {command.order}")
        return Shipped(order=command.order)

    return shop


async def begin(world, client, id, order):
    """Send an order, and wait until its flow is on record."""
    await client.send(Place(order=order), id=id)
    await until(lambda: world.flow(id).version)


async def before(event: Place, flow: Flow) -> Completed:
    await flow.signal("go")
    await flow.do(Pay(order=event.order))
    await flow.signal("on")
    await flow.do(Ship(order=event.order))
    return Completed(order=event.order)


async def after(event: Place, flow: Flow) -> Completed:
    await flow.signal("go")
    if flow.patched("pay-twice"):
        await flow.do(Pay(order="extra"))
    await flow.do(Pay(order=event.order))
    await flow.signal("on")
    if flow.patched("ship-first"):
        await flow.do(Ship(order="first"))
    await flow.do(Ship(order=event.order))
    return Completed(order=event.order)


async def test_old_ground_stays_as_it_was_and_new_ground_is_changed(world, shop, did):
    async with world.running(front_door(), orders(before), shop) as client:
        for id in ("waits", "paid"):
            await begin(world, client, id, id)
        await client.signal("paid", "go")
        await until(lambda: 3 in world.flow("paid").waits)
        await until(lambda: 1 in world.flow("waits").waits)
    app = world.app(front_door(), orders(after), shop)
    async with app.running() as client:
        await begin(world, client, "new", "new")
        for id in ("waits", "paid", "new"):
            await client.signal(id, "go")
            await client.signal(id, "on")
        for id in ("waits", "paid", "new"):
            assert (await client.wait(id)).state == "completed"
    assert world.flow("waits").patches == {"pay-twice": (True, 1), "ship-first": (True, 4)}
    assert world.flow("paid").patches == {"pay-twice": (False, 1), "ship-first": (True, 3)}
    assert world.flow("new").patches == {"pay-twice": (True, 1), "ship-first": (True, 4)}
    assert sorted(did) == sorted(
        [
            *("pay extra", "pay waits", "ship first", "ship waits"),
            *("pay paid", "ship first", "ship paid"),
            *("pay extra", "pay new", "ship first", "ship new"),
        ]
    )


async def test_the_first_answer_holds_in_a_loop_and_after_a_restart_of_the_worker(world, shop, did):
    async def looped_before(event: Place, flow: Flow) -> Completed:
        for _ in range(3):
            await flow.signal("go")
            await flow.do(Pay(order=event.order))
        return Completed(order=event.order)

    async def looped(event: Place, flow: Flow) -> Completed:
        for _ in range(3):
            await flow.signal("go")
            if flow.patched("ship-too"):
                await flow.do(Ship(order=event.order))
            await flow.do(Pay(order=event.order))
        return Completed(order=event.order)

    async with world.running(front_door(), orders(looped_before), shop) as client:
        await begin(world, client, "f1", "o")
        await client.signal("f1", "go")
        await until(lambda: 3 in world.flow("f1").waits)
    async with world.running(front_door(), orders(looped), shop) as client:
        await client.signal("f1", "go")
        await until(lambda: 5 in world.flow("f1").waits)
    assert world.flow("f1").patches == {"ship-too": (False, 1)}
    async with world.running(front_door(), orders(looped), shop) as client:
        await client.signal("f1", "go")
        await begin(world, client, "f2", "n")
        for _ in range(3):
            await client.signal("f2", "go")
        for id in ("f1", "f2"):
            await client.wait(id)
    assert did.count("ship o") == 0
    assert (did.count("pay o"), did.count("ship n"), did.count("pay n")) == (3, 3, 3)


async def test_it_takes_no_number_of_a_value_and_no_event_more(world, shop):
    async def draws(event: Place, flow: Flow) -> Noted:
        first = flow.random()
        flow.patched("one")
        await flow.do(Pay(order="o"))
        assert flow.random() != first
        return Noted(text=str(first))

    async with world.running(front_door(), orders(draws), shop) as client:
        await client.send(Place(order="o"), id="f1")
        outcome = await client.wait("f1")
    assert outcome.event.text == str(world.flow("f1").values[1][0])
    assert sorted(world.flow("f1").values) == [1, 2]


def test_ground_is_old_while_a_step_or_a_value_is_on_record_beyond():
    record = FlowRecord("f", steps={1: Issued("pay", 0, 0)}, values={1: (0.5, 0)})
    assert is_new_ground(record, 1, 1)
    assert not is_new_ground(record, 0, 1)
    assert not is_new_ground(record, 1, 0)
    assert is_new_ground(FlowRecord("f"), 0, 0)


HOSTILE = ["", "A", "1a", "a b", "a:b", "a\n", "ä", "a" * 61, "patch\x00", None, 7, ["a"], b"a"]


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_names_are_refused(world, name):
    async def asks(event: Place, flow: Flow) -> Completed:
        with pytest.raises(ApplicationError, match="is no name for a patch"):
            flow.patched(name)
        return Completed(order="refused")

    async with world.running(front_door(), orders(asks)) as client:
        await client.send(Place(order="o"), id="f1")
        assert (await client.wait("f1")).event == Completed(order="refused")
    assert not [field for field in world.raw.hkeys(world.keys.flow("f1")) if field.startswith(b"patch")]


async def test_a_restart_asks_again_where_it_begins_and_not_before(world, shop, did):
    app = world.app(front_door(), orders(after), shop)
    async with app.running() as client, app.store() as store:
        await begin(world, client, "f1", "o")
        for signal in ("go", "on"):
            await client.signal("f1", signal)
        await client.wait("f1")
        assert world.flow("f1").patches == {"pay-twice": (True, 1), "ship-first": (True, 4)}
        did.clear()
        steering = Steering(store, app.topology, "ann")
        assert (await steering.restart("f1", step=5)).result == "restarted"
        await until(lambda: world.flow("f1").ended)
    assert did == ["ship first", "ship o"]
    assert world.flow("f1").patches == {"pay-twice": (True, 1), "ship-first": (True, 4)}
