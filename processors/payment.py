"""Payment: charges cards, each order once.

There is no bank behind it: what a card does is fixed by its number, by the convention of Stripe's test cards
(docs.stripe.com/testing), for which other numbers with a valid check digit are approved too:

    4242 4242 4242 4242    approved
    4000 0000 0000 0002    declined: card declined
    4000 0000 0000 9995    declined: insufficient funds
    4000 0000 0000 9987    declined: lost card
    4000 0000 0000 0069    declined: expired card
    4000 0000 0000 0119    a processing error: the first two attempts fail, the third is approved
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from hashlib import blake2b

from sqlalchemy import DateTime, String
from sqlalchemy.orm import Mapped, mapped_column

from hybrid import Context, Processor
from processors.database import Base, Money
from processors.messages.payment import (
    ApplyPayment,
    PaymentApplied,
    PaymentDenied,
    PaymentRefunded,
    RefundPayment,
)

payment = Processor("payment")

CHARGED, DENIED, REFUNDED = "charged", "denied", "refunded"
DECLINED = {
    "4000000000000002": "card declined",
    "4000000000009995": "insufficient funds",
    "4000000000009987": "lost card",
    "4000000000000069": "expired card",
}
FLAKY = "4000000000000119"
FLAKY_ATTEMPTS = 2


class ProcessingError(Exception):
    """The bank did not answer. It may the next time."""


class Payment(Base):
    """What was charged for an order: one row, so one charge. Of the card only four digits are kept.

    `run` is the run of the order's flow that this is of: a later one may charge what is not charged.
    """

    __tablename__ = "payments"

    order_id: Mapped[str] = mapped_column(String(20), primary_key=True)
    customer_id: Mapped[str] = mapped_column(String(40), index=True)
    state: Mapped[str] = mapped_column(String(10))
    amount: Mapped[Decimal] = mapped_column(Money)
    card: Mapped[str] = mapped_column(String(4), default="")
    receipt: Mapped[str | None] = mapped_column(String(20), unique=True)
    reason: Mapped[str | None] = mapped_column(String(200))
    run: Mapped[int] = mapped_column(server_default="1")
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=lambda: datetime.now(UTC))


@payment.on(ApplyPayment)
def apply_payment(command: ApplyPayment, context: Context) -> PaymentApplied | PaymentDenied:
    """Charge the card, unless the order is paid already or its payment was taken back before it came."""
    ids = {"order_id": command.order_id, "customer_id": command.customer_id}
    with context.transaction() as session:
        row = session.get(Payment, command.order_id, with_for_update=True)
        if row is None or (row.state != CHARGED and row.run < context.envelope.run):
            row = row or Payment(**ids, amount=command.amount)
            row.run = context.envelope.run
            session.add(row)
            _charge(row, command.card.get_secret_value(), context.attempt)
        if row.state == CHARGED:
            return PaymentApplied(**ids, amount=row.amount, receipt=row.receipt)
        return PaymentDenied(**ids, reason=row.reason or "cancelled")


@payment.on(RefundPayment)
def refund_payment(command: RefundPayment, context: Context) -> PaymentRefunded:
    """Give back what was charged. A charge that comes after this is denied."""
    ids = {"order_id": command.order_id, "customer_id": command.customer_id}
    with context.transaction() as session:
        row = session.get(Payment, command.order_id, with_for_update=True)
        if row is None:
            row = Payment(**ids, amount=Decimal(0), state=DENIED, reason="cancelled")
            session.add(row)
        row.run = context.envelope.run
        given_back = Decimal(0) if row.state == DENIED else row.amount
        row.state = DENIED if row.state == DENIED else REFUNDED
        return PaymentRefunded(**ids, amount=given_back)


def _charge(row: Payment, card: str, attempt: int) -> None:
    """Ask the bank. A real one would be given the order's id and run as the idempotency key of the charge."""
    if card == FLAKY and attempt <= FLAKY_ATTEMPTS:
        raise ProcessingError(f"the bank did not answer about the card ending with {card[-4:]}")
    row.card = card[-4:]
    row.reason = DECLINED.get(card)
    row.state = DENIED if row.reason else CHARGED
    if row.state == CHARGED:
        of = row.order_id if row.run <= 1 else f"{row.order_id}/{row.run}"
        row.receipt = "R-" + blake2b(of.encode(), digest_size=6).hexdigest()
