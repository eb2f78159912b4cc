"""What a wait matches: equal values are found whatever their types, others never; the rest is refused."""

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import Field

from hybrid import Event, Secret
from hybrid.codec import decode, encode
from hybrid.errors import ApplicationError
from hybrid.mediator.waits import Listener, digest_of, plain, wanted

NAIVE = datetime.fromisoformat("2026-01-01T12:00:00")


class Colour(StrEnum):
    RED = "red"


class Size(Enum):
    BIG = 3


class Told(Event):
    text: str = "x"
    number: int = 1
    amount: Decimal = Decimal(1)
    ratio: float = 1.0
    at: datetime = datetime(2026, 1, 1, 12, tzinfo=UTC)
    day: date = date(2026, 1, 1)
    hour: time = time(12)
    span: timedelta = timedelta(seconds=1)
    id: UUID = UUID(int=1)
    colour: Colour = Colour.RED
    size: Size = Size.BIG
    maybe: str | None = None
    raw: bytes = b"\x00"
    anything: Any = None
    few: Annotated[int, Field(ge=0)] = 0
    card: Secret[str] = Secret("s")
    items: list[int] = Field(default=[])


EQUAL = [
    ({"text": "naïve \U0001f600\u202e\x00"}, {"text": "naïve \U0001f600\u202e\x00"}),
    ({"text": "o" * 1_000_000}, {"text": "o" * 1_000_000}),
    ({"amount": 10}, {"amount": Decimal("10.00")}),
    ({"amount": "1E+1"}, {"amount": Decimal("10.0")}),
    ({"amount": Decimal("-0")}, {"amount": Decimal(0)}),
    ({"amount": Decimal("1E+999999")}, {"amount": Decimal("10E+999998")}),
    ({"number": 10**4000}, {"number": 10**4000}),
    ({"number": True}, {"number": 1}),
    ({"ratio": 2}, {"ratio": 2.0}),
    ({"ratio": float("inf")}, {"ratio": float("inf")}),
    ({"at": datetime(2026, 1, 1, 13, tzinfo=timezone(timedelta(hours=1)))}, {}),
    ({"at": "2026-01-01T12:00:00Z"}, {}),
    ({"at": NAIVE}, {"at": NAIVE}),
    ({"day": "2026-01-01", "hour": time(12), "span": 1}, {}),
    ({"id": str(UUID(int=1))}, {"id": UUID(int=1)}),
    ({"colour": "red", "size": Size.BIG}, {"colour": Colour.RED, "size": 3}),
    ({"maybe": None}, {}),
    ({"raw": b"\xff\x00"}, {"raw": b"\xff\x00"}),
    ({"anything": 7}, {"anything": Decimal("7.0")}),
    ({"anything": Size.BIG}, {"anything": 3}),
]
DIFFERENT = [
    ({"text": "a"}, {"text": "A"}),
    ({"text": "é"}, {"text": "e\u0301"}),
    ({"number": 1}, {"number": 10}),
    ({"amount": Decimal("10000000000000000000000000001")}, {"amount": Decimal("1E+28")}),
    ({"amount": Decimal("-1")}, {"amount": Decimal(1)}),
    ({"amount": Decimal("0.1")}, {"amount": Decimal(1)}),
    ({"ratio": 0.1}, {"ratio": 0.1000001}),
    ({"at": NAIVE}, {}),
    ({"maybe": ""}, {}),
    ({"anything": "7"}, {"anything": 7}),
    ({"anything": b"7"}, {"anything": "7"}),
    ({"anything": "x"}, {"anything": ["x"]}),
    ({"anything": "x"}, {"anything": float("nan")}),
    ({"text": "ab", "maybe": "c"}, {"text": "a", "maybe": "bc"}),
]


def heard(match, fields):
    """Tell whether an event with these fields, as it comes over the wire, is what a wait asks for."""
    asked = wanted("flow.wait", Told, match).match
    event = decode(Told, encode(Told(**fields), 10_000_000))
    return digest_of(event, asked.fields) == asked.digest


@pytest.mark.parametrize(("match", "fields"), EQUAL)
def test_equal_values_are_found(match, fields):
    assert heard(match, fields)


@pytest.mark.parametrize(("match", "fields"), DIFFERENT)
def test_others_are_not(match, fields):
    assert not heard(match, fields)


@pytest.mark.parametrize(
    ("match", "why"),
    [
        ({}, "match is a dict of fields and values"),
        (None, "match is a dict"),
        ([("text", "x")], "match is a dict"),
        ({"texts": "x"}, "'texts' is not one of its fields: text, number,"),
        ({"text.more": "x"}, "is not one of its fields"),
        ({7: "x"}, "7 is not one of its fields"),
        ({"text": 7}, "text: Input should be a valid string"),
        ({"number": "many"}, "number: Input should be a valid integer"),
        ({"number": 1.5}, "number: Input should be a valid integer"),
        ({"text": None}, "text: Input should be a valid string"),
        ({"text": "\ud800"}, "text: "),
        ({"ratio": float("nan")}, "ratio: is NaN, which equals nothing"),
        ({"amount": Decimal("sNaN")}, "amount: "),
        ({"few": -1}, "few: Input should be greater than or equal to 0"),
        ({"card": "4111 1111"}, "card is secret: match by another field"),
        ({"card": Secret("4111 1111")}, "card is secret"),
        ({"anything": Secret("4111 1111")}, "anything is secret"),
        ({"items": [1]}, "items: is a list, no plain value"),
        ({"anything": {"a": 1}}, "anything: is a dict, no plain value"),
        ({"anything": object()}, "anything: is a object, no plain value"),
    ],
)
def test_what_can_not_be_matched_is_refused(match, why):
    with pytest.raises(ApplicationError) as refused:
        wanted("flow.wait", Told, match)
    assert why in str(refused.value)
    assert str(refused.value).startswith("flow.wait(Told, match=…)")
    assert "4111" not in str(refused.value)


def test_people_see_a_line():
    asked = wanted("flow.wait", Told, {"text": "o" * 200, "number": 7, "colour": Colour.RED})
    assert asked.words == f"told colour=red number=7 text={'o' * 59}…"


def test_the_order_of_fields_does_not_matter():
    assert wanted("flow.wait", Told, {"text": "a", "number": 1}) == wanted(
        "flow.wait", Told, {"number": 1, "text": "a"}
    )


@pytest.mark.parametrize("listener", [Listener("f:1.x", 1, 3), Listener("f", 12, 100_000)])
def test_a_listener_is_read_as_it_stands(listener):
    assert Listener.read(listener.member(b"\xff" * 16)) == listener


def test_a_class_that_has_lost_a_field_matches_nothing():
    assert digest_of(Told(), "gone") is None


def test_what_is_none_says_so():
    with pytest.raises(TypeError, match="is a set, no plain value"):
        plain({1})
