"""Customers: where they live."""

from __future__ import annotations

from hybrid import Command, Event
from processors.messages.values import Address, CustomerId


class AddressChanged(Event, key="customer_id"):
    """A customer has moved."""

    customer_id: CustomerId
    address: Address


class UpdateAddress(Command, key="customer_id"):
    """Note a customer's new address."""

    customer_id: CustomerId
    address: Address


class AddressUpdated(Event, key="customer_id"):
    """A customer's new address is noted; orders under way still go where they were ordered to."""

    customer_id: CustomerId
    city: str
    country: str
