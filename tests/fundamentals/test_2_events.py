"""The broker topology: whoever wants to know about an event listens to it. The sender knows nobody."""

import asyncio

from hybrid import Context, Event, Processor


class BookReviewed(Event):
    book: str
    stars: int


class PointsAdded(Event):
    points: int


async def test_every_processor_that_listens_gets_the_event(make_app):
    heard = asyncio.Queue()
    catalog, loyalty = Processor("catalog"), Processor("loyalty")

    @catalog.on(BookReviewed)
    async def show(event: BookReviewed):
        heard.put_nowait(f"catalog: {event.stars} stars")

    @loyalty.on(BookReviewed)
    async def thank(event: BookReviewed):
        heard.put_nowait("loyalty: thanks")

    async with make_app(catalog, loyalty).running() as client:
        await client.publish(BookReviewed(book="Emma", stars=5))
        assert {await heard.get(), await heard.get()} == {"catalog: 5 stars", "loyalty: thanks"}


async def test_what_a_handler_returns_is_broadcast(make_app):
    heard = asyncio.Queue()
    loyalty, mail = Processor("loyalty"), Processor("mail")

    @loyalty.on(BookReviewed)
    async def add_points(event: BookReviewed) -> PointsAdded:
        return PointsAdded(points=event.stars * 10)

    @mail.on(PointsAdded)
    async def tell(event: PointsAdded):
        heard.put_nowait(event.points)

    async with make_app(loyalty, mail).running() as client:
        await client.publish(BookReviewed(book="Emma", stars=5))
        assert await heard.get() == 50


async def test_a_handler_may_broadcast_more_through_its_context(make_app):
    heard = asyncio.Queue()
    loyalty, mail = Processor("loyalty"), Processor("mail")

    @loyalty.on(BookReviewed)
    async def add_points(event: BookReviewed, context: Context):
        for points in (1, 2, 3):
            context.publish(PointsAdded(points=points))

    @mail.on(PointsAdded, concurrency=1)
    async def tell(event: PointsAdded):
        heard.put_nowait(event.points)

    async with make_app(loyalty, mail).running() as client:
        await client.publish(BookReviewed(book="Emma", stars=5))
        assert [await heard.get() for _ in range(3)] == [1, 2, 3]


async def test_two_workers_share_the_work(make_app):
    done = asyncio.Queue()
    catalog = Processor("catalog")

    @catalog.on(BookReviewed)
    async def show(event: BookReviewed):
        done.put_nowait(event.book)

    app = make_app(catalog)
    async with app.running() as client, app.running():
        for number in range(100):
            await client.publish(BookReviewed(book=f"book {number}", stars=5))
        books = [await done.get() for _ in range(100)]
    assert len(set(books)) == 100
    assert done.empty()
