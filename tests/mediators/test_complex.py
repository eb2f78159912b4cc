"""Orders that a manager approves and that are paid by invoice, each way that they can go."""

from collections import Counter
from decimal import Decimal

import pytest

from hybrid import TaskClosed, TaskEscalated, TaskReminded, days, hours
from hybrid.broker.shard import Store
from hybrid.inspect.ledger import ledger
from hybrid.inspect.loose import loose_flows
from mediators.simple import by_amount
from processors.messages.inventory import AdjustInventory
from processors.messages.invoices import InvoicePaid, InvoiceShort, MoneyReturned, SendInvoice
from processors.messages.mail import EmailCustomer
from processors.messages.orders import (
    FulfillOrder,
    OrderCancelled,
    OrderClosed,
    OrderCompleted,
    OrderCreated,
    OrderRefused,
)
from processors.messages.payment import ApplyPayment
from processors.messages.shipping import ShipOrder
from processors.summary import summary
from tests.processors.shop import APPROVED, FIVE_LEFT, MOBY, PRIDE, SOLD_OUT, order

ATLAS = "9780141730790"
"""12 volumes, EUR 1,480."""
TOTAL = Decimal("16299.98")
SHELF = {ATLAS: 60, PRIDE: 400, MOBY: 300, FIVE_LEFT: 5, SOLD_OUT: 0}


def large(**changes):
    return order(**({"lines": f"{ATLAS}*11@1480.00, {PRIDE}*2@9.99"} | changes))


async def placed(bed, event=None):
    """Place an order; return its flow and its id, when a manager is asked about it."""
    receipt = await bed.send(event or large())
    await bed.settled()
    return receipt.id, bed.events(OrderCreated)[0].order_id


async def decided(bed, choice, note="", by="meg"):
    """Answer the one open task."""
    [task] = await bed.client.tasks()
    await bed.client.answer(task.id, choice=choice, note=note, by=by)
    await bed.settled()


async def pay(bed, order_id, amount=TOTAL):
    await bed.send(InvoicePaid(order_id=order_id, amount=amount))
    await bed.settled()


async def cancel(bed, order_id):
    await bed.send(OrderCancelled(order_id=order_id))
    await bed.settled()


def rows(bed):
    return summary(bed.settings)["rows"]


def counts(bed):
    return summary(bed.settings)["counts"]


def mails(bed):
    """How often the customer was mailed about what."""
    return Counter(command.about.value for command in bed.commands(EmailCustomer))


def check_undone(bed, order, bought=None):
    """The shop is as it was before the order, but for books that were bought for it, which are on the shelf;
    each thing that had to be undone was undone once.
    """
    found = counts(bed)
    assert Counter({isbn: found["stock"][isbn] for isbn in SHELF}) == Counter(SHELF) + Counter(bought or {})
    assert found["orders"] == {order: 1}
    assert (found["sold"], set(found["payments"])) == (dict.fromkeys(found["sold"], 0), set())
    assert set(found["invoices"]) <= {"cancelled"}
    assert summary(bed.settings)["amounts"] == dict.fromkeys(
        ("charged", "invoiced", "revenue", "completed"), "0.00"
    )
    assert [rows(bed)[table] for table in ("reservations", "parcels", "shipments", "points")] == [0] * 4
    assert mails(bed)["order-closed"] == 1
    assert max(mails(bed).values()) == 1
    undos = Counter(type(command).__name__ for command in bed.commands())
    assert {undos[name] for name in ("ReleaseStock", "CloseOrder")} == {1}
    assert undos["CancelInvoice"] <= 1


async def balanced(bed):
    store = Store(bed.app.name, bed.settings, bed.settings.redis_url)
    await store.open()
    assert (await ledger(store, bed.topology)).balanced
    assert await loose_flows(store, bed.topology) == []
    await store.close()


async def test_approved_and_paid_it_is_sent(bed):
    flow, order_id = await placed(bed)
    [task] = await bed.client.tasks()
    assert (task.question, task.for_) == (f"Approve order {order_id} over EUR 16,299.98 for c-1?", "manager")
    assert task.about["because"] == "16,299.98 is over 10,000: a manager approves it"
    assert (counts(bed)["stock"][ATLAS], bed.commands(SendInvoice)) == (49, [])
    await decided(bed, "approve")
    assert bed.outcome(flow).state == "running"
    assert bed.command(SendInvoice).amount == TOTAL
    assert bed.commands(FulfillOrder) == []
    await pay(bed, order_id)
    outcome = bed.outcome(flow)
    assert outcome.state == "completed"
    assert outcome.event == bed.event(OrderCompleted)
    assert outcome.event.total == TOTAL
    found = summary(bed.settings)
    assert (found["counts"]["orders"], found["counts"]["invoices"]) == ({"completed": 1}, {"settled": 1})
    assert (found["amounts"]["invoiced"], found["amounts"]["charged"]) == (str(TOTAL), "0.00")
    assert mails(bed) == dict.fromkeys(
        ("order-received", "invoice-sent", "invoice-settled", "order-shipped"), 1
    )
    assert bed.commands(ApplyPayment) == []


