"""Shipping: parcels on their way."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hybrid import Command, Event
from processors.messages.values import Address, OrderId, Text


class ShipOrder(Command, key="order_id"):
    """Give a parcel to a carrier."""

    order_id: OrderId
    address: Address
    weight_grams: Annotated[int, Field(ge=1)]


class RecallParcel(Command, key="order_id"):
    """Have a parcel back from its carrier; nothing, when no carrier has it."""

    order_id: OrderId


class ParcelRecalled(Event, key="order_id"):
    """No carrier has an order's parcel any more."""

    order_id: OrderId


class OrderShipped(Event, key="order_id"):
    """A carrier has the parcel."""

    order_id: OrderId
    carrier: Text
    tracking: Text
    days: Annotated[int, Field(ge=1, description="days until it is there")]
