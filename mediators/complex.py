"""The mediator for complex events: orders that a manager approves, and that are paid by invoice."""

from __future__ import annotations

from datetime import timedelta

from hybrid import COMPLEX, Flow, Mediator, Refused, StepTimeout, days
from mediators.steps import arrivals, creation, listed, mail, refused, sent
from processors.messages.inventory import AdjustInventory, InventoryBackordered, ReleaseStock
from processors.messages.invoices import CancelInvoice, InvoiceSent, InvoiceSettled, SendInvoice
from processors.messages.mail import MailAbout
from processors.messages.orders import CloseOrder, OrderCancelled, OrderCompleted, OrderCreated, PlaceOrder

large_orders = Mediator("large-order", handles=COMPLEX)

APPROVE, REFUSE = "approve", "refuse"
NOT_APPROVED, NOT_PAID = "not approved", "not paid"
MANAGER, DIRECTOR = "manager", "director"
DECIDED_WITHIN, REMINDED_EVERY, ESCALATED_AFTER = days(3), days(1), days(2)
"""How long people may take to decide, how often they are reminded, and when the director is asked instead."""
PAID_WITHIN = days(30)
REMINDED_AFTER = days(10), days(20)
"""When the customer is reminded of an invoice that is not paid in full."""


@large_orders.flow(PlaceOrder, version=1, hears=InvoiceSettled | OrderCancelled)
async def place_order(event: PlaceOrder, flow: Flow) -> OrderCompleted:
    """Carry out a large order: create; mail and take; ask a manager; send the invoice and wait for the money;
    then as every order.

    The customer may cancel it at any time. Then, and whenever it does not come to its end, all is undone.
    """
    created: OrderCreated = await flow.do(creation(event))
    order_id = created.order_id
    flow.cancel_on(OrderCancelled, match={"order_id": order_id})
    flow.undo(CloseOrder(order_id=order_id))
    flow.undo(mail(event, created, MailAbout.ORDER_CLOSED))
    flow.undo(ReleaseStock(order_id=order_id))
    taking = flow.do(AdjustInventory(order_id=order_id, books=[line.books for line in event.lines]))
    if not created.known:
        await flow.do(mail(event, created, MailAbout.ORDER_RECEIVED, books=listed(event)))
    stock = await taking
    short = stock.short if isinstance(stock, InventoryBackordered) else []

    await _approve(event, created, flow)
    invoice = await _settle(event, created, flow)
    told = mail(event, created, MailAbout.INVOICE_SETTLED, number=invoice.number, short=arrivals(short))
    return await sent(event, created, flow, short, told)


async def _approve(event: PlaceOrder, created: OrderCreated, flow: Flow) -> None:
    """Ask a manager, and the director when the manager does not answer. Raises Refused."""
    total = f"{created.total:,}"
    asked = flow.ask(
        f"Approve order {created.order_id} over EUR {total} for {event.customer_id}?",
        choices=[APPROVE, REFUSE],
        for_=MANAGER,
        timeout=DECIDED_WITHIN,
        remind=REMINDED_EVERY,
        escalate=(ESCALATED_AFTER, DIRECTOR),
        about={
            "order_id": created.order_id,
            "customer": event.name,
            "total": total,
            "purchase_order": event.purchase_order or "",
            "because": flow.envelope.reason,
            "books": listed(event),
        },
    )
    try:
        decision = await asked
    except StepTimeout:
        raise await _refused(event, created, flow, NOT_APPROVED, "nobody decided on it in time") from None
    if decision.choice != APPROVE:
        raise await _refused(event, created, flow, NOT_APPROVED, decision.note or "a manager refused it")


async def _settle(event: PlaceOrder, created: OrderCreated, flow: Flow) -> InvoiceSent:
    """Send the invoice, and wait until it is paid in full; remind the customer meanwhile. Raises Refused."""
    ids = {"order_id": created.order_id, "customer_id": event.customer_id}
    flow.undo(CancelInvoice(**ids))
    settled = flow.wait(InvoiceSettled, match={"order_id": created.order_id}, timeout=PAID_WITHIN)
    invoice: InvoiceSent = await flow.do(
        SendInvoice(**ids, amount=created.total, purchase_order=event.purchase_order)
    )
    if not invoice.open:  # a run before this one had the money
        return invoice
    ours = f" Your purchase order: {event.purchase_order}." if event.purchase_order else ""
    facts = {"number": invoice.number, "purchase_order": ours, "days": str(PAID_WITHIN.days)}
    await flow.do(mail(event, created, MailAbout.INVOICE_SENT, **facts))
    try:
        waited = timedelta()
        for after in REMINDED_AFTER:
            first, _ = await flow.race(settled, flow.sleep(after - waited))
            if first == 0:
                return invoice
            waited, left = after, PAID_WITHIN - after
            facts = {"number": invoice.number, "days": str(left.days)}
            await flow.do(mail(event, created, MailAbout.INVOICE_REMINDER, **facts))
        await settled
    except StepTimeout:
        why = f"invoice {invoice.number} was not paid within {PAID_WITHIN.days} days"
        raise await _refused(event, created, flow, NOT_PAID, why) from None
    return invoice


async def _refused(event: PlaceOrder, created: OrderCreated, flow: Flow, reason: str, why: str) -> Refused:
    """Mail the customer why an order is not carried out, and return the refusal; the rest is undone."""
    await flow.do(mail(event, created, MailAbout.ORDER_REFUSED, reason=why))
    return refused(created, reason, why)
