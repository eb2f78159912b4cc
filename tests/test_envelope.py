"""The envelope: a round trip through the fields of a stream entry, and entries that are none of ours."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid.envelope import Envelope, beside, from_fields, to_fields

TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
NUMBER = st.integers(0, 2**53)
SHAPES = {name: TEXT if default == "" else NUMBER for name, default in Envelope._field_defaults.items()}
SHAPES |= {name: st.integers(1, 2**53) for name in ("version", "attempt", "time")}
SHAPES |= {name: TEXT.filter(bool) for name in ("id", "type")}
COMMAND_IDS = st.from_regex(r"[a-c]{1,2}/[0-3]{1,2}/[0-3]{1,2}", fullmatch=True)
FLOWS = st.sampled_from(["", "a", "b"])
SHAPES |= {name: SHAPES[name] | COMMAND_IDS for name in ("id", "cause")}
SHAPES |= {name: SHAPES[name] | FLOWS for name in ("flow", "correlation", "source", "reply")}
SHAPES |= {name: SHAPES[name] | st.integers(0, 3) for name in ("run", "step")}
ENVELOPES = st.builds(Envelope, **SHAPES)
ENTRY = b"1700000000000-5"


def stored(fields):
    """Return a flat list as Redis gives it back."""
    words = [word if isinstance(word, bytes) else word.encode() for word in fields]
    return dict(zip(words[::2], words[1::2], strict=True))


@given(ENVELOPES, st.binary())
def test_round_trip(envelope, data):
    fields = stored(to_fields(envelope, data))
    assert fields[b"data"] == data
    assert from_fields(fields, ENTRY) == envelope
    assert all(
        type(ours) is type(theirs) for ours, theirs in zip(from_fields(fields, ENTRY), envelope, strict=True)
    )


def test_only_what_is_not_at_its_default_is_written():
    assert to_fields(Envelope("i", "t"), b"") == ["id", "i", "type", "t", "data", b""]
    names = to_fields(Envelope("i", "t", 2, "c", class_="hard", run=1, attempt=3), b"")[::2]
    assert names == ["id", "type", "corr", "run", "v", "attempt", "class", "data"]


def test_what_an_id_tells_is_not_written_again():
    command = Envelope("f/1/2", "t", 1, "f", "f", source="m", flow="f", run=1, step=2, reply="m")
    assert to_fields(command, b"") == ["id", "f/1/2", "type", "t", "reply", "m", "data", b""]
    event = Envelope("e", "t", 1, "f", "f/1/2", source="p")
    assert to_fields(event, b"")[4:] == ["cause", "f/1/2", "source", "p", "data", b""]


def test_the_time_is_the_entrys_when_none_is_given():
    assert from_fields({b"id": b"i", b"type": b"t"}, ENTRY).time == 1_700_000_000_000


def test_unknown_fields_are_ignored():
    assert from_fields({b"id": b"i", b"type": b"t", b"\xff": b"\xff", b"new": b"1"}, ENTRY).id == "i"


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, KeyError),
        ({b"id": b"i"}, KeyError),
        ({b"type": b"t"}, KeyError),
        ({b"id": b"", b"type": b"t"}, KeyError),
        ({b"id": b"\xff", b"type": b"t"}, UnicodeDecodeError),
        ({b"id": b"i", b"type": b"t", b"run": b"x"}, ValueError),
        ({b"id": b"i", b"type": b"t", b"time": b""}, ValueError),
        ({b"id": b"i", b"type": b"t", b"step": b"9" * 5000}, ValueError),
    ],
)
def test_entries_that_are_none_of_ours(fields, error):
    with pytest.raises(error):
        from_fields(fields, ENTRY)


@given(
    st.dictionaries(
        st.sampled_from([n.encode() for n in ("id", "type", "v", "run", "time", "key")]),
        st.binary(max_size=9),
    )
)
def test_any_bytes_give_an_envelope_or_one_of_two_errors(fields):
    with suppress(ValueError, KeyError):
        assert isinstance(from_fields(fields, ENTRY), Envelope)


def test_the_subject_is_the_first_of_a_chain():
    assert Envelope("i", "t").subject == "i"
    assert Envelope("i", "t", origin="o").subject == "o"


@given(ENVELOPES, st.binary())
def test_what_stands_beside_an_envelope_is_told_from_it(envelope, data):
    fields = stored(to_fields(envelope, data))
    assert beside(fields) == {}
    assert beside({**fields, b"mended": b"x", b"gate": b""}) == {b"mended": b"x", b"gate": b""}
