"""Orders from the front door to their end: the server, mediators, processors and database."""

import asyncio
import json
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from cli.demo.people import People, deeds, told_later
from processors.messages.customers import AddressChanged
from processors.messages.inventory import ReviewRated
from processors.messages.mail import EmailCustomer
from processors.messages.orders import FulfillOrder, OrderCompleted, OrderRefused
from processors.messages.payment import ApplyPayment
from processors.messages.shipping import ShipOrder
from processors.summary import summary
from tests.processors.shop import DECLINED, FIVE_LEFT, FLAKY, MOBY, PRIDE, SOLD_OUT, order

DEMO = Path(__file__).parents[2] / "cli/demo_data"


async def until(condition, seconds=20.0):
    """Wait for a condition."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def settled(shop, **rows):
    """Wait until the tables have these rows (subscribers come late); return what the database says."""
    await until(lambda: summary(shop.app.settings)["rows"].items() >= rows.items())
    return summary(shop.app.settings)


def mails(shop):
    folder = shop.app.settings.directory / "outbox"
    return sorted(
        path.read_text(encoding="utf-8").partition("Subject: ")[2].partition(" B-")[0]
        for path in folder.iterdir()
    )


async def commands(shop, flow):
    """The commands of a flow, by number."""
    _, record = await shop.client.record(flow)
    return [record.steps[number].name for number in sorted(record.steps)]


async def test_an_order_takes_the_five_steps(shop):
    [outcome] = await shop.ends(order())
    assert outcome.state == "completed"
    assert isinstance(outcome.event, OrderCompleted)
    assert outcome.event.total == Decimal("34.48")
    assert await commands(shop, outcome.flow) == [
        "create-order",
        *("email-customer", "apply-payment", "adjust-inventory"),
        *("fulfill-order", "order-stock"),
        *("ship-order", "email-customer"),
        "email-customer",
    ]
    found = await settled(shop, points=1, sales=2)
    assert found["totals"] == {"points": 34, "copies": 3}
    assert mails(shop) == ["We have your order", "What happens next with your order", "Your order"]


async def test_a_denied_card_refuses_the_order(shop):
    [outcome] = await shop.ends(order(card=DECLINED, lines=f"{PRIDE}*2@9.99, {SOLD_OUT}*1@29.50"))
    assert outcome.state == "refused"
    assert isinstance(outcome.event, OrderRefused)
    assert (outcome.event.reason, outcome.event.detail) == ("payment denied", "card declined")
    assert (await commands(shop, outcome.flow))[4:] == ["email-customer", "refund-payment", "release-stock"]
    await until(lambda: "placed" not in summary(shop.app.settings)["counts"]["orders"])
    found = summary(shop.app.settings)
    assert found["counts"]["orders"] == {"refused: payment denied": 1}
    assert found["counts"]["stock"][PRIDE] == 400
    assert [
        found["rows"][table] for table in ("reservations", "shipments", "points", "sales", "purchases")
    ] == [0] * 5
    assert mails(shop) == ["Please give us another card for your order", "We have your order"]


async def test_what_is_short_is_bought(shop):
    [outcome] = await shop.ends(order(lines=f"{FIVE_LEFT}*8@13.90, {SOLD_OUT}*1@29.50, {MOBY}*1@14.50"))
    assert outcome.state == "completed"
    await until(lambda: summary(shop.app.settings)["counts"]["arrived"] == {FIVE_LEFT: 3, SOLD_OUT: 1})
    found = summary(shop.app.settings)
    assert found["counts"]["purchased"] == {FIVE_LEFT: 3, SOLD_OUT: 1}
    assert found["counts"]["stock"][FIVE_LEFT] == 0


async def test_a_bank_that_does_not_answer_is_asked_again(shop):
    [outcome] = await shop.ends(order(card=FLAKY))
    assert outcome.state == "completed"
    _, record = await shop.client.record(outcome.flow)
    assert record.results[3].attempt == 3
    assert summary(shop.app.settings)["amounts"]["charged"] == "34.48"


async def test_an_event_sent_twice_is_one_order(shop):
    first = await shop.client.send(order(), id="basket-7")
    second = await shop.client.send(order(), id="basket-7")
    assert (first.duplicate, second.duplicate) == (False, True)
    await shop.client.wait("basket-7", timeout=20)
    assert summary(shop.app.settings)["rows"]["orders"] == 1


async def test_simple_events_are_handled_at_the_door(shop):
    moved = AddressChanged(customer_id="c-1", address="1 Mill Road, 8001 Zürich, CH")
    rated = ReviewRated(customer_id="c-1", isbn=PRIDE, stars=5)
    outcomes = await shop.ends(moved, rated)
    assert [outcome.state for outcome in outcomes] == ["completed", "completed"]
    found = await settled(shop, customers=1, ratings=1)
    assert (found["counts"]["countries"], found["counts"]["stars"]) == ({"CH": 1}, {PRIDE: 5})


@pytest.mark.parametrize("held", [ApplyPayment, FulfillOrder, ShipOrder])
async def test_an_order_that_somebody_cancels_has_its_money_and_its_books_given_back(bed, held):
    bed.hold(held)
    receipt = await bed.send(order())
    await bed.settled()
    await bed.client.cancel(receipt.id, by="ann")
    bed.release(held)
    await bed.settled()
    assert bed.outcome(receipt).state == "cancelled"
    found = summary(bed.settings)
    assert (found["amounts"]["charged"], found["counts"]["stock"][PRIDE]) == ("0.00", 400)
    assert [found["rows"][table] for table in ("parcels", "shipments", "reservations")] == [0] * 3


async def test_a_payment_that_is_not_done_in_time_is_never_done(bed):
    bed.hold(ApplyPayment)
    receipt = await bed.send(order())
    await bed.skip(minutes=16)
    outcome = bed.outcome(receipt)
    assert (outcome.state, outcome.event.reason) == ("refused", "apply-payment was not done in time")
    bed.release(ApplyPayment)
    await bed.settled(failures=True)
    found = summary(bed.settings)
    assert (found["amounts"]["charged"], found["counts"]["stock"][PRIDE]) == ("0.00", 400)
    assert Counter(mail.about for mail in bed.commands(EmailCustomer)) == {
        "order-received": 1,
        "order-cancelled": 1,
    }


async def test_what_is_paid_goes_out_however_long_it_takes(bed):
    bed.hold(FulfillOrder)
    receipt = await bed.send(order())
    await bed.skip(days=2)
    assert bed.outcome(receipt).state == "running"
    bed.release(FulfillOrder)
    await bed.settled()
    assert bed.outcome(receipt).state == "completed"


async def act(people):
    while True:
        await people.act()
        await asyncio.sleep(0.1)


@pytest.mark.timeout(180)
async def test_the_demo_has_the_known_answers(shop):
    events = [json.loads(line) for line in (DEMO / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    known = json.loads((DEMO / "expected.json").read_text(encoding="utf-8"))
    validate = shop.app.topology.catalog.validate
    assert Counter(event["type"] for event in events) == known["sent"]
    sent = await shop.client.send_many(
        [(validate(event["type"], event["data"]), event["id"]) for event in events]
    )
    people, ids = People(shop.client, deeds()), [receipt.id for receipt in sent]
    ids += [
        f"{flow}-{number}"
        for flow, deed in deeds().items()
        for number in range(1, told_later({flow: deed}) + 1)
    ]
    acting = asyncio.create_task(act(people))
    ends = []
    for start in range(0, len(ids), 100):
        waits = [shop.client.wait(id, timeout=150) for id in ids[start : start + 100]]
        ends += await asyncio.gather(*waits)
    acting.cancel()
    assert Counter(end.state for end in ends) == known["outcomes"]
    await settled(shop, **known["database"]["rows"])
    await until(lambda: summary(shop.app.settings) == known["database"])
    assert len(mails(shop)) == known["database"]["rows"]["mails"]
