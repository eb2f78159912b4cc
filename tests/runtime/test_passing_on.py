"""Old and new code side by side: what only newer code can take is passed on to it, and nothing fails."""

from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from hybrid import (
    HARD,
    Command,
    Context,
    Event,
    Flow,
    Mediator,
    Processor,
    RetryPolicy,
    SimpleMediator,
    upcast,
)
from hybrid.inspect.ledger import ledger
from hybrid.inspect.loose import loose_flows
from tests.runtime.world import until

PATIENT = {"pass_on_ms": 60_000}


def code(version: int, *, mediates: bool = True) -> Any:
    """Return the code of a shop as it is in this version: its messages, and components that name it.

    In version 2 orders and payments have an amount with a currency, and there are gifts.
    """

    class Place(Event, version=version):
        order: str
        if version == 1:
            amount: int
        else:
            price: dict[str, Any]

    class Pay(Command, version=version):
        order: str
        if version == 1:
            amount: int
        else:
            price: dict[str, Any]

    class Paid(Event, version=version):
        order: str
        if version == 1:
            receipt: int
        else:
            receipt: str

    class Gift(Event):
        order: str

    class Placed(Event):
        order: str
        by: int

    if version == 2:
        for cls in (Place, Pay):
            upcast(cls, 1)(lambda data: {"order": data["order"], "price": {"amount": data["amount"]}})
        upcast(Paid, 1)(lambda data: {**data, "receipt": str(data["receipt"])})
    front, orders, shop = SimpleMediator("front"), Mediator("orders", handles=HARD), Processor("shop")
    listener = Processor("listener")
    heard: list[str] = []

    @front.classify(Place, HARD)
    def by_habit(event: Place) -> Any:
        return HARD

    @orders.flow(Place)
    async def first(event: Place, flow: Flow) -> Placed:
        more = {"amount": event.amount} if version == 1 else {"price": event.price}
        await flow.do(Pay(order=event.order, **more))
        await flow.do(Pay(order=event.order, **more))
        return Placed(order=event.order, by=1)

    if version == 2:

        @front.classify(Gift, HARD)
        def by_kind(event: Gift) -> Any:
            return HARD

        @orders.flow(Place, version=2)
        async def second(event: Place, flow: Flow) -> Placed:
            await flow.all(*(Pay(order=event.order, price=event.price) for _ in range(3)))
            await flow.do(Pay(order=event.order, price=event.price))
            return Placed(order=event.order, by=2)

        @orders.flow(Gift)
        async def give(event: Gift, flow: Flow) -> Placed:
            await flow.sleep(0.01)
            return Placed(order=event.order, by=2)

    @shop.on(Pay, retry=RetryPolicy(attempts=2, first_ms=10))
    async def pay(command: Pay, context: Context) -> Paid:
        if command.order.endswith("7") and context.attempt == 1:
            raise ValueError("once more")
        return Paid(order=command.order, receipt=1 if version == 1 else "one")

    @listener.on(Paid)
    async def listen(event: Paid) -> None:
        heard.append(event.order)

    found = {name: value for name, value in locals().items() if name not in ("version", "mediates")}
    return SimpleNamespace(**found, components=[front, orders, shop, listener])


@pytest.fixture
def old():
    """The code before."""
    return code(1)


@pytest.fixture
def new():
    """The code after."""
    return code(2)


async def balanced(world, app):
    """Check that nothing is nowhere, and that nothing failed."""
    async with app.store() as store:
        found = await ledger(store, app.topology)
        assert found.balanced, found
        assert not [g for g in found.groups if g.failed or g.later or g.pending or g.waiting], found
        assert await loose_flows(store, app.topology) == []
    assert not [name for name, n in world.counters().items() if name.startswith("running:") and n]


@asynccontextmanager
async def side_by_side(world, old, new):
    """Run two workers of old code and one of new code; give a client of each."""
    before, after = (world.app(*each.components, **PATIENT) for each in (old, new))
    async with before.running() as early, before.worker(), after.running() as late:
        yield early, late


async def test_old_and_new_workers_side_by_side_lose_and_fail_nothing(world, old, new):
    sent = 40
    async with side_by_side(world, old, new) as (early, late):
        for n in range(sent):
            await early.send(old.Place(order=f"o{n}", amount=n), id=f"o{n}")
            await late.send(new.Place(order=f"n{n}", price={"amount": n}), id=f"n{n}")
            await late.send(new.Gift(order=f"g{n}"), id=f"g{n}")
        for n in range(sent):
            for kind in "ong":
                outcome = await late.wait(f"{kind}{n}", timeout=30)
                assert outcome.state == "completed", outcome
    after = world.app(*new.components, **PATIENT)
    async with after.worker():  # what is passed on comes to somebody at last
        await until(lambda: world.counter("settled:listener") == world.counter("entered:topic:paid"))
    await balanced(world, after)
    codes = {f"{kind}{n}": world.flow(f"{kind}{n}").facts["code"] for n in range(sent) for kind in "on"}
    assert {codes[f"n{n}"] for n in range(sent)} == {"2"}  # no old mediator can read their events
    steps = sum(2 if at == "1" else 4 for at in codes.values())
    heard = [*old.heard, *new.heard]
    assert sorted(set(heard)) == sorted(codes)
    assert len(heard) == steps == len(world.broadcasts(new.Paid))
    assert world.counter("settled:listener") == steps
    assert {entry.outcome for entry in world.log()} >= {"passed on", "done", "retried"}


