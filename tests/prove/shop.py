"""A compact order application, for worker processes that are killed: every handler leaves rows in a database.

What an order comes to hangs on its number, so that the outcome of each is known beforehand. With PROVE_CODE=2
it is the application after a change: messages with other fields, and another version of the flow.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Engine, Integer, MetaData, String, Table, create_engine, event, insert

from hybrid import (
    HARD,
    App,
    Command,
    Context,
    Event,
    Flow,
    Mediator,
    Processor,
    Refused,
    SimpleMediator,
    StepTimeout,
    resource,
    upcast,
)
from hybrid.inbox import Database, metadata
from hybrid.settings import Settings

PACE = float(os.environ.get("PROVE_PACE", "0.02"))
"""Seconds that a handler works before its transaction."""
CODE = int(os.environ.get("PROVE_CODE", "1"))


class PlaceOrder(Event, key="order_id"):
    order_id: str
    declined: bool = False
    slow: bool = False


class AddressChanged(Event):
    customer: str


class BombSent(Event):
    bomb: str
    how: str


class CreateOrder(Command):
    order_id: str


class ApplyPayment(Command, version=CODE):
    order_id: str
    if CODE == 1:
        declined: bool
    else:
        card: str


class AdjustInventory(Command):
    order_id: str


class EmailCustomer(Command):
    order_id: str


class ReleaseStock(Command):
    order_id: str


class FindCarrier(Command):
    order_id: str
    slow: bool


class ShipOrder(Command):
    order_id: str
    carrier: str


class UpdateAddress(Command):
    customer: str


class Detonate(Command):
    bomb: str
    how: str


class OrderCreated(Event):
    order_id: str


class PaymentApplied(Event, version=CODE):
    if CODE == 1:
        order_id: str
    else:
        order: str
        card: str


class PaymentDenied(Event):
    order_id: str


class Booked(Event):
    order_id: str


class StockAdjusted(Event):
    order_id: str


class StockReleased(Event):
    order_id: str


class CarrierFound(Event):
    order_id: str


class OrderShipped(Event):
    order_id: str


class PointsAdded(Event):
    order_id: str


class OrderCompleted(Event):
    order_id: str


class OrderRefused(Event):
    order_id: str


class AddressNoted(Event):
    customer: str


rows = MetaData()
TABLES = ("orders", "charges", "stock", "shipments", "addresses", "points", "sightings")
tables = {
    name: Table(
        name,
        rows,
        Column("n", Integer, primary_key=True),
        Column("subject", String, nullable=False),
        Column("what", String, nullable=False),
    )
    for name in TABLES
}
"""No unique columns: what is done twice shall be seen twice."""


def open_engine(directory: Path) -> Engine:
    """Open the database of a directory."""
    engine = create_engine(
        f"sqlite:///{directory}/shop.db", connect_args={"timeout": 60}, pool_size=40, pool_timeout=60
    )

    @event.listens_for(engine, "connect")
    def _fast(connection, _):  # kill -9 of a process loses nothing of this; only a power cut would
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=OFF")

    return engine


def create_tables(directory: Path) -> None:
    """Make the database, once, before the workers come."""
    engine = open_engine(directory)
    metadata.create_all(engine)
    rows.create_all(engine)
    engine.dispose()


def is_locked(directory: Path) -> bool:
    """Tell whether somebody holds the database's lock for long."""
    with closing(sqlite3.connect(directory / "shop.db", timeout=0.3)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        return False


@resource
def database(settings: Settings) -> Iterator[Database]:
    engine = open_engine(settings.directory)
    yield Database(engine)
    engine.dispose()


def work() -> None:
    """Take a while, outside of any transaction."""
    time.sleep(random.uniform(0, 2 * PACE))


def book(context: Context, table: str, subject: str, what: str) -> None:
    """Work for a while, then write a row in the delivery's transaction."""
    work()
    with context.transaction() as session:
        session.execute(insert(tables[table]).values(subject=subject, what=what))


front = SimpleMediator("customer")
orders = Mediator("order", handles=HARD)
placement = Processor("placement")
payment = Processor("payment")
warehouse = Processor("warehouse")
bombs = Processor("bombs")
loyalty = Processor("loyalty")
analytics = Processor("analytics")


@front.classify(PlaceOrder, HARD)
def every_order(event: PlaceOrder):
    return HARD


@front.on(AddressChanged)
def address_changed(event: AddressChanged):
    return [UpdateAddress(customer=event.customer), AddressNoted(customer=event.customer)]


@front.on(BombSent)
def bomb_sent(event: BombSent):
    return [Detonate(bomb=event.bomb, how=event.how)]


def applying(id: str, declined: bool) -> ApplyPayment:
    """Return the payment of an order, as this code has it."""
    if CODE == 1:
        return ApplyPayment(order_id=id, declined=declined)
    return ApplyPayment(order_id=id, card="bad" if declined else "good")


if CODE == 2:

    @upcast(ApplyPayment, 1)
    def with_card(data: dict[str, Any]) -> dict[str, Any]:
        return {"order_id": data["order_id"], "card": "bad" if data["declined"] else "good"}

    @upcast(PaymentApplied, 1)
    def by_card(data: dict[str, Any]) -> dict[str, Any]:
        return {"order": data["order_id"], "card": "unknown"}

    @orders.flow(PlaceOrder, version=2)
    async def place_order_at_once(event: PlaceOrder, flow: Flow) -> OrderCompleted:
        id = event.order_id
        _, paid, _, _ = await flow.all(
            CreateOrder(order_id=id),
            applying(id, event.declined),
            AdjustInventory(order_id=id),
            EmailCustomer(order_id=id),
        )
        return await delivered(event, flow, paid)


@orders.flow(PlaceOrder)
async def place_order(event: PlaceOrder, flow: Flow) -> OrderCompleted:
    id = event.order_id
    await flow.do(CreateOrder(order_id=id))
    paid, _, _ = await flow.all(
        applying(id, event.declined),
        AdjustInventory(order_id=id),
        EmailCustomer(order_id=id),
    )
    return await delivered(event, flow, paid)


async def delivered(event: PlaceOrder, flow: Flow, paid: Event) -> OrderCompleted:
    """Go on with an order that is paid, or is not."""
    id = event.order_id
    if isinstance(paid, PaymentDenied):
        await flow.do(ReleaseStock(order_id=id))
        raise Refused(OrderRefused(order_id=id))
    try:
        await flow.do(FindCarrier(order_id=id, slow=event.slow), timeout=0.4)
        carrier = "found"
    except StepTimeout:
        carrier = "own van"
    await flow.do(ShipOrder(order_id=id, carrier=carrier))
    return OrderCompleted(order_id=id)


@placement.on(CreateOrder, concurrency=4)
def create(command: CreateOrder, context: Context) -> OrderCreated:
    book(context, "orders", command.order_id, "created")
    return OrderCreated(order_id=command.order_id)


@placement.on(EmailCustomer)
async def email(command: EmailCustomer) -> None:
    pass


@placement.on(UpdateAddress, concurrency=4)
def update(command: UpdateAddress, context: Context) -> None:
    book(context, "addresses", command.customer, "changed")


@payment.on(ApplyPayment, concurrency=4)
def pay(command: ApplyPayment, context: Context) -> PaymentApplied | PaymentDenied:
    if command.declined if CODE == 1 else command.card == "bad":
        work()
        return PaymentDenied(order_id=command.order_id)
    book(context, "charges", command.order_id, "charged")
    context.publish(Booked(order_id=command.order_id))
    if CODE == 1:
        return PaymentApplied(order_id=command.order_id)
    return PaymentApplied(order=command.order_id, card=command.card)


def subject(event: Event) -> str:
    """Return the order that an event is of."""
    return event.order if CODE == 2 and isinstance(event, PaymentApplied) else event.order_id


@warehouse.on(AdjustInventory, concurrency=4)
def adjust(command: AdjustInventory, context: Context) -> StockAdjusted:
    book(context, "stock", command.order_id, "taken")
    return StockAdjusted(order_id=command.order_id)


@warehouse.on(ReleaseStock, concurrency=4)
def release(command: ReleaseStock, context: Context) -> StockReleased:
    book(context, "stock", command.order_id, "released")
    return StockReleased(order_id=command.order_id)


@warehouse.on(FindCarrier)
def find(command: FindCarrier) -> CarrierFound:
    time.sleep(0.6 if command.slow else PACE)
    return CarrierFound(order_id=command.order_id)


@warehouse.on(ShipOrder, concurrency=4)
def ship(command: ShipOrder, context: Context) -> OrderShipped:
    book(context, "shipments", command.order_id, command.carrier)
    return OrderShipped(order_id=command.order_id)


@bombs.on(Detonate)
def detonate(command: Detonate, settings: Settings) -> None:
    with (settings.directory / "explosions").open("a") as log:
        log.write(f"{command.bomb}\n")
    if command.how == "exit":
        os._exit(3)
    os.kill(os.getpid(), signal.SIGSEGV)


@loyalty.on(PaymentApplied, concurrency=4)
def add_points(event: PaymentApplied, context: Context) -> PointsAdded:
    book(context, "points", subject(event), "added")
    return PointsAdded(order_id=subject(event))


@analytics.on(PaymentApplied | PaymentDenied | OrderCompleted | OrderRefused, concurrency=4)
def see(event: PaymentApplied | PaymentDenied | OrderCompleted | OrderRefused, context: Context) -> None:
    book(context, "sightings", subject(event), event.type_name)


COMPONENTS = [front, orders, placement, payment, warehouse, bombs, loyalty, analytics]


def application(settings: Settings) -> App:
    """Return the application with these settings."""
    return App("prove", COMPONENTS, resources=[database], settings=settings)
