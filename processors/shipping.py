"""Shipping: picks a carrier and gives it the parcel."""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from hybrid import Context, Processor
from processors.database import Base
from processors.messages.shipping import OrderShipped, ParcelRecalled, RecallParcel, ShipOrder

shipping = Processor("shipping")

HOME = "DE"
"""The country that the shop ships from."""


class Carrier(NamedTuple):
    """A carrier: its name, its letters on tracking numbers, and how many days it takes."""

    name: str
    letters: str
    days: int


LETTER_POST = Carrier("Letter Post", "LP", 3)
PARCEL_POST = Carrier("Parcel Post", "PP", 2)
WORLD_PARCEL = Carrier("World Parcel", "WP", 8)
FREIGHT = Carrier("Freight & Sons", "FS", 10)


class Shipment(Base):
    """A parcel that a carrier has."""

    __tablename__ = "shipments"

    order_id: Mapped[str] = mapped_column(String(20), primary_key=True)
    carrier: Mapped[str] = mapped_column(String(40))
    tracking: Mapped[str] = mapped_column(String(20), unique=True)
    address: Mapped[str] = mapped_column(String(500))


@shipping.on(ShipOrder)
def ship_order(command: ShipOrder, context: Context) -> OrderShipped:
    """Give a parcel to the carrier that suits it, once."""
    carrier = carrier_for(command.weight_grams, command.address.country)
    tracking = carrier.letters + blake2b(command.order_id.encode(), digest_size=5).hexdigest().upper()
    with context.transaction() as session:
        if session.get(Shipment, command.order_id) is None:
            shipment = Shipment(order_id=command.order_id, carrier=carrier.name, tracking=tracking)
            shipment.address = str(command.address)
            session.add(shipment)
        return OrderShipped(
            order_id=command.order_id, carrier=carrier.name, tracking=tracking, days=carrier.days
        )


@shipping.on(RecallParcel)
def recall_parcel(command: RecallParcel, context: Context) -> ParcelRecalled:
    """Have a parcel back from its carrier, if it has one."""
    with context.transaction() as session:
        if shipment := session.get(Shipment, command.order_id):
            session.delete(shipment)
        return ParcelRecalled(order_id=command.order_id)


def carrier_for(weight_grams: int, country: str) -> Carrier:
    """Return the carrier that suits a parcel: up to 1 kg by letter, over 30 kg as freight."""
    if weight_grams > 30_000:
        return FREIGHT
    if country != HOME:
        return WORLD_PARCEL
    return LETTER_POST if weight_grams <= 1000 else PARCEL_POST
