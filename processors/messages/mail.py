"""Mail to customers."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from hybrid import Command, Event
from processors.messages.values import Email, OrderId, Text


class MailAbout(StrEnum):
    """What a mail tells the customer."""

    ORDER_RECEIVED = "order-received"
    PAYMENT_DENIED = "payment-denied"
    WHAT_HAPPENS_NEXT = "what-happens-next"
    ORDER_SHIPPED = "order-shipped"
    ORDER_CANCELLED = "order-cancelled"
    APPROVAL_NEEDED = "approval-needed"
    INVOICE_SENT = "invoice-sent"
    INVOICE_REMINDER = "invoice-reminder"
    INVOICE_SETTLED = "invoice-settled"
    ORDER_REFUSED = "order-refused"
    ORDER_CLOSED = "order-closed"


class EmailCustomer(Command, key="order_id"):
    """Mail a customer. `facts` are what the text mentions besides the order and the name."""

    order_id: OrderId
    to: Email
    name: Text
    about: MailAbout
    facts: dict[str, Annotated[str, Field(max_length=2000)]] = Field({})


class EmailSent(Event, key="order_id"):
    """A customer has been mailed."""

    order_id: OrderId
    about: MailAbout
