"""What the bookstore's messages take, and what they say about what they do not."""

from decimal import Decimal

import pytest

from hybrid.catalog import Catalog
from hybrid.codec import decode, encode, pack, shown, unpack
from hybrid.discovery import load
from hybrid.errors import InvalidMessage
from processors.messages.customers import AddressChanged
from processors.messages.inventory import ReviewRated
from processors.messages.orders import PlaceOrder
from tests.processors.shop import MOBY, PRIDE, order

NAMES = tuple(
    """
    create-order email-customer apply-payment adjust-inventory fulfill-order order-stock ship-order
    order-created email-sent payment-applied payment-denied inventory-updated stock-replenished
    order-fulfilled order-shipped points-added place-order address-changed review-rated
""".split()  # noqa: SIM905
)

TEXTS = {
    "customer_id": "c-1",
    "name": "Ada",
    "email": "ada@EXAMPLE.org",
    "card": "4242 4242 4242 4242",
    "address": "12 Rose Lane, Flat 3, 20095 Hamburg, DE",
    "lines": f"{PRIDE}*2@9.99, 978-0-19-941500-7*1@14.5",
}

WRONG = [
    ({"email": "ada"}, "name@example.org, got 'ada'"),
    ({"email": "a..b@example.org"}, "name@example.org"),
    ({"card": "4242 4242 4242 4241"}, "check digit of the card number is wrong"),
    ({"card": "42"}, "a card number has 12 to 19 digits"),
    ({"customer_id": "C 1"}, "a customer's id is 1 to 40 of a-z, 0-9 and -, as c-1042, got 'C 1'"),
    ({"address": "Hamburg"}, "looks like '12 Rose Lane, 20095 Hamburg, DE', got 'Hamburg'"),
    ({"address": "1 Lane, 1234 Town, Germany"}, "two letters in ISO 3166-1, as DE, got 'Germany'"),
    (
        {"lines": "9780141401271*1@9.99"},
        "check digit of ISBN 9780141401271 is wrong: the last digit would be 0",
    ),
    ({"lines": "12*1@9.99"}, "an ISBN has 13 digits and starts with 978 or 979, got '12'"),
    ({"lines": PRIDE}, "looks like '9780306406157*2@12.50'"),
    ({"lines": f"{PRIDE}*0@9.99"}, "greater than or equal to 1"),
    ({"lines": f"{PRIDE}*1@0"}, "greater than 0"),
    ({"lines": f"{PRIDE}*1@9.999"}, "no more than 2 decimal places"),
    ({"lines": f"{PRIDE}*1@9.99,{PRIDE}*2@9.99"}, "stands in more than one line"),
    ({"lines": []}, "at least 1 item"),
    ({"card": None}, "place-order is not valid: Value error, an order has a card or a purchase_order"),
    ({"purchase_order": ""}, "purchase_order: String should have at least 1 character"),
    ({"coupon": "X"}, "coupon: there is no such field"),
]


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load("bookstore").topology.catalog


@pytest.mark.parametrize("name", NAMES)
def test_the_names_on_the_wire(catalog, name):
    assert name in catalog


def test_an_order_can_be_written_as_text(catalog):
    placed = catalog.validate("place-order", TEXTS, from_text=True)
    assert placed.total == Decimal("34.48")
    assert [line.isbn for line in placed.lines] == [PRIDE, MOBY]
    assert placed.address.street == "12 Rose Lane, Flat 3"
    assert placed.email == "ada@example.org"
    assert placed.message_key() == "c-1"


@pytest.mark.parametrize("from_text", [True, False])
@pytest.mark.parametrize(("change", "says"), WRONG)
def test_what_is_wrong_is_said(catalog, change, says, from_text):
    if from_text and "lines" in change and not change["lines"]:
        pytest.skip("no list as text")
    given = {field: value for field, value in (TEXTS | change).items() if value is not None}
    with pytest.raises(InvalidMessage) as caught:
        catalog.validate("place-order", given, from_text=from_text)
    assert says in str(caught.value)
    assert "4242" not in str(caught.value)


def test_stars_are_one_to_five(catalog):
    with pytest.raises(InvalidMessage, match="stars"):
        catalog.validate("review-rated", {"customer_id": "c-1", "isbn": PRIDE, "stars": "6"}, from_text=True)
    assert ReviewRated(customer_id="c-1", isbn=PRIDE, stars=5).message_key() == "c-1"


def test_they_survive_the_trip():
    placed = order()
    assert decode(PlaceOrder, encode(placed, 10_000)) == placed


def test_a_purchase_order_is_as_good_as_a_card(catalog):
    texts = {name: text for name, text in TEXTS.items() if name != "card"}
    placed = catalog.validate("place-order", texts | {"purchase_order": "PO-7"}, from_text=True)
    assert (placed.card, placed.purchase_order) == (None, "PO-7")
    assert decode(PlaceOrder, encode(placed, 10_000)) == placed


def test_an_order_of_an_older_program_can_be_read():
    old = unpack(encode(order(), 10_000))
    assert old.pop("purchase_order") is None
    assert decode(PlaceOrder, pack(old)) == order()


def test_the_card_is_never_shown():
    placed = order()
    assert "4242" not in f"{placed!r} {placed} {shown(placed)}"
    assert placed.card.get_secret_value() == "4242424242424242"


def test_an_address_reads_as_it_is_written():
    text = "12 Rose Lane, 20095 Hamburg, DE"
    assert str(AddressChanged(customer_id="c-1", address=text).address) == text  # type: ignore[arg-type]
