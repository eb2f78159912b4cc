"""Messages of an older schema version, wherever they are read: queues, records, the desk, the inbox."""

from collections.abc import Iterator
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import create_engine

from hybrid import (
    HARD,
    App,
    Command,
    Context,
    Event,
    Flow,
    Mediator,
    Processor,
    RetryPolicy,
    Secret,
    SimpleMediator,
    resource,
    upcast,
)
from hybrid.codec import unpack
from hybrid.inbox import Database, metadata
from hybrid.inspect import flows
from hybrid.inspect.actions import EDIT, Desk, Order
from hybrid.inspect.desk_log import Deed
from hybrid.inspect.editing import edited
from hybrid.inspect.failures import named
from hybrid.inspect.steering import Steering
from tests.runtime.world import until


def code(version: int, broken: bool = False) -> Any:
    """Return the messages and components of a shop as its code has them in this version."""

    class Place(Event, version=version):
        order: str
        if version == 1:
            cents: int
        else:
            total: Decimal

    class Charge(Command, version=version):
        order: str
        card: Secret[str]
        if version == 1:
            cents: int
        else:
            total: Decimal

    class Charged(Event, version=version):
        if version == 1:
            cents: int
        else:
            total: Decimal

    class Placed(Event, version=version):
        if version == 1:
            cents: int
        else:
            total: Decimal

    class Ship(Command):
        pass

    if version == 2:
        for cls in (Place, Charge, Charged, Placed):

            @upcast(cls, 1)
            def total(data: dict[str, Any]) -> dict[str, Any]:
                data["total"] = Decimal(data.pop("cents")) / 100
                return data

    front, orders, shop = SimpleMediator("front"), Mediator("orders", handles=HARD), Processor("shop")
    front.classify(Place, HARD)(lambda event: HARD)

    def amount(cents: int) -> dict[str, Any]:
        return {"cents": cents} if version == 1 else {"total": Decimal(cents) / 100}

    @orders.flow(Place)
    async def place(event: Place, flow: Flow) -> Placed:
        cents = event.cents if version == 1 else int(event.total * 100)
        charged = await flow.do(Charge(order=event.order, card=Secret("q4711z"), **amount(cents)))
        await flow.do(Ship())
        return Placed(**amount(charged.cents if version == 1 else int(charged.total * 100)))

    @shop.on(Charge, retry=RetryPolicy(attempts=1))
    async def charge(command: Charge) -> Charged:
        if broken:
            raise ValueError("the bank is closed")
        return Charged(**amount(command.cents if version == 1 else int(command.total * 100)))

    shipping = Processor("shipping")

    @shipping.on(Ship)
    async def ship(command: Ship) -> None:
        pass

    return SimpleNamespace(**locals())


@pytest.fixture
async def shipped(world):
    """The new code's application, in whose store the old code has a flow that waits for its shipping."""
    old, new = code(1), code(2)
    async with world.running(old.front, old.orders, old.shop) as client:
        await client.send(old.Place(order="o", cents=1250), id="f1")
        await until(lambda: world.flow("f1").waits == {2})
    return world.app(new.front, new.orders, new.shop, new.shipping, messages=[new.Placed])


async def test_a_flow_goes_on_from_a_record_of_before(world, shipped):
    async with shipped.store() as store:
        view = await flows.flow(store, shipped.topology, "f1")
    assert (view.event["total"], view.steps[0].data) == ("12.5", {"total": "12.5"})
    async with shipped.running() as client:
        assert (await client.wait("f1")).event.total == Decimal("12.5")


async def test_an_end_of_before_is_read(world, shipped):
    old = code(1)
    async with world.running(old.front, old.orders, old.shop, old.shipping) as client:
        assert (await client.wait("f1")).event.cents == 1250
    async with shipped.client() as client:
        assert (await client.wait("f1")).event.total == Decimal("12.5")


async def test_a_result_of_before_is_fixed_as_one_of_now(world, shipped):
    async with shipped.store() as store:
        steering = Steering(store, shipped.topology, "ann")
        assert (await steering.fix("f1", [(1, "cents", 7)])).why.endswith("its fields: total")
        assert (await steering.fix("f1", [(1, "total", "99.5")])).result == "fixed"
    async with shipped.running() as client:
        assert (await client.wait("f1")).event.total == Decimal("99.5")


async def test_a_command_of_before_is_mended_at_the_desk(world):
    old, new = code(1, broken=True), code(2)
    app = world.app(new.front, new.orders, new.shop, new.shipping)
    async with world.running(old.front, old.orders, old.shop) as client:
        await client.send(old.Place(order="o", cents=1250), id="f1")
        await world.failure("shop")
    async with app.store() as store:
        (view,) = await named(store, app.topology, "f1")
        assert view.data == {"order": "o", "card": "**********", "total": "12.5"}
        document = {"type": "charge", "data": {**view.data, "total": "10"}}
        mended = edited(app.topology, view, document)
        assert (mended.total, mended.card.get_secret_value()) == (Decimal(10), "q4711z")
        desk = Desk(store, app.topology, Deed("ann", EDIT))
        (done,) = await desk.act([Order(view, mended)])
        assert done.result == "sent back"
    async with app.running() as client:
        assert (await client.wait("f1")).event.total == Decimal(10)


async def test_an_initiating_event_of_before_is_mended_and_begins_as_one_of_now(world):
    new = code(2)
    orders = Mediator("orders", handles=HARD)
    mended = [False]

    @orders.flow(new.Place)
    async def place(event: Any, flow: Flow) -> Any:
        assert mended[0], "not yet"
        return new.Placed(total=event.total)

    app = world.app(new.front, orders, messages=[new.Placed])
    old = code(1)
    async with world.app(old.front, old.orders).client() as client:
        await client.send(old.Place(order="o", cents=1250), id="f1")
    async with app.running() as client, app.store() as store:
        await world.failure("orders")
        (view,) = await named(store, app.topology, "f1")
        event = edited(app.topology, view, {"type": "place", "data": {**view.data, "total": "3.5"}})
        mended[0] = True
        (done,) = await Desk(store, app.topology, Deed("ann", EDIT)).act([Order(view, event)])
        assert done.result == "sent back"
        assert (await client.wait("f1")).event.total == Decimal("3.5")
    assert world.flow("f1").schema == 2


async def test_a_reply_in_the_inbox_of_before_goes_out_as_one_of_now(world, tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path}/inbox.db")
    metadata.create_all(engine)

    @resource
    def database() -> Iterator[Database]:
        yield Database(engine)

    def shop(of: Any) -> App:
        shop = Processor("shop")

        @shop.on(of.Charge)
        def charge(command: of.Charge, context: Context) -> of.Charged:
            with context.transaction():
                pass
            return of.Charged(**of.amount(1250))

        return world.app(shop, resources=[database])

    old, new = code(1), code(2)
    await world.tell(old.Charge(order="o", card=Secret("c"), cents=1250))
    async with shop(old).running():
        await until(lambda: world.outcomes("shop") == ["done"])
    await world.tell(old.Charge(order="o", card=Secret("c"), cents=1250))  # once more, by the same id
    async with shop(new).running():
        await until(lambda: world.outcomes("shop") == ["done"] * 2)
    assert [envelope.version for envelope in world.broadcasts(new.Charged)] == [1, 2]
    _, last = world.raw.xrange(world.keys.topic("charged"))[-1]
    assert unpack(last[b"data"]) == {"total": Decimal("12.5")}
    engine.dispose()
