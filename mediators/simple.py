"""The simple mediator: the bookstore's front door. Every initiating event enters here."""

from __future__ import annotations

from decimal import Decimal

from hybrid import COMPLEX, HARD, Command, Event, SimpleMediator
from hybrid.mediator.classes import Verdict
from processors.messages.customers import AddressChanged, UpdateAddress
from processors.messages.inventory import RecordRating, ReviewRated
from processors.messages.invoices import InvoicePaid
from processors.messages.orders import OrderCancelled, PlaceOrder

front = SimpleMediator("customer")

APPROVAL_OVER = Decimal(10_000)
"""Orders over this amount are for a manager to approve."""


@front.on(AddressChanged)
def address_changed(event: AddressChanged) -> list[Command]:
    """Note the new address."""
    return [UpdateAddress(customer_id=event.customer_id, address=event.address)]


@front.on(ReviewRated)
def review_rated(event: ReviewRated) -> list[Command]:
    """Record the rating."""
    return [RecordRating(customer_id=event.customer_id, isbn=event.isbn, stars=event.stars)]


@front.on(InvoicePaid | OrderCancelled)
def told_to_all(event: InvoicePaid | OrderCancelled) -> Event:
    """Broadcast what has happened outside: whoever waits for it hears it."""
    return event


@front.classify(PlaceOrder, HARD, COMPLEX)
def by_amount(event: PlaceOrder) -> Verdict:
    """Orders are complex when a manager approves them and an invoice is sent, else hard: the way on depends
    on the card and on the shelf.
    """
    if event.total > APPROVAL_OVER:
        return COMPLEX.because(f"{event.total:,} is over {APPROVAL_OVER:,}: a manager approves it")
    if event.purchase_order:
        return COMPLEX.because(f"purchase order {event.purchase_order}: a manager approves it")
    return HARD.because(
        f"{event.total:,} is not over {APPROVAL_OVER:,}; payment and stock decide how it goes on"
    )
