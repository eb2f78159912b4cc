"""Invoicing: makes out invoices, and keeps account of what is paid on each.

Money may come in parts, too much, or too late; it is on the books at once, whoever waits for it. What goes
beyond an invoice is given back.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from hashlib import blake2b

from sqlalchemy import DateTime, String
from sqlalchemy.orm import Mapped, mapped_column

from hybrid import Context, Processor
from processors.database import Base, Money
from processors.messages.invoices import (
    CancelInvoice,
    InvoiceCancelled,
    InvoicePaid,
    InvoiceSent,
    InvoiceSettled,
    InvoiceShort,
    MoneyReturned,
    SendInvoice,
)

invoicing = Processor("invoicing")

SENT, SETTLED, CANCELLED = "sent", "settled", "cancelled"


class NoInvoice(Exception):
    """Money for an order that has no invoice: somebody has to find out whose it is."""


class Invoice(Base):
    """What is to be paid for an order, and what has come in and was kept."""

    __tablename__ = "invoices"

    order_id: Mapped[str] = mapped_column(String(20), primary_key=True)
    customer_id: Mapped[str] = mapped_column(String(40), index=True)
    number: Mapped[str] = mapped_column(String(20), unique=True)
    state: Mapped[str] = mapped_column(String(10))
    amount: Mapped[Decimal] = mapped_column(Money)
    received: Mapped[Decimal] = mapped_column(Money, default=Decimal(0))
    purchase_order: Mapped[str | None] = mapped_column(String(200))
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=lambda: datetime.now(UTC))


@invoicing.on(SendInvoice)
def send_invoice(command: SendInvoice, context: Context) -> InvoiceSent:
    """Make out an order's invoice, once; one that was cancelled is good again."""
    ids = {"order_id": command.order_id, "customer_id": command.customer_id}
    with context.transaction() as session:
        row = session.get(Invoice, command.order_id, with_for_update=True)
        if row is None:
            number = "I-" + blake2b(command.order_id.encode(), digest_size=6).hexdigest()
            row = Invoice(**ids, number=number, state=SENT, amount=command.amount, received=Decimal(0))
            row.purchase_order = command.purchase_order
            session.add(row)
        elif row.state == CANCELLED:
            row.state = SENT
        return InvoiceSent(**ids, number=row.number, amount=row.amount, open=row.amount - row.received)


@invoicing.on(InvoicePaid)
def take_payment(event: InvoicePaid, context: Context) -> InvoiceSettled | InvoiceShort | None:
    """Put what came in on the books, and give back what is beyond the invoice.

    Raises NoInvoice when the order has none: the money waits at the desk, for a person.
    """
    with context.transaction() as session:
        row = session.get(Invoice, event.order_id, with_for_update=True)
        if row is None:
            raise NoInvoice(f"EUR {event.amount:,} came in for order {event.order_id}, which has no invoice")
        ids = {"order_id": row.order_id, "customer_id": row.customer_id}
        kept = min(event.amount, row.amount - row.received) if row.state == SENT else Decimal(0)
        if kept < event.amount:
            context.publish(MoneyReturned(**ids, amount=event.amount - kept))
        if not kept:
            return None
        row.received += kept
        if row.received < row.amount:
            return InvoiceShort(**ids, received=row.received, open=row.amount - row.received)
        row.state = SETTLED
        return InvoiceSettled(**ids, amount=row.amount)


@invoicing.on(CancelInvoice)
def cancel_invoice(command: CancelInvoice, context: Context) -> InvoiceCancelled:
    """Cancel an order's invoice and give back what was paid, once."""
    ids = {"order_id": command.order_id, "customer_id": command.customer_id}
    with context.transaction() as session:
        row = session.get(Invoice, command.order_id, with_for_update=True)
        given_back = row.received if row else Decimal(0)
        if row:
            row.state, row.received = CANCELLED, Decimal(0)
        return InvoiceCancelled(**ids, amount=given_back)
