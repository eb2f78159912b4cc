"""The application of docs/operating.md: orders that are paid, packed when somebody says so, and shipped."""

from hybrid import HARD, Command, Event, Flow, Mediator, Processor, RetryPolicy, SimpleMediator


class PlaceOrder(Event, key="customer"):
    customer: str
    item: str
    total: int


class TakePayment(Command):
    customer: str
    total: int


class PaymentTaken(Event):
    receipt: str


class Refund(Command):
    customer: str
    total: int


class Ship(Command):
    item: str
    receipt: str


class Shipped(Event):
    item: str


class OrderDone(Event):
    item: str


front = SimpleMediator("front")


@front.classify(PlaceOrder, HARD)
def by_habit(event: PlaceOrder):
    return HARD


orders = Mediator("orders", handles=HARD)
bank = Processor("bank")
depot = Processor("depot")


@orders.flow(PlaceOrder)
async def place_order(event: PlaceOrder, flow: Flow) -> OrderDone:
    paid = await flow.do(TakePayment(customer=event.customer, total=event.total))
    flow.undo(Refund(customer=event.customer, total=event.total))
    await flow.signal("packed")
    await flow.do(Ship(item=event.item, receipt=paid.receipt))
    return OrderDone(item=event.item)


@bank.on(TakePayment)
async def take_payment(command: TakePayment) -> PaymentTaken:
    return PaymentTaken(receipt=f"R-{command.customer}")


@bank.on(Refund)
async def refund(command: Refund) -> None: ...


@depot.on(Ship, retry=RetryPolicy(attempts=1))
async def ship(command: Ship) -> Shipped:
    if not command.receipt.startswith("R-A"):
        raise ValueError(f"{command.receipt} is no receipt of ours")
    return Shipped(item=command.item)
