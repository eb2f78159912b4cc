"""Histories of flows leave the store and come back, without secrets; checks count what differs."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel, Field, SecretBytes, SecretStr

from hybrid import HARD, Event, Flow, Mediator, Processor, Secret
from hybrid.catalog import Catalog
from hybrid.codec import pack, unpack
from hybrid.errors import FlowError, MessageError
from hybrid.inspect.checks import Check
from hybrid.inspect.histories import exported, histories, imported
from hybrid.inspect.masking import masked
from tests.mediator.flows import front_door, orders
from tests.runtime.messages import Completed, Paid, Pay, Place, Ship
from tests.runtime.world import until


class Card(BaseModel):
    number: Secret[str]
    name: str


class Charged(Event, version=3):
    order: str
    card: Card
    cards: list[Card]
    pin: Secret[int] | None = None
    amount: Secret[Decimal] = Secret(Decimal(0))
    key: SecretBytes = SecretBytes(b"")
    word: SecretStr = SecretStr("")
    by: dict[str, Secret[list[str]]] = Field(default_factory=dict)


def test_every_secret_is_masked_and_what_is_left_can_be_read():
    card = Card(number=Secret("4711a"), name="ann")
    event = Charged(
        order="o", card=card, cards=[card], pin=Secret(4712), amount=Secret(Decimal("4713")),
        key=SecretBytes(b"4714a"), word=SecretStr("4715a"), by={"x": Secret(["4716a"])},
    )  # fmt: skip
    catalog = Catalog([Charged])
    schema, data = masked(catalog, "charged", pack(event.__dict__), 3)
    assert schema == 3
    assert "471" not in str(unpack(data))
    read = catalog.decode("charged", data)
    assert (read.order, read.card.name, read.pin.get_secret_value()) == ("o", "ann", 0)


def test_a_message_without_secrets_stays_as_it_is():
    assert masked(Catalog([Place]), "place", pack({"order": "o"}), 1) is None
    empty = Charged(order="o", card=Card(number=Secret("**********"), name="a"), cards=[])
    assert masked(Catalog([Charged]), "charged", pack(empty.__dict__), 3) is None


def test_where_no_mask_fits_the_shape_stays():
    class Paid(Event):
        card: Annotated[Secret[str], AfterValidator(numbered)]

    data = pack(Paid(card=Secret("4711-Ab 4712")).__dict__)
    assert unpack(masked(Catalog([Paid]), "paid", data, 1)[1]) == {"card": "0000-xx 0000"}


def numbered(card: Secret[str]) -> Secret[str]:
    assert card.get_secret_value()[:4].isdigit(), "no number"
    return card


def test_what_can_not_be_masked_is_told():
    class Born(Event):
        day: Secret[date]

    born = Born(day=Secret(date(1999, 1, 2)))
    with pytest.raises(MessageError, match="secrets of born can't be masked") as told:
        masked(Catalog([Born]), "born", pack(born.__dict__), 1)
    assert "1999" not in str(told.value)
    with pytest.raises(MessageError):
        masked(Catalog([]), "born", pack(born.__dict__), 1)


@pytest.fixture
async def app(world):
    """An application in whose store four flows are: one completed, three that wait."""

    async def place(event: Place, flow: Flow) -> Completed:
        flow.now()
        await flow.do(Pay(order=event.order))
        if event.order != "done":
            await flow.do(Ship(order=event.order))
        return Completed(order=event.order)

    shop = Processor("shop")

    @shop.on(Pay)
    async def pay(command: Pay) -> Paid:
        return Paid(order=command.order)

    app = world.app(front_door(), orders(place), shop, messages=[Ship])
    async with app.running() as client:
        await client.send(Place(order="done"), id="f0")
        await client.wait("f0")
        for n in range(1, 4):
            await client.send(Place(order=f"o{n}"), id=f"f{n}")
            await until(lambda n=n: world.flow(f"f{n}").waits == {2})
    return app


async def read(app: Any, **query: Any) -> list[Any]:
    async with app.store() as store:
        return [history async for history in histories(store, **query)]


async def test_they_are_found_newest_first_unfinished_before_ended(app):
    assert [history.id for history in await read(app)] == ["f3", "f2", "f1", "f0"]
    assert [history.id for history in await read(app, state="completed")] == ["f0"]
    assert [history.id for history in await read(app, state="running", most=2)] == ["f3", "f2"]
    assert await read(app, type="paid") == []


async def test_they_come_back_as_they_were(app):
    found = await read(app)
    lines = [exported(history, app.topology.catalog) for history in found]
    for before, after in zip(found, imported(lines), strict=True):
        was, now = before.record, after.record
        assert (now.steps, now.results, now.values) == (was.steps, was.results, was.values)
        assert (now.event, now.outcome, now.waits, now.state) == (
            was.event,
            was.outcome,
            was.waits,
            was.state,
        )
    assert list(imported(["", "\n"])) == []
    with pytest.raises(FlowError, match="line 2 is no flow"):
        list(imported([lines[0], lines[0][:-9]]))


async def test_a_check_counts_the_ways_in_which_flows_differ(app):
    async def other(event: Place, flow: Flow) -> Completed:
        flow.now()
        await flow.do(Pay(order=event.order))
        if event.order != "done":
            raise ValueError(f"{event.order} is not there")
        return Completed(order=event.order)

    found = await read(app)
    same = Check(app.topology)
    for history in found:
        same.take(history.record)
    assert (same.checked, same.fit, same.differing) == (4, 4, [])
    check = Check(type(app)("next", [front_door(), orders(other)]).topology)
    for history in found:
        check.take(history.record)
    (kind,) = check.differing
    assert (check.checked, check.fit, kind.flows, kind.examples) == (4, 1, 3, ["f3", "f2", "f1"])
    assert str(kind.difference) == "step 2: was ship, is now ValueError: o3 is not there"


async def test_flows_of_no_mediator_or_version_any_more(app):
    gone = Mediator("orders", handles=HARD)

    async def place(event: Place, flow: Flow) -> None:
        pass

    gone.flow(Place, version=2)(place)
    for mediator in (gone, Mediator("others", handles=HARD)):
        check = Check(type(app)("next", [mediator]).topology)
        for history in await read(app):
            check.take(history.record)
        (kind,) = check.differing
        assert str(kind.difference) == "at its start: was version 1, is now not registered"
        assert (kind.flows, sum(check.left_out.values()), check.fit) == (3, 1, 0)
