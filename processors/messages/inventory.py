"""Inventory: the books on the shelf, and what readers think of them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hybrid import Command, Event
from processors.messages.values import BookList, CustomerId, Isbn, OrderId


class AdjustInventory(Command, key="order_id"):
    """Take an order's books from the shelf, as far as they are there."""

    order_id: OrderId
    books: BookList


class InventoryUpdated(Event, key="order_id"):
    """All books of an order have been taken from the shelf."""

    order_id: OrderId
    taken: BookList


class InventoryBackordered(Event, key="order_id"):
    """Not all books of an order were on the shelf: some are short, and have to be ordered."""

    order_id: OrderId
    taken: BookList
    short: BookList


class ReleaseStock(Command, key="order_id"):
    """Put an order's books back on the shelf; if none have been taken yet, see to it that none will be."""

    order_id: OrderId


class StockReleased(Event, key="order_id"):
    """An order's books are back on the shelf."""

    order_id: OrderId
    released: BookList


Stars = Annotated[int, Field(ge=1, le=5)]
"""A rating: 1 to 5."""


class ReviewRated(Event, key="customer_id"):
    """A customer has given a book its stars."""

    customer_id: CustomerId
    isbn: Isbn
    stars: Stars


class RecordRating(Command, key="customer_id"):
    """Record a customer's rating of a book; a newer one replaces the older."""

    customer_id: CustomerId
    isbn: Isbn
    stars: Stars


class RatingRecorded(Event, key="isbn"):
    """A rating is recorded: a book's ratings and their average are now these."""

    isbn: Isbn
    ratings: int
    average: float
