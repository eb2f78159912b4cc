"""Load: initiating events with known ids, sent until the server has stored them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from hybrid import Client, Event
from hybrid.errors import ServerUnavailable
from hybrid.streams.connection import cancelled
from tests.prove.shop import AddressChanged, PlaceOrder


@dataclass(frozen=True, slots=True)
class Order:
    """An order, and how it must end."""

    id: str
    declined: bool
    slow: bool

    @classmethod
    def number(cls, n: int) -> Order:
        return cls(f"o-{n:05}", declined=n % 10 == 3, slow=n % 7 == 2)

    @property
    def state(self) -> str:
        return "refused" if self.declined else "completed"

    @property
    def event(self) -> Event:
        return PlaceOrder(order_id=self.id, declined=self.declined, slow=self.slow)


class Load:
    """Sends orders, and now and then a simple event."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.orders: list[Order] = []
        self.addresses: list[str] = []
        self.refusals = 0
        """How often a send was refused, and tried again."""
        self._going = False
        self._task: asyncio.Task[None] | None = None

    async def send(self, count: int) -> None:
        """Send so many more orders; return when they are stored."""
        first = len(self.orders)
        self.orders += [Order.number(n) for n in range(first, first + count)]
        batch: list[tuple[Event, str | None]] = [(order.event, order.id) for order in self.orders[first:]]
        for n in range(first, first + count):
            if n % 5 == 0:
                self.addresses.append(f"a-{n:05}")
                batch.append((AddressChanged(customer=f"a-{n:05}"), f"a-{n:05}"))
        await self._stored(batch)

    async def send_all_again(self) -> None:
        """Send everything that was ever sent once more: what is known starts nothing."""
        await self._stored([(order.event, order.id) for order in self.orders])
        await self._stored([(AddressChanged(customer=id), id) for id in self.addresses])

    def begin(self, batch: int = 4, every: float = 0.1) -> None:
        """Send batch after batch from now on."""

        async def run() -> None:
            while self._going:
                await self.send(batch)
                await asyncio.sleep(every)

        self._going = True
        self._task = asyncio.create_task(run())

    async def end(self) -> None:
        """Send no more; everything is stored, as often as it was lost, before this returns."""
        self._going = False  # not cancelled: asyncio.wait_for, inside redis-py, may drop that on Python 3.11
        if task := self._task:
            self._task = None
            await task
            await self.send_all_again()

    async def abandon(self) -> None:
        """Send no more, whatever is stored: a test is over."""
        self._going = False
        if self._task:
            await cancelled([self._task])

    async def _stored(self, batch: list[tuple[Event, str | None]]) -> None:
        while batch:
            try:
                await self.client.send_many(batch)
                return
            except ServerUnavailable:
                self.refusals += 1
                await asyncio.sleep(0.1)
