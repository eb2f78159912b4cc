"""A shop to be tested: an order is paid, within a day; then it waits for a night, and is shipped."""

from hybrid import (
    HARD,
    App,
    Command,
    Event,
    Flow,
    Mediator,
    Processor,
    Refused,
    SimpleMediator,
    StepTimeout,
    days,
    hours,
)


class Ordered(Event, key="order"):
    order: str
    nights: int = 1


class Pay(Command):
    order: str


class Paid(Event):
    order: str


class Ship(Command):
    order: str
    time: str


class Shipped(Event):
    order: str


class Late(Event):
    order: str


class Approved(Event):
    order: str


front, orders, payment, shipping, mail = (
    SimpleMediator("front"),
    Mediator("orders", handles=HARD),
    Processor("payment"),
    Processor("shipping"),
    Processor("mail"),
)


@front.classify(Ordered, HARD)
def every_order(event: Ordered):
    return HARD


@front.on(Approved)
def approved(event: Approved):
    return [Ship(order=event.order, time="now")]


@payment.on(Pay)
async def pay(command: Pay) -> Paid:
    return Paid(order=command.order)


@shipping.on(Ship)
def ship(command: Ship) -> Shipped:
    return Shipped(order=command.order)


@mail.on(Shipped)
async def tell(event: Shipped) -> None:
    return None


@mail.on(Paid)
async def thank(event: Paid) -> None:
    return None


@shipping.on(Paid)
async def prepare(event: Paid) -> None:
    return None


@orders.flow(Ordered)
async def order(event: Ordered, flow: Flow) -> Shipped:
    try:
        await flow.do(Pay(order=event.order), timeout=days(1))
    except StepTimeout:
        raise Refused(Late(order=event.order)) from None
    for _ in range(event.nights):
        await flow.sleep(hours(12))
    return await flow.do(Ship(order=event.order, time=flow.now().isoformat()))


app = App("shop", [front, orders, payment, shipping, mail])