async def test_a_newer_command_waits_for_newer_code_and_is_no_attempt(world, old, new):
    app = world.app(old.shop, **PATIENT)
    await world.tell(new.Pay(order="o", price={"amount": 1}), version=2, attempt=1)
    async with app.running():
        await until(lambda: len(world.outcomes("shop")) >= 3)
    assert set(world.outcomes("shop")) == {"passed on"}
    passed = world.log()[0]
    assert passed.note.startswith("NewerMessage: pay is of version 2, this program knows 1")
    async with app.store() as store:
        found = await ledger(store, app.topology)
        (group,) = [each for each in found.groups if each.group == "shop"]
        assert group.later + group.waiting + group.pending == 1
    async with world.app(new.shop).running():
        await until(lambda: "done" in world.outcomes("shop"))
    assert {entry.attempt for entry in world.log()} == {1}
    assert [each.version for each in world.broadcasts(new.Paid)] == [2]


async def test_the_pause_grows(world, old, new):
    await world.tell(new.Pay(order="o", price={"amount": 1}), version=2)
    async with world.running(old.shop, **PATIENT):
        await until(lambda: len(world.log()) >= 4)
    taken = [entry.taken for entry in world.log()]
    assert taken[1] - taken[0] >= 50
    assert taken[2] - taken[1] >= 100
    assert taken[3] - taken[2] >= 150


async def test_after_its_time_it_goes_to_the_desk_with_the_reason(world, old, new):
    app = world.app(old.shop, pass_on_ms=250)
    await world.tell(new.Pay(order="o", price={"amount": 1}), version=2)
    async with app.running():
        failure = await world.failure("shop")
        assert failure.error == "NewerMessage"
        assert world.outcomes("shop")[-1] == "failed"
        passed = len(world.log())
        assert passed > 2
        await world.send_back(app, failure)  # it has its time anew
        await until(lambda: len(world.log()) > passed)
        assert world.outcomes("shop")[passed] == "passed on"
        await until(lambda: world.outcomes("shop")[-1] == "failed")


async def test_a_flow_on_a_version_that_is_not_there_goes_on_elsewhere(world, old, new):
    before, after = world.app(*old.components[:2], **PATIENT), world.app(*new.components, **PATIENT)
    async with before.running():
        async with world.app(*new.components[:2], **PATIENT).running() as client:
            await client.send(new.Place(order="o", price={"amount": 1}), id="f1")
            await until(lambda: world.flow("f1").waits)
        async with world.app(new.shop).running():  # they wake it, and nobody knows its version
            await until(lambda: "passed on" in world.outcomes("orders"))
            await until(lambda: world.outcomes("orders").count("passed on") > 2)
            assert world.flow("f1").state == "running"
            async with before.store() as store:
                assert await loose_flows(store, before.topology) == []
        async with after.running() as client:
            assert (await client.wait("f1", timeout=20)).event.by == 2
    await balanced(world, after)


async def test_a_reply_of_a_newer_schema_is_read_by_newer_code(world, old, new):
    """A flow that catches every exception does not see that its mediator is too old."""
    caught = []

    def orders(of):
        mediator = Mediator("orders", handles=HARD)

        @mediator.flow(of.Place)
        async def place(event: Any, flow: Flow) -> Any:
            try:
                paid = await flow.do(old.Pay(order=event.order, amount=1))
            except Exception as error:
                caught.append(error)
                raise
            return of.Placed(order=str(paid.receipt), by=1)

        return mediator

    async with world.app(old.front, orders(old), messages=[old.Paid], **PATIENT).running() as client:
        await client.send(old.Place(order="o", amount=1), id="f1")
        async with world.app(new.shop).running():
            await until(lambda: "passed on" in world.outcomes("orders"))
        assert world.flow("f1").state == "running"
    async with world.app(orders(new), messages=[new.Paid, new.Placed], **PATIENT).running() as client:
        assert (await client.wait("f1", timeout=20)).event.order == "one"
    assert caught == []


async def test_a_step_that_expires_meanwhile_is_not_done_late(world, old, new):
    await world.tell(new.Pay(order="o", price={"amount": 1}), version=2, expires=1)
    async with world.running(old.shop, **PATIENT):
        await until(lambda: world.outcomes("shop") == ["expired"])
    assert world.counter("expired:shop") == 1


@pytest.mark.parametrize("passed", [b"", b"x", b"1", b"-1/5", b"1/", b"\xff/1", b"9" * 30 + b"/1"])
async def test_a_hostile_count_does_no_harm(world, old, new, passed):
    await world.tell(new.Pay(order="o", price={"amount": 1}), version=2)
    ((entry, fields),) = world.raw.xrange(world.keys.command("pay"))
    world.raw.xadd(world.keys.command("pay"), {**fields, b"passed": passed})
    world.raw.xdel(world.keys.command("pay"), entry)
    async with world.running(old.shop, **PATIENT):
        await until(lambda: world.outcomes("shop"))
    assert set(world.outcomes("shop")) <= {"passed on", "failed"}


async def test_wake_ups_of_one_flow_are_passed_on_as_one(world, old, new):
    async with world.app(*new.components[:2]).running() as client:
        await client.send(new.Place(order="o", price={"amount": 1}), id="f1")
        await until(lambda: world.flow("f1").waits)
    own = world.keys.own("orders")
    for _ in range(5):
        world.raw.xadd(own, {"type": "wake-up", "flow": "f1"})
    world.raw.hincrby(world.keys.counters, "entered:own:orders", 5)
    world.raw.hset(world.keys.counters, "running:orders/place/2", 0)  # so that the old code starts
    app = world.app(*old.components[:2], **PATIENT)
    async with app.running():
        await until(lambda: "passed on" in world.outcomes("orders"))
        await until(lambda: world.raw.zcard(world.keys.later("orders")) == 1)
    async with app.store() as store:
        assert (await ledger(store, app.topology)).balanced
