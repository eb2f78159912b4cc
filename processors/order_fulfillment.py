"""Order fulfilment: picks and packs, and unpacks what is not to be sent."""

from __future__ import annotations

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from hybrid import Context, Processor
from processors.database import Base
from processors.messages.orders import FulfillOrder, OrderFulfilled, OrderUnpacked, UnpackOrder

order_fulfillment = Processor("order-fulfillment")

BOOK_GRAMS, BOX_GRAMS = 380, 120


class Parcel(Base):
    """An order, packed. `awaited` copies of its `books` come to the packing desk from the warehouse."""

    __tablename__ = "parcels"

    order_id: Mapped[str] = mapped_column(String(20), primary_key=True)
    books: Mapped[int]
    awaited: Mapped[int]
    weight_grams: Mapped[int]


@order_fulfillment.on(FulfillOrder)
def fulfill_order(command: FulfillOrder, context: Context) -> OrderFulfilled:
    """Pick and pack an order, once."""
    books = sum(line.quantity for line in command.lines)
    weight = BOX_GRAMS + BOOK_GRAMS * books
    with context.transaction() as session:
        if session.get(Parcel, command.order_id) is None:
            awaited = sum(books.quantity for books in command.short)
            parcel = Parcel(order_id=command.order_id, books=books, awaited=awaited, weight_grams=weight)
            session.add(parcel)
        return OrderFulfilled(order_id=command.order_id, lines=command.lines, weight_grams=weight)


@order_fulfillment.on(UnpackOrder)
def unpack_order(command: UnpackOrder, context: Context) -> OrderUnpacked | None:
    """Unpack an order, if it is packed."""
    with context.transaction() as session:
        parcel = session.get(Parcel, command.order_id)
        if parcel is None:
            return None
        session.delete(parcel)
        return OrderUnpacked(order_id=command.order_id, lines=command.lines)
