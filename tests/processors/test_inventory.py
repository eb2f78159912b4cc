"""Books are taken from the shelf, put back, and never taken twice."""

import pytest

from processors.inventory import (
    Reservation,
    Stock,
    adjust_inventory,
    note_arrival,
    record_rating,
    release_stock,
)
from processors.messages.inventory import (
    AdjustInventory,
    InventoryBackordered,
    InventoryUpdated,
    RecordRating,
    ReleaseStock,
)
from processors.messages.values import Books
from processors.messages.warehouse import StockReplenished
from tests.processors.shop import FIVE_LEFT, PRIDE, SOLD_OUT

ORDER, OTHER = "B-AAAA-BBBB-CCCC", "B-AAAA-BBBB-DDDD"


def take(order=ORDER, **books):
    return AdjustInventory(order_id=order, books=[Books(isbn=isbn, quantity=n) for isbn, n in books.items()])


def on_hand(desk, isbn):
    with desk.rows() as session:
        return session.get_one(Stock, isbn).on_hand


def test_what_is_there_is_taken(desk):
    before = on_hand(desk, PRIDE)
    assert isinstance(desk.call(adjust_inventory, take(**{PRIDE: 3}), "m1"), InventoryUpdated)
    assert on_hand(desk, PRIDE) == before - 3


def test_what_is_not_there_is_short(desk):
    reply = desk.call(adjust_inventory, take(**{FIVE_LEFT: 8, SOLD_OUT: 1, PRIDE: 1}), "m1")
    assert isinstance(reply, InventoryBackordered)
    assert {each.isbn: each.quantity for each in reply.short} == {FIVE_LEFT: 3, SOLD_OUT: 1}
    assert {each.isbn: each.quantity for each in reply.taken} == {FIVE_LEFT: 5, PRIDE: 1}
    assert on_hand(desk, FIVE_LEFT) == 0


def test_a_book_that_the_shop_never_had_is_short(desk):
    assert desk.call(adjust_inventory, take(**{"9780306406157": 2}), "m1").short[0].quantity == 2


def test_an_order_takes_once(desk):
    first = desk.call(adjust_inventory, take(**{FIVE_LEFT: 4}), "m1")
    assert desk.call(adjust_inventory, take(**{FIVE_LEFT: 4}), "m2") == first
    assert on_hand(desk, FIVE_LEFT) == 1


def test_what_is_released_can_be_taken_by_others(desk):
    desk.call(adjust_inventory, take(**{FIVE_LEFT: 8}), "m1")
    assert desk.call(release_stock, ReleaseStock(order_id=ORDER), "m2").released[0].quantity == 5
    assert desk.call(release_stock, ReleaseStock(order_id=ORDER), "m3").released == []
    assert isinstance(desk.call(adjust_inventory, take(OTHER, **{FIVE_LEFT: 5}), "m4"), InventoryUpdated)


def test_an_order_that_was_released_takes_nothing(desk):
    desk.call(release_stock, ReleaseStock(order_id=ORDER), "m1")
    assert desk.call(adjust_inventory, take(**{FIVE_LEFT: 2}), "m2").taken == []
    assert on_hand(desk, FIVE_LEFT) == 5


def test_a_later_run_may_take_them_again(desk):
    desk.call(adjust_inventory, take(**{FIVE_LEFT: 2}), "m1")
    desk.call(release_stock, ReleaseStock(order_id=ORDER), "m2")
    assert desk.call(adjust_inventory, take(**{FIVE_LEFT: 2}), "m3", run=1).taken == []
    assert desk.call(adjust_inventory, take(**{FIVE_LEFT: 2}), "m4", run=2).taken[0].quantity == 2
    desk.call(release_stock, ReleaseStock(order_id=ORDER), "m5", run=2)
    assert on_hand(desk, FIVE_LEFT) == 5
    assert desk.call(adjust_inventory, take(**{FIVE_LEFT: 2}), "m6", run=2).taken == []


@pytest.mark.parametrize("first", ["arrival", "release"])
def test_what_comes_in_for_an_order_that_is_over_goes_on_the_shelf(desk, first):
    desk.call(adjust_inventory, take(**{FIVE_LEFT: 8}), "m1")
    came = StockReplenished(order_id=ORDER, books=[Books(isbn=FIVE_LEFT, quantity=3)])
    steps = [(note_arrival, came, "m2"), (release_stock, ReleaseStock(order_id=ORDER), "m3")]
    for step in steps if first == "arrival" else reversed(steps):
        desk.call(*step)
    assert on_hand(desk, FIVE_LEFT) == 8


def test_arrivals_are_noted(desk):
    desk.call(adjust_inventory, take(**{SOLD_OUT: 2}), "m1")
    came = StockReplenished(order_id=ORDER, books=[Books(isbn=SOLD_OUT, quantity=2)])
    desk.call(note_arrival, came, "m2")
    with desk.rows() as session:
        assert session.get_one(Reservation, (ORDER, SOLD_OUT)).arrived == 2


def test_a_newer_rating_replaces_the_older(desk):
    for number, (customer, stars) in enumerate([("c-1", 1), ("c-2", 4), ("c-1", 5)]):
        rating = RecordRating(customer_id=customer, isbn=PRIDE, stars=stars)
        reply = desk.call(record_rating, rating, f"m{number}")
    assert (reply.ratings, reply.average) == (2, 4.5)
