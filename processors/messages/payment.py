"""Payment: charging a card, and giving the money back."""

from __future__ import annotations

from hybrid import Command, Event
from processors.messages.values import Amount, Card, CustomerId, OrderId, Text


class ApplyPayment(Command, key="order_id"):
    """Charge a card for an order, once."""

    order_id: OrderId
    customer_id: CustomerId
    amount: Amount
    card: Card


class PaymentApplied(Event, key="order_id"):
    """A card has been charged."""

    order_id: OrderId
    customer_id: CustomerId
    amount: Amount
    receipt: Text


class PaymentDenied(Event, key="order_id"):
    """A card could not be charged; `reason` is what the bank says."""

    order_id: OrderId
    customer_id: CustomerId
    reason: Text


class RefundPayment(Command, key="order_id"):
    """Give back what an order has cost; if nothing has been charged yet, see to it that nothing will be."""

    order_id: OrderId
    customer_id: CustomerId


class PaymentRefunded(Event, key="order_id"):
    """What an order has cost is given back; 0 when nothing had been charged."""

    order_id: OrderId
    customer_id: CustomerId
    amount: Amount
