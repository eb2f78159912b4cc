"""What handlers need (a database, a client for a bank) is opened at the start and closed at the end."""

import asyncio
from collections.abc import Iterator

from hybrid import Event, Processor, resource


class BookSold(Event):
    title: str


class Shelf(list):
    """Stands for a database."""


async def test_a_handler_asks_for_a_resource_by_its_type(make_app):
    told = []
    sold = asyncio.Event()
    sales = Processor("sales")

    @resource
    def shelf() -> Iterator[Shelf]:
        told.append("opened")
        yield Shelf(["Emma", "Persuasion"])
        told.append("closed")

    @sales.on(BookSold)
    async def take(event: BookSold, shelf: Shelf):
        shelf.remove(event.title)
        told.append(f"left: {', '.join(shelf)}")
        sold.set()

    async with make_app(sales, resources=[shelf]).running() as client:
        await client.publish(BookSold(title="Emma"))
        await sold.wait()
    assert told == ["opened", "left: Persuasion", "closed"]
