"""The application that our benchmarks run: the floors' work, with no-op handlers and every feature of the
protocol on.
"""

from hybrid import HARD, App, Command, Event, Flow, Mediator, Processor, Settings, SimpleMediator


class Item(Event):
    """One line of an order."""

    sku: str
    qty: int
    price: float


class PlaceOrder(Event):
    """The initiating event, as in floor/flows.py."""

    order_id: str
    customer: str
    amount: float
    items: list[Item]


class OrderCompleted(Event):
    """What a flow ends with."""

    order_id: str


class OrderCreated(Event):
    """The broadcast that is consumed, as in floor/broker.py."""

    order_id: str
    customer: str
    amount: float
    items: list[str]


class EmailSent(Event):
    """The follow-up broadcast, as in floor/broker.py."""

    order_id: str
    customer: str


class Acknowledged(Event):
    """What each command's processor replies and broadcasts."""

    order_id: str


class CreateOrder(Command):
    """Step 1; carries the whole order, as each command of floor/flows.py does."""

    order_id: str
    items: list[Item]


class EmailCustomer(CreateOrder):
    """Steps 2, 4 and 5."""


class ApplyPayment(CreateOrder):
    """Step 2."""


class AdjustInventory(CreateOrder):
    """Step 2."""


class FulfillOrder(CreateOrder):
    """Step 3."""


class OrderStock(CreateOrder):
    """Step 3."""


class ShipOrder(CreateOrder):
    """Step 4."""


front = SimpleMediator("front")
orders = Mediator("order", handles=HARD)
worker = Processor("worker")
notification = Processor("notification")


@front.classify(PlaceOrder, HARD)
def always_hard(event: PlaceOrder):
    """Every order is mediated."""
    return HARD


@orders.flow(PlaceOrder)
async def place_order(event: PlaceOrder, flow: Flow) -> OrderCompleted:
    """Five steps, nine commands."""
    data = {"order_id": event.order_id, "items": event.items}
    await flow.do(CreateOrder(**data))
    await flow.all(EmailCustomer(**data), ApplyPayment(**data), AdjustInventory(**data))
    await flow.all(FulfillOrder(**data), OrderStock(**data))
    await flow.all(ShipOrder(**data), EmailCustomer(**data))
    await flow.do(EmailCustomer(**data))
    return OrderCompleted(order_id=event.order_id)


@worker.on(
    CreateOrder | EmailCustomer | ApplyPayment | AdjustInventory | FulfillOrder | OrderStock | ShipOrder
)
async def acknowledge(command: CreateOrder) -> Acknowledged:
    """Do nothing, and say so."""
    return Acknowledged(order_id=command.order_id)


@notification.on(OrderCreated)
async def mail(event: OrderCreated) -> EmailSent:
    """Build the follow-up event."""
    return EmailSent(order_id=event.order_id, customer=event.customer)


def order(number: int) -> PlaceOrder:
    """The order that floor/flows.py sends."""
    items = [Item(sku="s", qty=1, price=9.9)] * 3
    return PlaceOrder(order_id=f"o{number}", customer="c", amount=1.5, items=items)


def created(number: int) -> OrderCreated:
    """The event that floor/broker.py consumes."""
    return OrderCreated(order_id=f"o-{number}", customer="c-1", amount=12.5, items=["a", "b", "c"])


def application(url: str) -> App:
    """The application on a server."""
    return App("bench", [front, orders, worker, notification], settings=Settings.load(redis_url=url))
