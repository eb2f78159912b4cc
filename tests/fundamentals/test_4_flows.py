"""A mediator knows the steps of a flow. The steps are plain Python."""

import pytest

from hybrid import HARD, Command, Event, Flow, Mediator, Processor, Refused, SimpleMediator, StepTimeout


class OrderPlaced(Event):
    books: int


class ReserveStock(Command):
    books: int


class StockReserved(Event):
    books: int


class StockShort(Event):
    books: int


class SendMail(Command):
    text: str


class OrderCompleted(Event):
    mails: int


class OrderRefused(Event):
    reason: str


front = SimpleMediator("front")


@front.classify(OrderPlaced, HARD)
def orders_have_steps(event: OrderPlaced):
    return HARD.because("an order has several steps")


@pytest.fixture
def stock():
    """A processor with ten books, which writes no mails to anybody."""
    stock = Processor("stock")

    @stock.on(ReserveStock)
    async def reserve(command: ReserveStock) -> StockReserved | StockShort:
        return (StockReserved if command.books <= 10 else StockShort)(books=command.books)

    @stock.on(SendMail)
    async def mail(command: SendMail):
        return None

    return stock


async def outcome_of(app, event):
    async with app.running() as client:
        receipt = await client.send(event)
        return await client.wait(receipt.id)


async def test_a_step_gives_the_reply_of_its_processor(make_app, stock):
    orders = Mediator("orders", handles=HARD)

    @orders.flow(OrderPlaced)
    async def order(event: OrderPlaced, flow: Flow) -> OrderCompleted:
        reserved = await flow.do(ReserveStock(books=event.books))
        assert reserved == StockReserved(books=event.books)
        return OrderCompleted(mails=0)

    outcome = await outcome_of(make_app(front, orders, stock), OrderPlaced(books=3))
    assert outcome.state == "completed"
    assert outcome.event == OrderCompleted(mails=0)


async def test_steps_run_side_by_side(make_app, stock):
    orders = Mediator("orders", handles=HARD)

    @orders.flow(OrderPlaced)
    async def order(event: OrderPlaced, flow: Flow) -> OrderCompleted:
        replies = await flow.all(*(SendMail(text=f"book {n}") for n in range(event.books)))
        return OrderCompleted(mails=len(replies))

    outcome = await outcome_of(make_app(front, orders, stock), OrderPlaced(books=5))
    assert outcome.event == OrderCompleted(mails=5)


async def test_a_refusal_is_an_outcome_and_no_error(make_app, stock):
    orders = Mediator("orders", handles=HARD)

    @orders.flow(OrderPlaced)
    async def order(event: OrderPlaced, flow: Flow) -> OrderCompleted:
        if isinstance(await flow.do(ReserveStock(books=event.books)), StockShort):
            raise Refused(OrderRefused(reason="too little stock"))
        return OrderCompleted(mails=0)

    outcome = await outcome_of(make_app(front, orders, stock), OrderPlaced(books=11))
    assert outcome.state == "refused"
    assert outcome.event == OrderRefused(reason="too little stock")


async def test_nobody_waits_for_ever(make_app):
    orders = Mediator("orders", handles=HARD)

    @orders.flow(OrderPlaced)
    async def order(event: OrderPlaced, flow: Flow) -> OrderCompleted:
        try:
            await flow.do(SendMail(text="nobody handles this here"), timeout=0.2)
        except StepTimeout:
            raise Refused(OrderRefused(reason="the mail is down")) from None
        return OrderCompleted(mails=1)

    outcome = await outcome_of(make_app(front, orders), OrderPlaced(books=1))
    assert outcome.event == OrderRefused(reason="the mail is down")
