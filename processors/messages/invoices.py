"""Invoices: for companies, and for orders too large for a card."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hybrid import Command, Event
from processors.messages.values import Amount, CustomerId, OrderId, Text

Money = Annotated[Amount, Field(gt=0)]
"""An amount of money that changes hands: more than 0."""


class SendInvoice(Command, key="order_id"):
    """Make out an invoice for an order, once."""

    order_id: OrderId
    customer_id: CustomerId
    amount: Money
    purchase_order: Text | None = None


class InvoiceSent(Event, key="order_id"):
    """An invoice is made out; so much of it is open, 0 when it has been paid already."""

    order_id: OrderId
    customer_id: CustomerId
    number: Text
    amount: Money
    open: Amount


class InvoicePaid(Event, key="order_id"):
    """The bank tells that money for an order has come in: all of it, or a part."""

    order_id: OrderId
    amount: Money


class InvoiceSettled(Event, key="order_id"):
    """An invoice is paid in full."""

    order_id: OrderId
    customer_id: CustomerId
    amount: Money


class InvoiceShort(Event, key="order_id"):
    """A part of an invoice is paid; so much is still open."""

    order_id: OrderId
    customer_id: CustomerId
    received: Money
    open: Money


class CancelInvoice(Command, key="order_id"):
    """Cancel an order's invoice, and give back what was paid; nothing, when there is none."""

    order_id: OrderId
    customer_id: CustomerId


class InvoiceCancelled(Event, key="order_id"):
    """Nothing is to be paid for an order any more; what was paid is given back: so much, or 0."""

    order_id: OrderId
    customer_id: CustomerId
    amount: Amount


class MoneyReturned(Event, key="order_id"):
    """Money that came in for an invoice beyond what was open went back at once."""

    order_id: OrderId
    customer_id: CustomerId
    amount: Money
