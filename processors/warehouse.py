"""Warehouse: gets from the suppliers, who have everything, what orders are short of."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import DateTime, String
from sqlalchemy.orm import Mapped, mapped_column

from hybrid import Context, Processor
from processors.database import Base
from processors.messages.warehouse import OrderStock, StockReplenished

warehouse = Processor("warehouse")


class Purchase(Base):
    """Copies of a book bought from a supplier for an order."""

    __tablename__ = "purchases"

    order_id: Mapped[str] = mapped_column(String(20), primary_key=True)
    isbn: Mapped[str] = mapped_column(String(13), primary_key=True)
    quantity: Mapped[int]
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=lambda: datetime.now(UTC))


@warehouse.on(OrderStock)
def order_stock(command: OrderStock, context: Context) -> StockReplenished | None:
    """Buy what an order is short of, once. Short of nothing, there is nothing to do nor to tell."""
    if not command.short:
        return None
    with context.transaction() as session:
        for books in command.short:
            if session.get(Purchase, (command.order_id, books.isbn)) is None:
                session.add(Purchase(order_id=command.order_id, isbn=books.isbn, quantity=books.quantity))
        return StockReplenished(order_id=command.order_id, books=command.short)
