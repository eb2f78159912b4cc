"""Orders: from the customer's order to its end."""

from __future__ import annotations

from decimal import Decimal

from pydantic import Field

from hybrid import Command, Event
from processors.messages.values import (
    Address,
    Amount,
    BookList,
    Card,
    CustomerId,
    Email,
    OrderId,
    OrderLines,
    Text,
)


class PlaceOrder(Event, key="customer_id"):
    """A customer has placed an order: a fact to the shop, though its name is what the customer says.

    Its key is the customer: everything about a customer happens in one shard.
    """

    customer_id: CustomerId
    name: Text
    email: Email
    card: Card
    address: Address
    lines: OrderLines

    @property
    def total(self) -> Decimal:
        """What the order costs."""
        return sum((line.amount for line in self.lines), Decimal("0.00"))


class CreateOrder(Command, key="customer_id"):
    """Store an order and give it its id."""

    customer_id: CustomerId
    name: Text
    email: Email
    address: Address
    lines: OrderLines


class OrderCreated(Event, key="order_id"):
    """An order is stored."""

    order_id: OrderId
    customer_id: CustomerId
    total: Amount


class FulfillOrder(Command, key="order_id"):
    """Pick and pack an order; what is short comes to the packing desk from the warehouse."""

    order_id: OrderId
    lines: OrderLines
    short: BookList = Field([])


class OrderFulfilled(Event, key="order_id"):
    """An order is picked and packed into one parcel of this weight."""

    order_id: OrderId
    lines: OrderLines
    weight_grams: int


class OrderCompleted(Event, key="order_id"):
    """An order is paid and on its way."""

    order_id: OrderId
    customer_id: CustomerId
    total: Amount
    tracking: Text


class OrderRefused(Event, key="order_id"):
    """An order ends without a sale, for this reason. `detail` says more."""

    order_id: OrderId
    customer_id: CustomerId
    reason: Text
    detail: Text
