"""The warehouse: what runs short is ordered from the suppliers."""

from __future__ import annotations

from pydantic import Field

from hybrid import Command, Event
from processors.messages.values import BookList, OrderId


class OrderStock(Command, key="order_id"):
    """Get from the suppliers what an order is short of; nothing, when it is short of nothing."""

    order_id: OrderId
    short: BookList = Field([])


class StockReplenished(Event, key="order_id"):
    """Books that an order was short of have come in."""

    order_id: OrderId
    books: BookList
