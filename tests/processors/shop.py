"""The bookstore as tests run it: its application, and orders to place."""

from __future__ import annotations

from typing import Any

from hybrid import App, Settings
from hybrid.discovery import load
from processors.messages.orders import PlaceOrder

PRIDE, MOBY = "9780141401270", "9780199415007"
"""Books of which there are hundreds."""
SOLD_OUT, FIVE_LEFT = "9780199744527", "9781853771989"

APPROVED, DECLINED, POOR, FLAKY = (
    "4242424242424242",
    "4000000000000002",
    "4000000000009995",
    "4000000000000119",
)


def bookstore(name: str, settings: Settings) -> App:
    """Return the bookstore under this name."""
    found = load("bookstore")
    return App(name, found.components, resources=found.resources, messages=found.messages, settings=settings)


def order(**changes: Any) -> PlaceOrder:
    """Return an order for two books on the shelf, by a card that is approved, with these changes."""
    data: dict[str, Any] = {
        "customer_id": "c-1",
        "name": "Ada Lovelace",
        "email": "ada@example.org",
        "card": APPROVED,
        "address": "12 Rose Lane, 20095 Hamburg, DE",
        "lines": f"{PRIDE}*2@9.99, {MOBY}*1@14.50",
    }
    return PlaceOrder.model_validate(data | changes)
