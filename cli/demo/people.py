"""The people in the demo: a manager who is asked about large orders, the bank that tells what has been paid,
and a customer who cancels.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from hybrid import Client, Event
from processors.messages.invoices import InvoicePaid, SendInvoice
from processors.messages.orders import OrderCancelled

MANAGER = "the manager"


def deeds() -> dict[str, Any]:
    """Return what people do, by the id of the order: {"choice", "note", "pays", "cancels"}."""
    text = (files("cli") / "demo_data" / "people.json").read_text(encoding="utf-8")
    return json.loads(text)  # type: ignore[no-any-return]


def told_later(deeds: dict[str, Any]) -> int:
    """Return how many events people send, besides the orders."""
    return sum(len(deed["pays"]) + deed["cancels"] for deed in deeds.values())


class People:
    """Does what people do, each thing when it is its time."""

    def __init__(self, client: Client, deeds: dict[str, Any]) -> None:
        self._client = client
        self._deeds = deeds
        self._approved: dict[str, str] = {}
        """By the flow of an order that is approved its order id."""

    async def act(self) -> int:
        """Do what can be done now; return how many events were sent."""
        for task in await self._client.tasks():
            deed = self._deeds[task.flow]
            await self._client.answer(task.id, choice=deed["choice"], note=deed["note"], by=MANAGER)
            if deed["pays"] or deed["cancels"]:
                self._approved[task.flow] = task.about["order_id"]
        return sum([await self._answer_invoice(flow) for flow in list(self._approved)])

    async def _answer_invoice(self, flow: str) -> int:
        """Pay an order, or cancel it, when its invoice has come; return how many events were sent."""
        _, record = await self._client.record(flow)
        invoices = [number for number, step in record.steps.items() if step.name == SendInvoice.type_name]
        if not record.results.keys() & invoices:
            return 0
        order_id, deed = self._approved.pop(flow), self._deeds[flow]
        events: list[Event] = [InvoicePaid(order_id=order_id, amount=amount) for amount in deed["pays"]]
        if deed["cancels"]:
            events.append(OrderCancelled(order_id=order_id))
        for number, event in enumerate(events, 1):
            await self._client.send(event, id=f"{flow}-{number}")
        return len(events)
