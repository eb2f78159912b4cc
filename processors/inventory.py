"""Inventory: the books on the shelf, how many there are and what readers think of them.

What is on the shelf at first stands in books.json. A book that the shop has never had is short, as one
that is sold out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Engine, String, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from hybrid import Context, Processor, resource
from processors.database import Base
from processors.messages.inventory import (
    AdjustInventory,
    InventoryBackordered,
    InventoryUpdated,
    RatingRecorded,
    RecordRating,
    ReleaseStock,
    StockReleased,
)
from processors.messages.values import Books
from processors.messages.warehouse import StockReplenished

inventory = Processor("inventory")

CATALOGUE = Path(__file__).with_name("books.json")


class Stock(Base):
    """How many copies of a book are on the shelf, free to be taken."""

    __tablename__ = "stock"

    isbn: Mapped[str] = mapped_column(String(13), primary_key=True)
    title: Mapped[str] = mapped_column(String(200), default="")
    on_hand: Mapped[int]


class Reservation(Base):
    """What an order has taken of a book, and what it is short of; `arrived` counts up to that."""

    __tablename__ = "reservations"

    order_id: Mapped[str] = mapped_column(String(20), primary_key=True)
    isbn: Mapped[str] = mapped_column(String(13), primary_key=True)
    taken: Mapped[int]
    short: Mapped[int]
    arrived: Mapped[int] = mapped_column(default=0)


class Release(Base):
    """An order whose books went back to the shelf in this run of its flow, which takes no others: what was
    ordered first and comes last does nothing. A later run may take them again.
    """

    __tablename__ = "releases"

    order_id: Mapped[str] = mapped_column(String(20), primary_key=True)
    run: Mapped[int] = mapped_column(server_default="1")


class Rating(Base):
    """A customer's stars for a book."""

    __tablename__ = "ratings"

    customer_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    isbn: Mapped[str] = mapped_column(String(13), primary_key=True)
    stars: Mapped[int]


class Shelf(NamedTuple):
    """The shelf, filled: so many books of the catalogue stand there, sold out or not."""

    books: int


@resource
def shelf(engine: Engine) -> Shelf:
    """Fill the shelf of a new shop."""
    catalogue = json.loads(CATALOGUE.read_text(encoding="utf-8"))
    with Session(engine) as session:
        known = set(session.scalars(select(Stock.isbn)))
        books = [book for book in catalogue if book["isbn"] not in known]
        session.add_all(
            Stock(isbn=book["isbn"], title=book["title"], on_hand=book["stock"]) for book in books
        )
        try:
            session.commit()
        except IntegrityError:  # another process has filled it meanwhile
            session.rollback()
    return Shelf(len(catalogue))


@inventory.on(AdjustInventory)
def adjust_inventory(command: AdjustInventory, context: Context) -> InventoryUpdated | InventoryBackordered:
    """Take an order's books from the shelf, as far as they are there."""
    with context.transaction() as session:
        rows = _reserved(session, command.order_id) or _reserve(session, command, context.envelope.run)
        taken = _books((row.isbn, row.taken) for row in rows)
        short = _books((row.isbn, row.short) for row in rows)
        if short:
            return InventoryBackordered(order_id=command.order_id, taken=taken, short=short)
        return InventoryUpdated(order_id=command.order_id, taken=taken)


@inventory.on(ReleaseStock)
def release_stock(command: ReleaseStock, context: Context) -> StockReleased:
    """Put an order's books back on the shelf, with those that have come in for it meanwhile. This run of its
    flow takes none after this.
    """
    with context.transaction() as session:
        rows = _reserved(session, command.order_id)
        released = _books((row.isbn, row.taken + row.arrived) for row in rows)
        for row in rows:
            _stock(session, row.isbn).on_hand += row.taken + row.arrived
            session.delete(row)
        session.merge(Release(order_id=command.order_id, run=context.envelope.run))
        return StockReleased(order_id=command.order_id, released=released)


@inventory.on(StockReplenished)
def note_arrival(event: StockReplenished, context: Context) -> None:
    """Note that what an order was short of has come in: for the order, or, when that has released its books,
    for the shelf.
    """
    with context.transaction() as session:
        for books in event.books:
            row = session.get(Reservation, (event.order_id, books.isbn))
            if row is not None:
                row.arrived = min(row.short, row.arrived + books.quantity)
            elif session.get(Release, event.order_id) is not None:
                _stock(session, books.isbn).on_hand += books.quantity


@inventory.on(RecordRating)
def record_rating(command: RecordRating, context: Context) -> RatingRecorded:
    """Record a customer's stars for a book."""
    with context.transaction() as session:
        session.merge(Rating(customer_id=command.customer_id, isbn=command.isbn, stars=command.stars))
        session.flush()
        query = select(func.count(), func.avg(Rating.stars)).where(Rating.isbn == command.isbn)
        count, average = session.execute(query).one()
        return RatingRecorded(isbn=command.isbn, ratings=count, average=round(float(average), 2))


def _reserve(session: Session, command: AdjustInventory, run: int) -> list[Reservation]:
    """Take books from the shelf, in the order of their ISBNs: orders that cross do not block one another."""
    release = session.get(Release, command.order_id)
    released = release is not None and run <= release.run
    rows = []
    for books in sorted(command.books, key=lambda books: books.isbn):
        stock = _stock(session, books.isbn)
        taken = 0 if released else min(stock.on_hand, books.quantity)
        stock.on_hand -= taken
        short = books.quantity - taken
        rows.append(Reservation(order_id=command.order_id, isbn=books.isbn, taken=taken, short=short))
    session.add_all([] if released else rows)
    return rows


def _reserved(session: Session, order_id: str) -> list[Reservation]:
    query = select(Reservation).where(Reservation.order_id == order_id).order_by(Reservation.isbn)
    return list(session.scalars(query))


def _stock(session: Session, isbn: str) -> Stock:
    """Return a book's row, which nobody else changes until the transaction ends."""
    stock = session.get(Stock, isbn, with_for_update=True)
    if stock is None:
        stock = Stock(isbn=isbn, on_hand=0)
        session.add(stock)
    return stock


def _books(pairs: Iterable[tuple[str, int]]) -> list[Books]:
    return [Books(isbn=isbn, quantity=quantity) for isbn, quantity in pairs if quantity]
