"""The bookstore in the broker topology: nobody in the middle, each processor reacts to what others broadcast.

    python examples/broker_bookstore.py

    place-order → order-placement → order-created → notification, payment, inventory    side by side
    inventory-updated → warehouse            payment-denied → notification
    payment-applied → order-fulfillment → order-fulfilled → notification, shipping
    order-shipped → notification

Nobody knows the whole way, so nobody can say that an order is done: this program, which wants to end, has to
subscribe to it, as the processor `curious` below. Compare mediators/hard.py.
"""

import asyncio
import tempfile
from decimal import Decimal
from pathlib import Path

from hybrid import App, Event, Processor, Secret, Settings

CATALOGUE = {"9780141401270": 3, "9780199415007": 50}
"""What is on the shelf, by ISBN."""


class PlaceOrder(Event, key="customer"):
    customer: str
    isbn: str
    quantity: int
    total: Decimal
    card: Secret[str]


class OrderCreated(Event, key="order_id"):
    order_id: str
    customer: str
    isbn: str
    quantity: int
    total: Decimal
    card: Secret[str]


class EmailSent(Event, key="order_id"):
    order_id: str
    text: str


class PaymentApplied(Event, key="order_id"):
    order_id: str


class PaymentDenied(Event, key="order_id"):
    order_id: str
    reason: str


class InventoryUpdated(Event, key="order_id"):
    order_id: str
    isbn: str
    left: int


class StockReplenished(Event, key="isbn"):
    isbn: str
    copies: int


class OrderFulfilled(Event, key="order_id"):
    order_id: str


class OrderShipped(Event, key="order_id"):
    order_id: str
    carrier: str


order_placement = Processor("order-placement")
notification = Processor("notification")
payment = Processor("payment")
inventory = Processor("inventory")
warehouse = Processor("warehouse")
order_fulfillment = Processor("order-fulfillment")
shipping = Processor("shipping")
curious = Processor("curious")

stock = dict(CATALOGUE)
seen: list[Event] = []
enough = asyncio.Event()


@order_placement.on(PlaceOrder)
async def create(event: PlaceOrder) -> OrderCreated:
    return OrderCreated(order_id=f"order-of-{event.customer}", **event.model_dump())


@payment.on(OrderCreated)
async def charge(event: OrderCreated) -> PaymentApplied | PaymentDenied:
    if event.card.get_secret_value().endswith("0002"):
        return PaymentDenied(order_id=event.order_id, reason="card declined")
    return PaymentApplied(order_id=event.order_id)


@inventory.on(OrderCreated)
async def take(event: OrderCreated) -> InventoryUpdated:
    stock[event.isbn] -= event.quantity
    return InventoryUpdated(order_id=event.order_id, isbn=event.isbn, left=stock[event.isbn])


@warehouse.on(InventoryUpdated)
async def restock(event: InventoryUpdated) -> StockReplenished | None:
    if event.left >= 5:
        return None
    return StockReplenished(isbn=event.isbn, copies=20)


@inventory.on(StockReplenished)
async def fill(event: StockReplenished) -> None:
    stock[event.isbn] += event.copies


@order_fulfillment.on(PaymentApplied)
async def pack(event: PaymentApplied) -> OrderFulfilled:
    return OrderFulfilled(order_id=event.order_id)


@shipping.on(OrderFulfilled)
async def ship(event: OrderFulfilled) -> OrderShipped:
    return OrderShipped(order_id=event.order_id, carrier="Parcel Post")


@notification.on(OrderCreated)
async def mail_order(event: OrderCreated) -> EmailSent:
    return EmailSent(order_id=event.order_id, text="we have your order")


@notification.on(PaymentDenied)
async def mail_denial(event: PaymentDenied) -> EmailSent:
    return EmailSent(order_id=event.order_id, text=f"{event.reason}: please give us another card")


@notification.on(OrderFulfilled)
async def mail_packed(event: OrderFulfilled) -> EmailSent:
    return EmailSent(order_id=event.order_id, text="your order is packed")


@notification.on(OrderShipped)
async def mail_shipped(event: OrderShipped) -> EmailSent:
    return EmailSent(order_id=event.order_id, text=f"your order is with {event.carrier}")


@curious.on(OrderCreated | PaymentApplied | PaymentDenied | InventoryUpdated | StockReplenished)
@curious.on(OrderFulfilled | OrderShipped | EmailSent)
async def look(event: Event) -> None:
    seen.append(event)
    if len(seen) == 14:  # 9 about ada, 5 about bob; and if there came one more, nobody would know
        enough.set()


async def main() -> None:
    components = [
        order_placement,
        notification,
        payment,
        inventory,
        warehouse,
        order_fulfillment,
        shipping,
        curious,
    ]
    with tempfile.TemporaryDirectory() as directory:
        settings = Settings.load(directory=Path(directory))
        async with App("broker-bookstore", components, settings=settings).running() as client:
            book, other = CATALOGUE
            await client.publish(
                PlaceOrder(customer="ada", isbn=book, quantity=2, total=Decimal("19.98"), card="4242")
            )
            await client.publish(
                PlaceOrder(customer="bob", isbn=other, quantity=1, total=Decimal("14.50"), card="0002")
            )
            await asyncio.wait_for(enough.wait(), 20)
    for event in sorted(seen, key=lambda event: (event.message_key(), event.type_name, str(event))):
        print(
            f"{event.type_name:20} {event.model_dump(mode='json', exclude={'order_id', 'customer', 'card'})}"
        )


if __name__ == "__main__":
    asyncio.run(main())
