"""The mediator for hard events: it knows the steps of an order, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from hybrid import COMPLEX, HARD, CommandFailed, Flow, Mediator, Promote, Refused, StepTimeout, minutes
from mediators.steps import arrivals, creation, listed, mail, refused, sent
from processors.messages.inventory import AdjustInventory, InventoryBackordered, ReleaseStock
from processors.messages.mail import MailAbout
from processors.messages.orders import OrderCompleted, OrderCreated, PlaceOrder
from processors.messages.payment import ApplyPayment, PaymentDenied, RefundPayment
from processors.messages.values import Books

orders = Mediator("order", handles=HARD)

PATIENCE = minutes(15)
"""How long the steps up to the payment may take. After that the order is refused, and the customer told."""
MANY_SHORT = 100
"""Copies: who buys more than so many from the suppliers for one order asks a manager first."""


@orders.flow(PlaceOrder, version=1)
async def place_order(event: PlaceOrder, flow: Flow) -> OrderCompleted:
    """Carry out an order: create; mail, charge and take; pack and restock; ship and mail; mail.

    Money and books, taken or still to be taken, are given back when it does not come to its end.
    """
    created: OrderCreated = await flow.do(creation(event), timeout=PATIENCE)
    flow.undo(ReleaseStock(order_id=created.order_id))
    flow.undo(RefundPayment(order_id=created.order_id, customer_id=event.customer_id))
    try:
        return await _carried_out(event, created, flow)
    except (StepTimeout, CommandFailed) as error:
        raise await _given_up(event, created, flow, error) from None


async def _carried_out(event: PlaceOrder, created: OrderCreated, flow: Flow) -> OrderCompleted:
    _, paid, stock = await flow.all(
        mail(event, created, MailAbout.ORDER_RECEIVED, books=listed(event)),
        ApplyPayment(
            order_id=created.order_id, customer_id=event.customer_id, amount=created.total, card=event.card
        ),
        AdjustInventory(order_id=created.order_id, books=[line.books for line in event.lines]),
        timeout=PATIENCE,
    )
    if isinstance(paid, PaymentDenied):
        await flow.do(mail(event, created, MailAbout.PAYMENT_DENIED, reason=paid.reason), timeout=PATIENCE)
        raise refused(created, "payment denied", paid.reason)
    short = stock.short if isinstance(stock, InventoryBackordered) else []
    await _check_purchase(event, created, flow, short)
    told = mail(event, created, MailAbout.WHAT_HAPPENS_NEXT, receipt=paid.receipt, short=arrivals(short))
    return await sent(event, created, flow, short, told)


async def _check_purchase(
    event: PlaceOrder, created: OrderCreated, flow: Flow, short: Sequence[Books]
) -> None:
    """Raise Promote for an order of which very many copies are short; the customer is told."""
    copies = sum(books.quantity for books in short)
    if copies <= MANY_SHORT:
        return
    told = mail(event, created, MailAbout.APPROVAL_NEEDED, copies=f"{copies:,}")
    await flow.do(told, timeout=PATIENCE)
    raise Promote(COMPLEX, f"{copies:,} copies are short: a manager decides on buying more than {MANY_SHORT}")


async def _given_up(
    event: PlaceOrder, created: OrderCreated, flow: Flow, error: StepTimeout | CommandFailed
) -> Refused:
    """Mail the customer that something went wrong on our side, and return the refusal."""
    await flow.do(mail(event, created, MailAbout.ORDER_CANCELLED), timeout=PATIENCE)
    how = "was not done in time" if isinstance(error, StepTimeout) else "failed"
    return refused(created, f"{error.command} {how}", str(error))
