"""Upcasts: data of older schema versions becomes that of the newest; what can't be is told."""

from decimal import Decimal
from typing import Any

import pytest

from hybrid import Command, Event, Secret, upcast
from hybrid.catalog import Catalog
from hybrid.codec import pack
from hybrid.errors import ApplicationError, InvalidMessage, NewerMessage, UndecodableMessage, UnknownMessage
from hybrid.inspect.shown import MASK, visible


def order_class(version: int) -> Any:
    """Return the class of an order as it is in this version."""

    class PlaceOrder(Event, version=version):
        order: str
        total: Decimal
        currency: str

    return PlaceOrder


def chained(version: int = 3) -> Any:
    """Return such a class with upcasts from its first version on."""
    cls = order_class(version)

    @upcast(cls, 1)
    def cents(data: dict[str, Any]) -> dict[str, Any]:
        data["total"] = Decimal(data.pop("cents")) / 100
        return data

    @upcast(cls, 2)
    def currency(data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "currency": "EUR"}

    return cls


def test_older_data_goes_through_every_step():
    cls = chained()
    catalog = Catalog([cls])
    whole = cls(order="o", total=Decimal("12.5"), currency="EUR")
    assert catalog.decode("place-order", pack({"order": "o", "cents": 1250}), 1) == whole
    assert catalog.decode("place-order", pack({"order": "o", "total": Decimal("12.50")}), 2) == whole
    assert catalog.decode("place-order", pack(whole.__dict__), 3) == whole
    assert catalog.decode("place-order", pack(whole.__dict__)) == whole
    assert catalog.values("place-order", pack({"order": "o", "cents": 1250}), 1) == whole.__dict__


def test_without_upcasts_new_fields_have_defaults():
    class Reviewed(Event, version=2):
        text: str
        stars: int = 3

    catalog = Catalog([Reviewed])
    assert catalog.decode("reviewed", pack({"text": "t"}), 1) == Reviewed(text="t")


def test_a_version_before_the_first_upcast_can_not_be_read():
    cls = order_class(3)
    upcast(cls, 2)(lambda data: data)
    with pytest.raises(
        UndecodableMessage, match=r"place-order of version 1 .* begin at version 2; @upcast\(PlaceOrder, 1\)"
    ):
        Catalog([cls]).decode("place-order", pack({}), 1)


@pytest.mark.parametrize("version", [-1, -(2**80)])
def test_a_version_that_is_none_is_told(version):
    with pytest.raises(UndecodableMessage, match=f"of version {version} can't be read"):
        Catalog([chained()]).decode("place-order", pack({}), version)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"order": "o"}, "cents can't raise place-order from version 1: KeyError: 'cents'"),
        ([1, 2], "cents can't raise place-order from version 1: TypeError"),
        (None, "cents can't raise place-order from version 1"),
    ],
)
def test_an_upcast_that_fails_is_named(data, text):
    with pytest.raises(UndecodableMessage, match=text):
        Catalog([chained()]).decode("place-order", pack(data), 1)


def test_one_that_returns_no_dict_is_named():
    cls = order_class(2)
    upcast(cls, 1)(print)
    with pytest.raises(UndecodableMessage, match="print made a NoneType of place-order, version 1"):
        Catalog([cls]).decode("place-order", pack({}), 1)


def test_what_an_upcast_gives_is_validated():
    cls = order_class(2)
    upcast(cls, 1)(lambda data: data)
    with pytest.raises(InvalidMessage, match="currency"):
        Catalog([cls]).decode("place-order", pack({"order": "o", "total": "1"}), 1)


def test_newer_data_is_read_when_it_fits_and_told_when_not():
    cls = order_class(2)
    catalog, whole = Catalog([cls]), cls(order="o", total=Decimal(1), currency="EUR")
    assert catalog.decode("place-order", pack({**whole.__dict__, "new": 1}), 3) == whole
    with pytest.raises(NewerMessage, match="place-order is of version 3, this program knows 2") as told:
        catalog.decode("place-order", pack({"order": "o", "total": {"amount": 1}}), 3)
    assert (told.value.type, told.value.version, told.value.known) == ("place-order", 3, 2)
    assert {field for field, _ in told.value.problems} == {"total", "currency"}
    with pytest.raises(UndecodableMessage):
        catalog.decode("place-order", b"\xc1", 3)
    with pytest.raises(UnknownMessage):
        catalog.values("no-such", b"\x80", 3)


def test_a_gap_is_an_error_at_start():
    cls = order_class(5)
    for version in (1, 3):
        upcast(cls, version)(lambda data: data)
    with pytest.raises(ApplicationError, match=r"has upcasts of version 1, 3: those of 2, 4 are missing"):
        Catalog([cls])


@pytest.mark.parametrize("version", [0, -1, 2, 3, "1", 1.0, True, None])
def test_a_version_that_is_not_below_the_class_is_refused(version):
    with pytest.raises(ApplicationError, match=r"PlaceOrder is of version 2: .* from 1 to 1, not"):
        upcast(order_class(2), version)


def test_a_class_of_version_1_has_no_upcasts():
    class First(Command):
        pass

    with pytest.raises(ApplicationError, match=r"First is of version 1: .* class First\(…, version=2\)"):
        upcast(First, 1)


def test_two_of_one_version_are_refused():
    cls = chained()
    with pytest.raises(ApplicationError, match="two upcasts of version 1: .*cents and .*again"):

        @upcast(cls, 1)
        def again(data):
            return data


def test_one_that_is_async_is_refused():
    async def later(data):
        return data

    with pytest.raises(ApplicationError, match="the upcast later is `async def`"):
        upcast(order_class(2), 1)(later)


@pytest.mark.parametrize("thing", [dict, "place-order", None])
def test_what_is_no_message_is_refused(thing):
    with pytest.raises(ApplicationError, match="takes a message class"):
        upcast(thing, 1)


def test_a_subclass_is_another_message():
    cls = chained()

    class Another(cls, version=3):
        pass

    assert Another.type_upcasts == {}


def test_secrets_of_an_older_version_stay_masked():
    class Paid(Event, version=2):
        order: str
        card: Secret[str]

    upcast(Paid, 1)(lambda data: {"order": data["order"], "card": data["number"]})
    catalog = Catalog([Paid])
    seen = visible(catalog, "paid", pack({"order": "o", "number": "q4711z"}), 1)
    assert seen == {"order": "o", "card": MASK}
    broken = visible(catalog, "paid", pack({"order": "o", "nummer": "q4711z"}), 1)
    assert "q4711z" not in str(broken)
