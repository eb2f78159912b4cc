"""Order placement: takes orders, gives them their ids, and knows the customers.

It listens to how orders end, so that the register of orders tells what became of each.
"""

from __future__ import annotations

from base64 import b32encode
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import blake2b
from typing import Any

from sqlalchemy import DateTime, ForeignKey, String
from sqlalchemy.orm import Mapped, Session, mapped_column

from hybrid import Context, Processor
from processors.database import Base, Money
from processors.messages.customers import AddressUpdated, UpdateAddress
from processors.messages.orders import (
    CloseOrder,
    CreateOrder,
    OrderClosed,
    OrderCompleted,
    OrderCreated,
    OrderRefused,
)
from processors.messages.values import Address

order_placement = Processor("order-placement")

PLACED, COMPLETED, REFUSED, CANCELLED = "placed", "completed", "refused", "cancelled"


class Customer(Base):
    """A customer. One who has moved before ordering anything has no name yet."""

    __tablename__ = "customers"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str | None] = mapped_column(String(200))
    email: Mapped[str | None] = mapped_column(String(254))
    street: Mapped[str] = mapped_column(String(200))
    postcode: Mapped[str] = mapped_column(String(12))
    city: Mapped[str] = mapped_column(String(200))
    country: Mapped[str] = mapped_column(String(2))


class Order(Base):
    """An order and what became of it: placed, completed, cancelled, or refused for a reason."""

    __tablename__ = "orders"

    id: Mapped[str] = mapped_column(String(20), primary_key=True)
    customer_id: Mapped[str] = mapped_column(String(40), index=True)
    total: Mapped[Decimal] = mapped_column(Money)
    address: Mapped[str] = mapped_column(String(500))
    state: Mapped[str] = mapped_column(String(10), default=PLACED)
    reason: Mapped[str | None] = mapped_column(String(200))
    placed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class Line(Base):
    """A line of an order."""

    __tablename__ = "order_lines"

    order_id: Mapped[str] = mapped_column(ForeignKey("orders.id"), primary_key=True)
    isbn: Mapped[str] = mapped_column(String(13), primary_key=True)
    quantity: Mapped[int]
    price: Mapped[Decimal] = mapped_column(Money)


@order_placement.on(CreateOrder)
def create_order(command: CreateOrder, context: Context) -> OrderCreated:
    """Store an order. Its id comes from the initiating event's, so that one event makes one order."""
    envelope = context.envelope
    order_id = order_id_for(envelope.correlation or envelope.id)
    total = sum((line.amount for line in command.lines), Decimal("0.00"))
    with context.transaction() as session:
        known = session.get(Order, order_id) is not None
        if not known:
            placed_at = datetime.fromtimestamp(envelope.time / 1000, UTC)
            order = Order(id=order_id, customer_id=command.customer_id, total=total, placed_at=placed_at)
            order.address = str(command.address)
            session.add(order)
            session.flush()
            session.add_all(
                Line(order_id=order_id, isbn=line.isbn, quantity=line.quantity, price=line.price)
                for line in command.lines
            )
            customer = _known(session, command.customer_id, command.address)
            customer.name, customer.email = command.name, command.email
        return OrderCreated(order_id=order_id, customer_id=command.customer_id, total=total, known=known)


@order_placement.on(UpdateAddress)
def update_address(command: UpdateAddress, context: Context) -> AddressUpdated:
    """Note a customer's new address."""
    address = command.address
    with context.transaction() as session:
        customer = _known(session, command.customer_id, address)
        for field, value in address.model_dump().items():
            setattr(customer, field, value)
        return AddressUpdated(customer_id=command.customer_id, city=address.city, country=address.country)


@order_placement.on(OrderCompleted | OrderRefused)
def close_order(event: OrderCompleted | OrderRefused, context: Context) -> None:
    """Write into the register how an order ended."""
    with context.transaction() as session:
        order = session.get_one(Order, event.order_id)
        order.state = COMPLETED if isinstance(event, OrderCompleted) else REFUSED
        order.reason = None if isinstance(event, OrderCompleted) else event.reason


@order_placement.on(CloseOrder)
def cancel_order(command: CloseOrder, context: Context) -> OrderClosed:
    """Write into the register that an order is cancelled."""
    with context.transaction() as session:
        order = session.get_one(Order, command.order_id)
        order.state, order.reason = CANCELLED, None
        return OrderClosed(order_id=order.id, customer_id=order.customer_id)


def order_id_for(event_id: str) -> str:
    """Return the id of the order that an initiating event makes, as B-7QKM-2XHT-AAB4 (60 bits)."""
    letters = b32encode(blake2b(event_id.encode(), digest_size=10).digest()).decode()
    return "-".join(["B", letters[:4], letters[4:8], letters[8:12]])


def _known(session: Session, customer_id: str, address: Address) -> Customer:
    """Return a customer; a new one lives at this address, one who has moved since stays there."""
    customer = session.get(Customer, customer_id)
    if customer is None:
        fields: dict[str, Any] = address.model_dump()
        customer = Customer(id=customer_id, **fields)
        session.add(customer)
    return customer
