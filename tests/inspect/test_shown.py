"""What people may see of a message, also of one that is not valid."""

from hybrid import Event, Secret
from hybrid.catalog import Catalog
from hybrid.codec import encode, pack
from hybrid.inspect.shown import MASK, visible


class Pin(Secret[str]):
    pass


class Card(Event):
    owner: str
    pin: Pin | None = None
    number: Secret[str]
    extra: dict[str, str] = {}  # noqa: RUF012


catalog = Catalog([Card])


def test_a_valid_message_has_its_secrets_masked():
    data = encode(Card(owner="me", number="5817"), 10_000)
    assert visible(catalog, "card", data) == {"owner": "me", "pin": None, "number": MASK, "extra": {}}


def test_of_one_that_is_not_valid_only_plain_fields_are_shown():
    data = pack(
        {"owner": 5, "pin": ["5817"], "number": ["5817"], "extra": {"pin": "5817"}, "unknown": "5817"}
    )
    assert visible(catalog, "card", data) == {
        "owner": 5,
        "pin": MASK,
        "number": MASK,
        "extra": MASK,
        "unknown": MASK,
    }


def test_of_an_unknown_type_only_names_are_shown():
    assert visible(catalog, "other", pack({"a": "5817"})) == {"a": MASK}


def test_bytes_that_are_no_message():
    assert visible(catalog, "card", b"\xc1") == "1 bytes that are no message data"
    assert visible(catalog, "card", pack([1])) == "a list, no message data"
