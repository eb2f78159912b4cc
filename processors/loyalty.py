"""Loyalty: a point for each euro that a customer has paid by card.

No mediator has heard of it: it listens to what the payment broadcasts.
"""

from __future__ import annotations

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from hybrid import Context, Processor
from processors.database import Base
from processors.messages.loyalty import PointsAdded
from processors.messages.payment import PaymentApplied, PaymentRefunded

loyalty = Processor("loyalty")

PAID, REFUNDED = "paid", "refunded"


class Points(Base):
    """Points for a payment, or, below 0, for one that was given back. In any order their sum is right."""

    __tablename__ = "points"

    order_id: Mapped[str] = mapped_column(String(20), primary_key=True)
    because: Mapped[str] = mapped_column(String(10), primary_key=True)
    customer_id: Mapped[str] = mapped_column(String(40), index=True)
    points: Mapped[int]


@loyalty.on(PaymentApplied | PaymentRefunded)
def add_points(event: PaymentApplied | PaymentRefunded, context: Context) -> PointsAdded | None:
    """Add a point for each whole euro, or take them back."""
    paid = isinstance(event, PaymentApplied)
    points = int(event.amount) if paid else -int(event.amount)
    if not points:
        return None
    with context.transaction() as session:
        row = Points(order_id=event.order_id, customer_id=event.customer_id, points=points)
        row.because = PAID if paid else REFUNDED
        session.merge(row)
        return PointsAdded(customer_id=event.customer_id, order_id=event.order_id, points=points)
