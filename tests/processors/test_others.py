"""Order placement, warehouse, fulfilment, shipping, loyalty and analytics: each does its work once."""

from decimal import Decimal

import pytest
from sqlalchemy import func, select

from processors.analytics import Sale, count_none, count_sales
from processors.loyalty import Points, add_points
from processors.messages.customers import UpdateAddress
from processors.messages.orders import (
    CloseOrder,
    CreateOrder,
    FulfillOrder,
    OrderFulfilled,
    OrderRefused,
    OrderUnpacked,
    UnpackOrder,
)
from processors.messages.payment import PaymentApplied, PaymentRefunded
from processors.messages.shipping import RecallParcel, ShipOrder
from processors.messages.values import Books
from processors.messages.warehouse import OrderStock
from processors.order_fulfillment import Parcel, fulfill_order, unpack_order
from processors.order_placement import (
    Customer,
    Line,
    Order,
    cancel_order,
    close_order,
    create_order,
    order_id_for,
    update_address,
)
from processors.shipping import Shipment, carrier_for, recall_parcel, ship_order
from processors.warehouse import Purchase, order_stock
from tests.processors.shop import PRIDE, SOLD_OUT, order

ORDER = "B-AAAA-BBBB-CCCC"
HOME = {"customer_id": "c-1", "address": "1 Mill Road, 10115 Berlin, DE"}


def creation():
    placed = order()
    fields = ("customer_id", "name", "email", "address", "lines")
    return CreateOrder(**{field: getattr(placed, field) for field in fields})


def count(desk, table):
    with desk.rows() as session:
        return session.scalar(select(func.count()).select_from(table))


def test_one_event_makes_one_order(desk):
    created = desk.call(create_order, creation(), "event-1")
    assert (created.order_id, created.total) == (order_id_for("event-1"), Decimal("34.48"))
    assert (count(desk, Order), count(desk, Line), count(desk, Customer)) == (1, 2, 1)
    assert order_id_for("event-1") != order_id_for("event-2")


def test_the_register_tells_how_an_order_ended(desk):
    created = desk.call(create_order, creation(), "event-1")
    refused = OrderRefused(
        order_id=created.order_id, customer_id="c-1", reason="payment denied", detail="lost card"
    )
    desk.call(close_order, refused, "m2")
    with desk.rows() as session:
        row = session.get_one(Order, created.order_id)
        assert (row.state, row.reason) == ("refused", "payment denied")


def test_a_cancelled_order_is_closed_in_the_register(desk):
    created = desk.call(create_order, creation(), "event-1")
    for id in ("m2", "m3"):
        assert desk.call(cancel_order, CloseOrder(order_id=created.order_id), id).customer_id == "c-1"
    with desk.rows() as session:
        assert session.get_one(Order, created.order_id).state == "cancelled"


@pytest.mark.parametrize("moved_first", [True, False])
def test_an_order_does_not_undo_a_move(desk, moved_first):
    steps = [(update_address, UpdateAddress(**HOME), "m1"), (create_order, creation(), "m2")]
    for step in steps if moved_first else reversed(steps):
        desk.call(*step)
    with desk.rows() as session:
        customer = session.get_one(Customer, "c-1")
        assert (customer.city, customer.name) == ("Berlin", "Ada Lovelace")


def test_what_is_short_is_bought_once(desk):
    short = [Books(isbn=SOLD_OUT, quantity=2)]
    for id in ("m1", "m2"):
        assert desk.call(order_stock, OrderStock(order_id=ORDER, short=short), id).books == short
    assert count(desk, Purchase) == 1


def test_nothing_short_is_nothing_to_tell(desk):
    assert desk.call(order_stock, OrderStock(order_id=ORDER), "m1") is None


def test_a_parcel_is_packed_once(desk):
    command = FulfillOrder(order_id=ORDER, lines=order().lines, short=[Books(isbn=PRIDE, quantity=1)])
    assert {desk.call(fulfill_order, command, id).weight_grams for id in ("m1", "m2")} == {120 + 3 * 380}
    with desk.rows() as session:
        assert session.get_one(Parcel, ORDER).awaited == 1


def test_what_is_packed_can_be_unpacked_and_packed_again(desk):
    lines = order().lines
    unpack = UnpackOrder(order_id=ORDER, lines=lines)
    assert desk.call(unpack_order, unpack, "m1") is None
    desk.call(fulfill_order, FulfillOrder(order_id=ORDER, lines=lines), "m2")
    assert desk.call(unpack_order, unpack, "m3") == OrderUnpacked(order_id=ORDER, lines=lines)
    assert count(desk, Parcel) == 0
    desk.call(fulfill_order, FulfillOrder(order_id=ORDER, lines=lines), "m4")
    assert count(desk, Parcel) == 1


def test_a_parcel_can_be_had_back(desk):
    desk.call(ship_order, ShipOrder(order_id=ORDER, address=order().address, weight_grams=1260), "m1")
    for id in ("m2", "m3"):
        assert desk.call(recall_parcel, RecallParcel(order_id=ORDER), id).order_id == ORDER
        assert count(desk, Shipment) == 0


def test_a_parcel_is_shipped_once(desk):
    command = ShipOrder(order_id=ORDER, address=order().address, weight_grams=1260)
    first, second = (desk.call(ship_order, command, id) for id in ("m1", "m2"))
    assert first == second
    assert count(desk, Shipment) == 1


@pytest.mark.parametrize(
    ("grams", "country", "name"),
    [
        (1000, "DE", "Letter Post"),
        (1001, "DE", "Parcel Post"),
        (500, "FR", "World Parcel"),
        (30_001, "FR", "Freight & Sons"),
    ],
)
def test_the_carrier_suits_the_parcel(grams, country, name):
    assert carrier_for(grams, country).name == name


@pytest.mark.parametrize("paid_first", [True, False])
def test_points_go_with_the_money(desk, paid_first):
    paid = PaymentApplied(order_id=ORDER, customer_id="c-1", amount="34.48", receipt="R-1")
    back = PaymentRefunded(order_id=ORDER, customer_id="c-1", amount="34.48")
    for id, event in enumerate((paid, back) if paid_first else (back, paid)):
        assert abs(desk.call(add_points, event, f"m{id}").points) == 34
    with desk.rows() as session:
        assert session.scalar(select(func.sum(Points.points))) == 0
    assert desk.call(add_points, back.model_copy(update={"amount": Decimal("0.99")}), "m3") is None


def test_sales_are_counted_by_book_and_day(desk):
    event = OrderFulfilled(order_id=ORDER, lines=order().lines, weight_grams=1)
    for id in ("m1", "m2"):
        desk.call(count_sales, event, id)
    with desk.rows() as session:
        sale = session.get_one(Sale, (ORDER, PRIDE))
        assert (sale.copies, sale.revenue, sale.day.isoformat()) == (2, Decimal("19.98"), "2023-11-14")
    assert count(desk, Sale) == 2


@pytest.mark.parametrize("unpacked_first", [True, False])
def test_what_is_unpacked_is_not_sold(desk, unpacked_first):
    steps = [
        (count_sales, OrderFulfilled(order_id=ORDER, lines=order().lines, weight_grams=1), "m1"),
        (count_none, OrderUnpacked(order_id=ORDER, lines=order().lines), "m2"),
    ]
    for step in reversed(steps) if unpacked_first else steps:
        desk.call(*step)
    with desk.rows() as session:
        assert session.execute(select(func.sum(Sale.copies), func.sum(Sale.revenue))).one() == (0, 0)
