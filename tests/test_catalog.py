"""The catalogue: message classes by their names."""

import pytest

from hybrid import Command, Event, Secret
from hybrid.catalog import Catalog
from hybrid.codec import pack
from hybrid.errors import ApplicationError, InvalidMessage, UndecodableMessage, UnknownMessage


class OrderPlaced(Event):
    order_id: str
    books: int = 1


class ApplyPayment(Command):
    card: Secret[str]


CATALOG = Catalog([OrderPlaced, ApplyPayment])


def another():
    class OrderPlaced(Event):
        pass

    return OrderPlaced


def test_it_knows_its_classes():
    assert list(CATALOG) == [OrderPlaced, ApplyPayment]
    assert "order-placed" in CATALOG
    assert "order-lost" not in CATALOG
    CATALOG.add(OrderPlaced)  # again


def test_two_classes_of_one_name_are_an_error_that_names_both():
    with pytest.raises(ApplicationError) as error:
        Catalog([OrderPlaced, another()])
    assert "two message classes are called order-placed" in str(error.value)
    assert "test_catalog.OrderPlaced and" in str(error.value)
    assert "another.<locals>.OrderPlaced" in str(error.value)
    assert "rename one" in str(error.value)


def test_an_unknown_name_is_told_with_those_like_it():
    with pytest.raises(
        UnknownMessage, match="no message is called 'order-place'; did you mean order-placed?"
    ) as error:
        CATALOG.named("order-place")
    assert error.value.near == ["order-placed"]
    with pytest.raises(UnknownMessage, match="no message is called 'zzz'$"):
        CATALOG.named("zzz")


def test_what_comes_from_the_wire_may_be_newer():
    assert CATALOG.decode("order-placed", pack({"order_id": "o1", "gift": True})) == OrderPlaced(
        order_id="o1"
    )
    with pytest.raises(UndecodableMessage):
        CATALOG.decode("order-placed", b"\xc1")
    with pytest.raises(InvalidMessage, match="order-placed is not valid: order_id: Field required"):
        CATALOG.decode("order-placed", pack({}))
    with pytest.raises(UnknownMessage):
        CATALOG.decode("zzz", b"")


def test_what_comes_from_outside_is_checked_strictly():
    assert CATALOG.validate("order-placed", {"order_id": "o1"}) == OrderPlaced(order_id="o1")
    assert CATALOG.validate("order-placed", {"order_id": "o1", "books": "3"}, from_text=True).books == 3
    with pytest.raises(InvalidMessage, match="gift: there is no such field; those are: order_id, books"):
        CATALOG.validate("order-placed", {"order_id": "o1", "gift": True})
    with pytest.raises(InvalidMessage, match="books: .*got 'many'"):
        CATALOG.validate("order-placed", {"order_id": "o1", "books": "many"}, from_text=True)
    with pytest.raises(InvalidMessage) as error:
        CATALOG.validate("apply-payment", {"card": ["4242"]})
    assert "4242" not in str(error.value)