async def test_refused_by_the_manager_the_customer_is_told_why(bed):
    flow, order_id = await placed(bed)
    await decided(bed, "refuse", note="your last invoice is open")
    outcome = bed.outcome(flow)
    assert (outcome.state, outcome.event) == ("refused", bed.event(OrderRefused))
    assert (outcome.event.reason, outcome.event.detail) == ("not approved", "your last invoice is open")
    [told] = [mail for mail in bed.commands(EmailCustomer) if mail.about == "order-refused"]
    assert told.facts["reason"] == "your last invoice is open"
    check_undone(bed, "refused: not approved")
    assert bed.commands(SendInvoice) == []
    assert order_id == outcome.event.order_id


async def test_nobody_answers(bed):
    flow, _ = await placed(bed)
    await bed.skip(hours=23)
    assert bed.events(TaskReminded) == []
    await bed.skip(hours=2)
    assert bed.event(TaskReminded).for_ == "manager"
    await bed.skip(hours=24)
    assert bed.event(TaskEscalated).for_ == "director"
    assert [task.for_ for task in await bed.client.tasks(for_="director")] == ["director"]
    await bed.skip(hours=22)
    assert bed.outcome(flow).state == "running"
    await bed.skip(hours=2)
    assert bed.outcome(flow).event.detail == "nobody decided on it in time"
    assert bed.event(TaskClosed).how == "timed out"
    check_undone(bed, "refused: not approved")
    told = Counter(summary(bed.settings)["counts"]["mails"])
    assert told["task-opened"] == told["task-escalated"] == 1
    assert told["task-reminded"] == len(bed.events(TaskReminded))


async def test_the_director_decides_when_the_manager_does_not(bed):
    flow, order_id = await placed(bed)
    await bed.skip(hours=49)
    await decided(bed, "approve", by="dora")
    await pay(bed, order_id)
    assert bed.outcome(flow).state == "completed"


async def test_paid_in_parts_it_waits_for_the_rest(bed):
    flow, order_id = await placed(bed)
    await decided(bed, "approve")
    await pay(bed, order_id, Decimal(16000))
    assert bed.event(InvoiceShort).open == Decimal("299.98")
    assert bed.outcome(flow).state == "running"
    await pay(bed, order_id, Decimal(300))
    assert bed.outcome(flow).state == "completed"
    assert bed.event(MoneyReturned).amount == Decimal("0.02")


async def test_parts_that_come_at_the_same_time_both_count(bed):
    flow, order_id = await placed(bed)
    await decided(bed, "approve")
    for _ in range(2):
        await bed.send(InvoicePaid(order_id=order_id, amount=TOTAL / 2))
    await bed.settled()
    assert bed.outcome(flow).state == "completed"


@pytest.mark.parametrize("part", [None, Decimal(100)])
async def test_not_paid_in_thirty_days_it_is_refused(bed, part):
    flow, order_id = await placed(bed)
    await decided(bed, "approve")
    if part:
        await pay(bed, order_id, part)
    await bed.skip(days(10) + hours(1))
    assert mails(bed)["invoice-reminder"] == 1
    await bed.skip(days(10))
    assert [m.facts["days"] for m in bed.commands(EmailCustomer) if m.about == "invoice-reminder"] == [
        "20",
        "10",
    ]
    await bed.skip(days(9))
    assert bed.outcome(flow).state == "running"
    await bed.skip(days(1))
    outcome = bed.outcome(flow)
    assert (outcome.state, outcome.event.reason) == ("refused", "not paid")
    assert mails(bed)["invoice-reminder"] == 2
    assert counts(bed)["invoices"] == {"cancelled": 1}
    assert counts(bed)["stock"][ATLAS] == 60
    await pay(bed, order_id, Decimal(5))
    assert [each.amount for each in bed.events(MoneyReturned)] == [5]


async def test_reminded_once_and_paid(bed):
    flow, order_id = await placed(bed)
    await decided(bed, "approve")
    await bed.skip(days=12)
    await pay(bed, order_id)
    assert bed.outcome(flow).state == "completed"
    await bed.skip(days=30)
    assert mails(bed)["invoice-reminder"] == 1


HELD = {
    "taking": AdjustInventory,
    "invoicing": SendInvoice,
    "packing": FulfillOrder,
    "shipping": ShipOrder,
}
STAGES = ["taking", "asked", "invoicing", "invoiced", "part paid", "packing", "shipping"]


