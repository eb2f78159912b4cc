"""The codec: what is sent arrives, whatever it is; bytes that are nothing are refused; secrets are hidden."""

import math
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from hybrid.codec import decode, encode, pack, shown, unpack
from hybrid.errors import HybridError, InvalidMessage, MessageTooLarge, UndecodableMessage
from hybrid.messages import Event, Secret

LIMIT = 1 << 20

ZONES = (
    st.none()
    | st.just(UTC)
    | st.builds(
        timezone,
        st.timedeltas(-timedelta(hours=23), timedelta(hours=23)).map(
            lambda d: timedelta(minutes=d // timedelta(minutes=1))
        ),
    )
)
DECIMALS = st.decimals(allow_nan=False) | st.sampled_from([Decimal("1E+400"), Decimal("-0"), Decimal("1.10")])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(10**60), 10**60),
    st.floats(allow_nan=False),
    st.text(st.characters(codec="utf-8")),
    st.binary(),
    DECIMALS,
    st.datetimes(timezones=ZONES),
    st.dates(),
    st.times(timezones=ZONES),
    st.timedeltas(),
    st.uuids(),
)
KEYS = st.one_of(
    st.text(st.characters(codec="utf-8")), st.integers(), st.uuids(), st.dates(), st.binary(), st.booleans()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


class Anything(Event):
    value: Any = None


class Colour(Enum):
    RED = "red"
    BLUE = 2


class Word(StrEnum):
    YES = "yes"


class Size(Enum):
    HUGE = 2**40
    SMALL = 1


class Price(Enum):
    LOW = Decimal("1.50")


@dataclass(frozen=True)
class Point:
    x: int
    raw: bytes = b""


class Line(BaseModel):
    sku: str
    price: Decimal
    tags: set[str] = set()


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int


class Everything(Event, key="id"):
    id: UUID
    lines: list[Line] = Field(default_factory=list)
    by_day: dict[date, list[Line]] = Field(default_factory=dict)
    colour: Colour | None = None
    word: Word = Word.YES
    size: Size = Size.SMALL
    price: Price = Price.LOW
    pair: tuple[int, str] = (1, "")
    grid: dict[tuple[int, int], str] = Field(default_factory=dict)
    frozen: frozenset[Decimal] = frozenset()
    where: Path | None = None
    host: IPv4Address | None = None
    point: Point | None = None
    secret: Secret[Decimal] | None = None
    secrets: list[SecretStr] = Field(default_factory=list)
    hidden: Secret[Line] | None = None
    loose: Loose | None = None
    named: int = Field(0, alias="otherName")
    value: Any = None


def through(message):
    return decode(type(message), encode(message, LIMIT))


def exact(a, b):
    """Tell whether two values are the same, their types, zones and digits too."""
    if isinstance(a, dict):
        return (
            isinstance(b, dict)
            and len(a) == len(b)
            and all(exact(x, y) for x, y in zip(a.items(), b.items(), strict=True))
        )
    if isinstance(a, list | tuple):
        return isinstance(b, list | tuple) and len(a) == len(b) and all(map(exact, a, b))
    if isinstance(a, datetime | time):
        return type(a) is type(b) and a.isoformat() == b.isoformat()
    return type(a) is type(b) and str(a) == str(b) and a == b


class TestRoundTrips:
    @given(VALUES)
    def test_any_value(self, value):
        assert exact(through(Anything(value=value)).value, value)

    @given(
        st.builds(
            Line,
            sku=st.text(st.characters(codec="utf-8")),
            price=DECIMALS.filter(Decimal.is_finite),
            tags=st.sets(st.text(st.characters(codec="utf-8"))),
        ),
        st.uuids(),
    )
    def test_models(self, line, id):
        message = Everything(id=id, lines=[line], by_day={date.min: [line], date.max: []})
        assert through(message) == message

    @pytest.mark.parametrize(
        "fields",
        [
            {"colour": Colour.BLUE, "word": Word.YES, "size": Size.HUGE, "price": Price.LOW, "named": 2**80},
            {"pair": (2**70, "ü"), "frozen": {Decimal("1.0"), Decimal(2)}},
            {"grid": {(1, 2): "x", (3, 4): "y"}},
            {"where": Path("/a/b"), "host": IPv4Address("127.0.0.1")},
            {"point": Point(-(2**90), b"\xff\0")},
            {"loose": Loose(a=1, b=Decimal(1), c=[b"\xff"])},
            {"otherName": 7},
            {"named": 7},
            {"value": {"deep": [{"x": (1, 2)}]}},
        ],
    )
    def test_fields(self, fields):
        message = Everything(id=uuid4(), **fields)
        if isinstance(message.value, dict):
            message = Everything(
                id=message.id, value={"deep": [{"x": [1, 2]}]}
            )  # tuples in Any come as lists
        assert through(message) == message

    def test_secrets_arrive(self):
        line = Line(sku="geheim", price=Decimal("1.10"))
        message = Everything(id=uuid4(), secret=Decimal("1.50"), secrets=["geheim"], hidden=line)
        got = through(message)
        assert got == message
        assert str(got.secret.get_secret_value()) == "1.50"
        assert got.hidden.get_secret_value() == line

    def test_wide_integers_wherever_they_are(self):
        class Wide(IntEnum):
            ONE = 2**90

        class Hidden(Event):
            secret: Secret[int]
            items: list[Any]

        message = Hidden(secret=-(2**80), items=[Wide.ONE, {"x": {2**70: Point(2**75)}}, (2**64,)])
        got = through(message)
        assert got.secret == message.secret
        assert got.items == [2**90, {"x": {2**70: {"x": 2**75, "raw": b""}}}, [2**64]]

    def test_moments_in_zones_with_an_hour_twice(self):
        for fold in (0, 1):
            moment = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Zurich"), fold=fold)
            got = through(Anything(value=moment)).value
            assert got.timestamp() == moment.timestamp()
            assert got.utcoffset() == moment.utcoffset()

    @pytest.mark.parametrize(
        "value",
        [math.inf, -math.inf, Decimal("Infinity"), 2**64, 2**64 - 1, -(2**63) - 1, 10**4000],
        ids=lambda value: f"{value:.2e}" if value < 2**65 else "huge",
    )
    def test_edges(self, value):
        assert exact(through(Anything(value=value)).value, value)

    def test_not_a_number(self):
        assert math.isnan(through(Anything(value=math.nan)).value)
        assert through(Anything(value=Decimal("sNaN"))).value.is_snan()

    @pytest.mark.parametrize("depth", [16, 17, 100, 400])
    def test_deep_nesting(self, depth):
        value = [1]
        for _ in range(depth):
            value = [{"x": value}] if depth < 200 else [value]
        assert through(Anything(value=value)).value == value

    def test_a_strict_model(self):
        class Strict(Event):
            model_config = ConfigDict(strict=True)
            pair: tuple[int, ...]
            names: set[str]
            colour: Colour

        message = Strict(pair=(1, 2), names={"a"}, colour=Colour.RED)
        assert through(message) == message


class TestVersions:
    def test_unknown_fields_are_ignored_at_any_depth(self):
        class Inner(BaseModel):
            model_config = ConfigDict(extra="forbid")
            a: int

        class Outer(Event):
            inner: Inner

        got = decode(Outer, pack({"inner": {"a": 1, "new": 2}, "newer": 3}))
        assert got == Outer(inner=Inner(a=1))

    def test_new_fields_need_defaults(self):
        with pytest.raises(InvalidMessage, match="id: Field required"):
            decode(Everything, pack({}))


class TestRefused:
    def test_too_large(self):
        with pytest.raises(MessageTooLarge, match="the limit is 1,000") as caught:
            encode(Anything(value="x" * 1000), 1000)
        assert (caught.value.type, caught.value.limit) == ("anything", 1000)
        assert encode(Anything(value="x" * 900), 1000)

    @pytest.mark.parametrize(
        "value",
        [object(), lambda: 1, "\ud800", {"x": {1: object()}}, [10**5000], Decimal, type],
        ids=lambda value: type(value).__name__,
    )
    def test_what_cannot_be_packed(self, value):
        with pytest.raises(InvalidMessage, match="can't be packed"):
            encode(Anything(value=value), LIMIT)
        assert unpack(pack([1])) == [1], "the packer is spoilt"

    def test_circles(self):
        value = []
        value.append(value)
        for one in (value, {"wide": 2**70, "circle": value}):
            with pytest.raises(InvalidMessage, match="can't be packed"):
                encode(Anything(value=one), LIMIT)

    def test_too_deep(self):
        value = []
        for _ in range(5000):
            value = [value]
        with pytest.raises(InvalidMessage, match="can't be packed"):
            encode(Anything(value=value), LIMIT)


HOSTILE = [
    b"",
    b"\xc1",
    b"\xd4\x63\x00",  # an extension type that we do not have
    b"\xc7\x04\x01abcd",  # a Decimal that is none
    b"\xc7\x03\x06abc",  # a UUID of three bytes
    b"\xc7\x05\x05a,b,c",
    b"\xc7\x03\x07abc",
    b"\x91" * 5000,
    b"\xdd\xff\xff\xff\xff",  # an array of four thousand million
    b"\xdf\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\x01\x02",  # more than one value
    b"\x81\x81\x01\x02\x03",  # a map as a key
    b"\xa2\xff\xfe",  # text that is no UTF-8
    msgpack.packb({"value": msgpack.ExtType(2, b"2026-99-99")}),
    msgpack.packb({"value": msgpack.ExtType(7, b"9" * 5000)}),
    msgpack.packb({"value": msgpack.ExtType(5, b"9" * 30 + b",0,0")}),
]


class TestHostile:
    @pytest.mark.parametrize("data", HOSTILE)
    def test_known_tricks(self, data):
        with pytest.raises(UndecodableMessage, match=f"^{len(data)} bytes are no message data: ."):
            decode(Anything, data)

    @pytest.mark.parametrize("value", [None, 1, "x", [], [1], {1: 2}, {b"id": 1}])
    def test_data_that_is_no_message(self, value):
        with pytest.raises(InvalidMessage):
            decode(Everything, pack(value))

    @given(st.binary(max_size=200))
    @settings(max_examples=300)
    def test_any_bytes(self, data):
        with suppress(HybridError):
            decode(Everything, data)

    @given(VALUES, st.data())
    def test_bytes_with_one_changed(self, value, data):
        packed = bytearray(encode(Anything(value=value), LIMIT))
        place = data.draw(st.integers(0, len(packed) - 1))
        packed[place] = data.draw(st.integers(0, 255))
        with suppress(HybridError):
            decode(Anything, bytes(packed))


class TestShown:
    def test_json_for_people_with_secrets_masked(self):
        message = Everything(id=UUID(int=1), secret=Decimal(1), secrets=["geheim"], value=[Decimal("1.10")])
        data = shown(message)
        assert data["id"] == str(UUID(int=1))
        assert data["secret"] == "**********"
        assert data["value"] == ["1.10"]
        assert "geheim" not in str(data)

    def test_bytes_that_are_no_text(self):
        data = shown(Everything(id=UUID(int=1), value=b"\xff", secrets=["geheim"], point=Point(1, b"\xfe")))
        assert data["value"] == "_w=="
        assert "geheim" not in str(data)

    def test_secrets_are_in_no_error(self):
        data = pack(
            {
                "id": str(uuid4()),
                "secrets": ["ok", {"geheim": 1}],
                "secret": "geheim",
                "hidden": {"sku": "geheim"},
            }
        )
        with pytest.raises(InvalidMessage) as caught:
            decode(Everything, data)
        assert "geheim" not in str(caught.value)
