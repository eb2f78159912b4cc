"""Orders: from the customer's order to its end."""

from __future__ import annotations

from decimal import Decimal

from pydantic import Field, model_validator

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

    It is paid by card, or, by a company, against its purchase order: one of the two is there. Its key is the
    customer: everything about a customer happens in one shard.
    """

    customer_id: CustomerId
    name: Text
    email: Email
    card: Card | None = None
    purchase_order: Text | None = None
    address: Address
    lines: OrderLines

    @model_validator(mode="after")
    def _payable(self) -> PlaceOrder:
        if self.card is None and self.purchase_order is None:
            raise ValueError("an order has a card or a purchase_order: without either nobody pays for it")
        return self

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
    """An order is stored; `known` says that it had been before, by an earlier run of its flow."""

    order_id: OrderId
    customer_id: CustomerId
    total: Amount
    known: bool = False


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


class UnpackOrder(Command, key="order_id"):
    """Unpack an order that is not to be sent; nothing, when it is not packed."""

    order_id: OrderId
    lines: OrderLines


class OrderUnpacked(Event, key="order_id"):
    """An order is not packed any more: its books go back."""

    order_id: OrderId
    lines: OrderLines


class OrderCancelled(Event, key="order_id"):
    """A customer does not want an order any more: a fact to the shop, whatever becomes of the order."""

    order_id: OrderId
    reason: Text = "the customer has changed their mind"


class CloseOrder(Command, key="order_id"):
    """Write into the register that an order is cancelled."""

    order_id: OrderId


class OrderClosed(Event, key="order_id"):
    """An order that was cancelled is closed."""

    order_id: OrderId
    customer_id: CustomerId


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
