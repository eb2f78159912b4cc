"""The steps that every order has in common, whichever mediator carries it out."""

from __future__ import annotations

from collections.abc import Sequence

from hybrid import Flow, Refused
from processors.messages.mail import EmailCustomer, MailAbout
from processors.messages.orders import (
    CreateOrder,
    FulfillOrder,
    OrderCompleted,
    OrderCreated,
    OrderRefused,
    PlaceOrder,
    UnpackOrder,
)
from processors.messages.shipping import RecallParcel, ShipOrder
from processors.messages.values import Books
from processors.messages.warehouse import OrderStock


def creation(event: PlaceOrder) -> CreateOrder:
    """Return the command that stores an order."""
    return CreateOrder(
        customer_id=event.customer_id,
        name=event.name,
        email=event.email,
        address=event.address,
        lines=event.lines,
    )


async def sent(
    event: PlaceOrder, created: OrderCreated, flow: Flow, short: Sequence[Books], paid: EmailCustomer
) -> OrderCompleted:
    """Pack and restock; ship, and mail that it is paid; mail that it is on its way.

    An order that is paid goes out, however long that takes: these steps have no timeout.
    """
    order_id = created.order_id
    flow.undo(UnpackOrder(order_id=order_id, lines=event.lines))
    fulfilled, _ = await flow.all(
        FulfillOrder(order_id=order_id, lines=event.lines, short=list(short)),
        OrderStock(order_id=order_id, short=list(short)),
    )
    flow.undo(RecallParcel(order_id=order_id))
    shipped, _ = await flow.all(
        ShipOrder(order_id=order_id, address=event.address, weight_grams=fulfilled.weight_grams), paid
    )
    facts = {"carrier": shipped.carrier, "tracking": shipped.tracking, "days": str(shipped.days)}
    await flow.do(mail(event, created, MailAbout.ORDER_SHIPPED, **facts))
    return OrderCompleted(
        order_id=order_id, customer_id=event.customer_id, total=created.total, tracking=shipped.tracking
    )


def mail(event: PlaceOrder, created: OrderCreated, about: MailAbout, **facts: str) -> EmailCustomer:
    """Return the command that mails the customer, who is always told the total, too."""
    facts["total"] = f"{created.total:,}"
    return EmailCustomer(order_id=created.order_id, to=event.email, name=event.name, about=about, facts=facts)


def listed(event: PlaceOrder) -> str:
    """Return what is ordered, as a mail lists it."""
    lines = (f"{line.quantity} × {line.title or line.isbn}, EUR {line.price:,}" for line in event.lines)
    return "\n".join(lines)[:2000]


def arrivals(short: Sequence[Books]) -> str:
    """Return what a mail says of books that were short."""
    return "\n\nSome of your books have just come in from our suppliers for you." if short else ""


def refused(created: OrderCreated, reason: str, detail: str) -> Refused:
    """Return the refusal of an order, to be raised."""
    order = OrderRefused(
        order_id=created.order_id, customer_id=created.customer_id, reason=reason, detail=detail[:200]
    )
    return Refused(order)
