"""`hybrid send`, one event: reading it, sending it, waiting for it."""

import json

import pytest


def test_it_prints_the_id_and_stores_the_event(anywhere, still):
    hybrid = anywhere.at(still)
    said = hybrid("send", "go", "n=1", "--id", "mine")
    assert (said.code, said.out) == (0, "mine\n")
    status = hybrid("status", "--json").data
    assert {g["name"]: g["waiting"] for g in status["groups"]}["front"] == 1


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["n=1"], 0, "completed in"),
        (["n=1", "note=refused"], 1, "refused in"),
        (["n=1", "note=broken"], 2, "failed in"),
        (["n=13"], 2, "step 1 (work): ValueError: thirteen"),
    ],
)
def test_waiting_tells_the_outcome(hybrid, words, code, says):
    said = hybrid("send", "go", *words, "--wait")
    assert said.code == code
    assert says in said.out.splitlines()[1]
    assert "\x1b" not in said.out


def test_waiting_too_long_is_an_error_that_says_where_to_look(hybrid):
    said = hybrid("send", "go", "n=1", "note=lost", "--wait", "--timeout", "0.3")
    assert said.code == 2
    assert f"hybrid flows show {said.out.strip()}" in said.err


def test_json_tells_everything(hybrid):
    said = hybrid("send", "go", "n=4", "--wait", "--json", "--id", "j-4")
    facts = said.data
    assert {name: facts[name] for name in ("id", "duplicate", "state", "reason")} == {
        "id": "j-4",
        "duplicate": False,
        "state": "completed",
        "reason": "",
    }
    assert facts["event"] == {"type": "ended", "data": {"n": 4}}


def test_a_simple_event_is_waited_for_too(hybrid):
    assert hybrid("send", "Ping", "n=1", "--wait").code == 0


def test_an_id_that_was_sent_before_starts_nothing(hybrid):
    assert hybrid("send", "ping", "n=1", "--id", "twice").out == "twice\n"
    again = hybrid("send", "ping", "n=1", "--id", "twice")
    assert again.code == 0
    assert "sent before" in again.out


def test_values_are_read_as_the_fields_types(hybrid):
    words = ["n=7", "note=007", "amount=null", "tags.a.0=5", "tags.a.1=6", "tags.b:=[1, 2]", "token=x"]
    said = hybrid("send", "go", *words, "--id", "typed", "--wait")
    assert said.code == 0
    event = hybrid("flows", "show", "typed", "--json").data["event"]
    assert event == {
        "n": 7,
        "note": "007",
        "amount": None,
        "tags": {"a": [5, 6], "b": [1, 2]},
        "token": "**********",
    }


def test_unicode_survives(hybrid):
    note = "čeština, 日本語, 🎈, \u202e and \\"
    assert hybrid("send", "go", "n=1", f"note={note}", "--id", "unicode", "--wait").code == 0
    assert hybrid("flows", "show", "unicode", "--json").data["event"]["note"] == note


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["go", "n=x"], "n: Input should be a valid integer, unable to parse string as an integer, got 'x'"),
        (["go"], "n: Field required"),
        (["go", "n=1", "nn=2"], "nn: there is no such field; those are: n, note, token, tags, amount"),
        (["go", "n=1", "n=2"], "n is given twice"),
        (["go", "n"], "'n' is no key=value"),
        (["go", "=1"], "'=1' is no key=value"),
        (["go", "n=1", "n.x=1"], "n has a value already"),
        (["go", "n:=[1"], "n: no JSON"),
        (["go", "n:=NaN"], "NaN is no JSON number"),
        (["go", "n=1", "--id", "a b"], "id: takes 1 to 100 letters"),
        (["go", "--data", "[1]"], "a JSON object with the event's fields, not a list"),
        (["go", "--data", '{"n": 1'], "--data: no JSON"),
        (["go", "--data", '{"n": ' + "[" * 100_000], "nested too deeply"),
        (["go", "--data", '{"n": 1' + "0" * 5000 + "}"], "4300 digits"),
        (["go", ".".join("a" * 100) + "=1"], "nested too deeply"),
        (["go", "n=1", "--data", "{}"], "not both"),
        (["gone"], "did you mean go?"),
        (["x" * 10_000], "no message is called"),
        (["work", "n=1"], "work is no initiating event; those are: go, ping"),
        ([], "say which event"),
        (["-", "n=1"], "lines bring their own"),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, list) else "",
)
def test_what_is_wrong_is_said_and_nothing_is_sent(hybrid, words, says):
    said = hybrid("send", *words)
    assert said.code == 2
    assert says in said.err
    assert said.out == ""
    assert len(said.err) < 1000


@pytest.mark.parametrize(
    "words",
    [
        ["n=1", "token:=5817"],
        ["n=x", "token=5817"],
        ["n=1", "--data", '{"n": 1, "token": ["5817"]}'],
        ["--data", '{"n": "x", "token": {"a": "5817"}}'],
        ["n=1", "tokn=5817"],
    ],
)
def test_a_secret_is_never_echoed(hybrid, words):
    said = hybrid("send", "go", *words)
    assert said.code == 2
    assert "5817" not in said.err + said.out


def test_a_message_over_the_limit_is_refused(hybrid, monkeypatch):
    monkeypatch.setenv("HYBRID_MAX_MESSAGE_BYTES", "2000")
    said = hybrid("send", "go", "n=1", f"note={'x' * 3000}")
    assert said.code == 2
    assert "the limit is 2,000" in said.err


def test_data_is_validated_as_words_are(hybrid):
    said = hybrid("send", "go", "--data", json.dumps({"n": 5, "tags": {"a": [1]}}), "--wait")
    assert said.code == 0
