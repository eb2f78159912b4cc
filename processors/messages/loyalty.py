"""Loyalty: points for what customers have paid."""

from __future__ import annotations

from hybrid import Event
from processors.messages.values import CustomerId, OrderId


class PointsAdded(Event, key="customer_id"):
    """A customer has got points for an order; fewer than 0 when the money was given back."""

    customer_id: CustomerId
    order_id: OrderId
    points: int
