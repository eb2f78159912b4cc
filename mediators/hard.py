"""The mediator for hard events: it knows the steps of an order, and nothing else."""

from __future__ import annotations

from hybrid import HARD, CommandFailed, Flow, Mediator, Refused, StepTimeout, minutes
from processors.messages.inventory import AdjustInventory, InventoryBackordered, ReleaseStock
from processors.messages.mail import EmailCustomer, MailAbout
from processors.messages.orders import (
    CreateOrder,
    FulfillOrder,
    OrderCompleted,
    OrderCreated,
    OrderRefused,
    PlaceOrder,
)
from processors.messages.payment import ApplyPayment, PaymentDenied, RefundPayment
from processors.messages.shipping import ShipOrder
from processors.messages.warehouse import OrderStock

orders = Mediator("order", handles=HARD)

PATIENCE = minutes(15)
"""How long a step may take. A flow whose processor is down for longer goes wrong, and is seen."""


@orders.flow(PlaceOrder, version=1)
async def place_order(event: PlaceOrder, flow: Flow) -> OrderCompleted:
    """Carry out an order: create; mail, charge and take; pack and restock; ship and mail; mail."""
    created: OrderCreated = await flow.do(_creation(event), timeout=PATIENCE)
    order_id = created.order_id

    try:
        _, paid, stock = await flow.all(
            _mail(event, created, MailAbout.ORDER_RECEIVED, books=_listed(event)),
            ApplyPayment(
                order_id=order_id, customer_id=event.customer_id, amount=created.total, card=event.card
            ),
            AdjustInventory(order_id=order_id, books=[line.books for line in event.lines]),
            timeout=PATIENCE,
        )
    except (StepTimeout, CommandFailed) as error:
        raise await _undone(event, created, flow, error) from None
    if isinstance(paid, PaymentDenied):
        raise await _denied(event, created, flow, paid)
    short = stock.short if isinstance(stock, InventoryBackordered) else []

    fulfilled, _ = await flow.all(
        FulfillOrder(order_id=order_id, lines=event.lines, short=short),
        OrderStock(order_id=order_id, short=short),
        timeout=PATIENCE,
    )

    note = "\n\nSome of your books have just come in from our suppliers for you." if short else ""
    shipped, _ = await flow.all(
        ShipOrder(order_id=order_id, address=event.address, weight_grams=fulfilled.weight_grams),
        _mail(event, created, MailAbout.WHAT_HAPPENS_NEXT, receipt=paid.receipt, short=note),
        timeout=PATIENCE,
    )

    facts = {"carrier": shipped.carrier, "tracking": shipped.tracking, "days": str(shipped.days)}
    await flow.do(_mail(event, created, MailAbout.ORDER_SHIPPED, **facts), timeout=PATIENCE)
    return OrderCompleted(
        order_id=order_id, customer_id=event.customer_id, total=created.total, tracking=shipped.tracking
    )


async def _denied(event: PlaceOrder, created: OrderCreated, flow: Flow, denied: PaymentDenied) -> Refused:
    """Ask the customer for another card, put the books back, and return the refusal."""
    await flow.all(
        _mail(event, created, MailAbout.PAYMENT_DENIED, reason=denied.reason),
        ReleaseStock(order_id=created.order_id),
        timeout=PATIENCE,
    )
    return _refused(created, "payment denied", denied.reason)


async def _undone(
    event: PlaceOrder, created: OrderCreated, flow: Flow, error: StepTimeout | CommandFailed
) -> Refused:
    """Give money and books back, taken or still to be taken, mail the customer, and return the refusal."""
    await flow.all(
        RefundPayment(order_id=created.order_id, customer_id=event.customer_id),
        ReleaseStock(order_id=created.order_id),
        _mail(event, created, MailAbout.ORDER_CANCELLED),
        timeout=PATIENCE,
    )
    how = "was not done in time" if isinstance(error, StepTimeout) else "failed"
    return _refused(created, f"{error.command} {how}", str(error)[:200])


def _creation(event: PlaceOrder) -> CreateOrder:
    return CreateOrder(
        customer_id=event.customer_id,
        name=event.name,
        email=event.email,
        address=event.address,
        lines=event.lines,
    )


def _mail(event: PlaceOrder, created: OrderCreated, about: MailAbout, **facts: str) -> EmailCustomer:
    facts["total"] = f"{created.total:,}"
    return EmailCustomer(order_id=created.order_id, to=event.email, name=event.name, about=about, facts=facts)


def _listed(event: PlaceOrder) -> str:
    lines = (f"{line.quantity} × {line.title or line.isbn}, EUR {line.price:,}" for line in event.lines)
    return "\n".join(lines)[:2000]


def _refused(created: OrderCreated, reason: str, detail: str) -> Refused:
    order = OrderRefused(
        order_id=created.order_id, customer_id=created.customer_id, reason=reason, detail=detail
    )
    return Refused(order)
