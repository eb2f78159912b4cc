"""Setting fields by words: paths lead inwards, and what does not fit is said."""

import pytest

from cli.desk.editing import by_words, picture
from cli.reading import BadInput
from hybrid import Command, Processor
from hybrid.broker.failures import Failure
from hybrid.codec import pack
from hybrid.errors import InvalidMessage
from hybrid.inspect.failures import view
from hybrid.topology import Topology


class Ship(Command):
    order: str
    lines: list[dict[str, int]]
    note: str | None = None
    limits: dict[str, list[int]]


post = Processor("post")


@post.on(Ship)
async def ship(command: Ship) -> None:
    pass


TOPOLOGY = Topology([post])


class Nowhere:
    number = 0


@pytest.fixture
def failed():
    data = pack({"order": "1", "lines": [{"a": 1}, {"b": 2}], "note": "x", "limits": {}})
    fields = {b"id": b"m", b"type": b"ship", b"data": data}
    return view(TOPOLOGY, Nowhere(), Failure("1-0", "post", "command:ship", "post.ship", fields, "E"))


@pytest.mark.parametrize(
    ("word", "field", "value"),
    [
        ("order=7", "order", "7"),
        ("lines.1.b=5", "lines", [{"a": 1}, {"b": 5}]),
        ('lines:=[{"c": 3}]', "lines", [{"c": 3}]),
        ("note:=null", "note", None),
        ("limits.day=[1, 2]", "limits", {"day": [1, 2]}),
    ],
)
def test_what_is_set(failed, word, field, value):
    assert getattr(by_words(TOPOLOGY, failed, [word]), field) == value


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("lines.7.b=5", "--set lines.7.b: the list has 2 values, and '7' is none of their places"),
        ("order.a.b=5", "--set order.a.b: a is not inside an object or a list"),
        ("order.a=5", "--set order.a: nothing can be set inside a plain value"),
        ("order", "'order' is no key=value"),
    ],
)
def test_paths_that_lead_nowhere(failed, word, why):
    with pytest.raises(BadInput, match=why.replace("(", "\\(")):
        by_words(TOPOLOGY, failed, [word])


def test_what_is_not_valid(failed):
    with pytest.raises(InvalidMessage, match=r"lines\.1\.b: Input should be a valid integer"):
        by_words(TOPOLOGY, failed, ["lines.1.b=many"])


def test_the_picture_of_a_difference():
    shown = picture([("a", 1, 2), ("b", "(absent)", "x"), ("c", "\x1b[31m", "(absent)")])
    assert shown.plain == '- a: 1\n+ a: 2\n+ b: "x"\n- c: "\\u001b[31m"'