@pytest.mark.parametrize("stage", STAGES)
async def test_cancelled_at_any_time_all_is_undone(bed, stage):
    if stage in HELD:
        bed.hold(HELD[stage])
    flow, order_id = await placed(
        bed, large(lines=f"{ATLAS}*11@1480.00, {FIVE_LEFT}*8@13.90, {SOLD_OUT}*1@29.50")
    )
    if stage not in ("taking", "asked"):
        await decided(bed, "approve")
    if stage == "part paid":
        await pay(bed, order_id, Decimal(16000))
    if stage in ("packing", "shipping"):
        await pay(bed, order_id, Decimal("16420.70"))
    await cancel(bed, order_id)
    if stage in HELD:
        assert bed.outcome(flow).state == "undoing"
        bed.release(HELD[stage])
        await bed.settled()
    assert bed.outcome(flow).state == "cancelled"
    assert bed.event(OrderClosed).order_id == order_id
    bought = counts(bed)["purchased"]
    assert bought == ({FIVE_LEFT: 3, SOLD_OUT: 1} if stage in ("packing", "shipping") else {})
    check_undone(bed, "cancelled", bought)
    await balanced(bed)


async def test_cancelled_twice_is_cancelled_once(bed):
    flow, order_id = await placed(bed)
    await cancel(bed, order_id)
    await cancel(bed, order_id)
    assert bed.outcome(flow).state == "cancelled"
    check_undone(bed, "cancelled")


async def test_what_is_cancelled_after_its_end_stays_as_it_is(bed):
    flow, order_id = await placed(bed)
    await decided(bed, "approve")
    await pay(bed, order_id)
    await cancel(bed, order_id)
    assert (bed.outcome(flow).state, counts(bed)["orders"]) == ("completed", {"completed": 1})


async def test_another_order_is_not_touched(bed):
    flow, _ = await placed(bed)
    await cancel(bed, "B-AAAA-BBBB-CCCC")
    assert bed.outcome(flow).state == "running"


async def test_a_purchase_order_is_complex_whatever_it_costs(bed):
    flow, order_id = await placed(bed, order(card=None, purchase_order="PO-7"))
    [task] = await bed.client.tasks()
    assert (task.about["purchase_order"], task.about["total"]) == ("PO-7", "34.48")
    await decided(bed, "approve")
    assert bed.command(SendInvoice).purchase_order == "PO-7"
    await pay(bed, order_id, Decimal("34.48"))
    assert bed.outcome(flow).state == "completed"


async def test_an_order_with_very_many_copies_short_is_promoted(bed):
    flow, order_id = await placed(bed, order(lines=f"{SOLD_OUT}*120@29.50, {FIVE_LEFT}*5@13.90"))
    [task] = await bed.client.tasks()
    assert task.flow == flow
    assert task.about["because"] == "120 copies are short: a manager decides on buying more than 100"
    assert [event.order_id for event in bed.events(OrderCreated)] == [order_id] * 2
    assert [event.known for event in bed.events(OrderCreated)] == [False, True]
    assert counts(bed)["payments"] == {"refunded": 1}
    assert counts(bed)["stock"][FIVE_LEFT] == 0
    assert mails(bed) == {"order-received": 1, "approval-needed": 1}
    await decided(bed, "approve")
    await pay(bed, order_id, Decimal("3609.50"))
    assert bed.outcome(flow).state == "completed"
    found = summary(bed.settings)
    assert (found["rows"]["orders"], found["counts"]["purchased"]) == (1, {SOLD_OUT: 120})
    assert found["amounts"]["charged"] == "0.00"
    assert found["amounts"]["invoiced"] == "3609.50"
    await balanced(bed)


async def test_a_promoted_order_that_is_refused_leaves_nothing_behind(bed):
    await placed(bed, order(lines=f"{SOLD_OUT}*120@29.50, {FIVE_LEFT}*5@13.90"))
    await decided(bed, "refuse")
    assert counts(bed)["stock"][FIVE_LEFT] == 5
    assert counts(bed)["payments"] == {"refunded": 1}
    assert summary(bed.settings)["totals"]["points"] == 0


@pytest.mark.parametrize(
    ("changes", "gives", "says"),
    [
        ({"lines": f"{PRIDE}*10@9.99"}, "HARD", "99.90 is not over 10,000"),
        ({"lines": f"{PRIDE}*1000@10.00"}, "HARD", "10,000.00 is not over 10,000"),
        ({"lines": f"{PRIDE}*1002@9.99"}, "COMPLEX", "10,009.98 is over 10,000"),
        ({"purchase_order": "PO-7"}, "COMPLEX", "purchase order PO-7"),
        ({"purchase_order": "PO-7", "card": None}, "COMPLEX", "purchase order PO-7"),
        ({"card": APPROVED}, "HARD", "34.48 is not over"),
    ],
)
def test_the_class_of_an_order_is_in_what_it_says(changes, gives, says):
    verdict = by_amount(order(**changes))
    assert verdict.event_class.name == gives
    assert says in verdict.reason
