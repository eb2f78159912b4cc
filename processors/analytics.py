"""Analytics: what sells, by book and day.

No mediator has heard of it: it listens to what the order fulfilment broadcasts.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from hybrid import Context, Processor
from processors.database import Base, Money
from processors.messages.orders import OrderFulfilled, OrderUnpacked

analytics = Processor("analytics")


class Sale(Base):
    """Copies of a book sold with an order, 0 when it was not sent after all; summed up by isbn and day they
    tell what sells.
    """

    __tablename__ = "sales"

    order_id: Mapped[str] = mapped_column(String(20), primary_key=True)
    isbn: Mapped[str] = mapped_column(String(13), primary_key=True, index=True)
    day: Mapped[date] = mapped_column(index=True)
    copies: Mapped[int]
    revenue: Mapped[Decimal] = mapped_column(Money)


@analytics.on(OrderFulfilled)
def count_sales(event: OrderFulfilled, context: Context) -> None:
    """Count what an order has sold."""
    day = datetime.fromtimestamp(context.envelope.time / 1000, UTC).date()
    with context.transaction() as session:
        for line in event.lines:
            sale = Sale(order_id=event.order_id, isbn=line.isbn, day=day, copies=line.quantity)
            sale.revenue = line.amount
            if session.get(Sale, (sale.order_id, sale.isbn)) is None:
                session.add(sale)


@analytics.on(OrderUnpacked)
def count_none(event: OrderUnpacked, context: Context) -> None:
    """Count nothing for an order that is not sent after all, also when this is heard first."""
    day = datetime.fromtimestamp(context.envelope.time / 1000, UTC).date()
    with context.transaction() as session:
        for line in event.lines:
            session.merge(
                Sale(order_id=event.order_id, isbn=line.isbn, day=day, copies=0, revenue=Decimal(0))
            )
