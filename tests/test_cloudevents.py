"""CloudEvents 1.0: checked against the specification's JSON schema, and what a schema can't say."""

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from hybrid import Event, Secret
from hybrid.cloudevents import cloud_event, described, finite, source, timestamp
from hybrid.envelope import Envelope

SCHEMA = json.loads(Path(__file__).with_name("data").joinpath("cloudevents.json").read_text())
CORE = {"id", "source", "specversion", "type", "subject", "time", "datacontenttype", "dataschema", "data"}
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class Sold(Event, key="book"):
    book: str
    price: float = 1.5
    card: Secret[str] | None = None


FULL = Envelope(
    id="m1", type="sold", version=2, correlation="f1", cause="f1/1/2", origin="m0", key="Dune",
    time=1_700_000_000_123, source="shelf", trace="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    attempt=3, expires=1_700_000_060_000, flow="f1", run=1, step=2, reply="orders", class_="hard",
    rule="by_total", retry="5 100 2 60000", reason="over\n10,000",
)  # fmt: skip


def checked(event: dict[str, Any]) -> dict[str, Any]:
    """Return a CloudEvent as it is after a journey as JSON, when it is valid."""
    event = json.loads(json.dumps(event, allow_nan=False))
    Draft7Validator.check_schema(SCHEMA)
    Draft7Validator(SCHEMA).validate(event)
    for name, value in event.items():
        if name == "data":
            continue
        assert re.fullmatch("[a-z0-9]{1,20}", name), name
        assert isinstance(value, str | bool) or (isinstance(value, int) and abs(value) < 2**31), name
        assert value != "", name
        assert not isinstance(value, str) or not FORBIDDEN.search(value), name
    for name in {"time", "expirytime", "takentime"} & event.keys():
        assert RFC3339.fullmatch(event[name])
    assert re.fullmatch(r"/[A-Za-z0-9._~%-]*(/[A-Za-z0-9._~%-]+)*", event["source"])
    assert ("data" in event) == ("datacontenttype" in event)
    return event


def test_a_message_with_everything():
    event = checked(cloud_event(FULL, Sold(book="Dune", card="5817"), "shop"))
    assert event == {
        "specversion": "1.0",
        "id": "m1",
        "source": "/shop/shelf",
        "type": "sold",
        "subject": "Dune",
        "time": "2023-11-14T22:13:20.123Z",
        "datacontenttype": "application/json",
        "data": {"book": "Dune", "price": 1.5, "card": "**********"},
        "correlationid": "f1",
        "causationid": "f1/1/2",
        "originid": "m0",
        "flow": "f1",
        "run": 1,
        "step": 2,
        "replyto": "orders",
        "class": "hard",
        "rule": "by_total",
        "reason": "over\ufffd10,000",
        "attempt": 3,
        "retry": "5 100 2 60000",
        "schemaversion": 2,
        "expirytime": "2023-11-14T22:14:20.000Z",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    }


def test_what_is_not_set_is_not_there():
    event = checked(cloud_event(Envelope("m1", "sold"), Sold(book="Dune"), "shop"))
    assert event.keys() == {"specversion", "id", "source", "type", "datacontenttype", "data"}
    assert event["source"] == "/shop"


def test_without_data_there_is_no_type_of_it():
    assert "datacontenttype" not in checked(described(FULL, None, "shop"))
    assert checked(described(FULL, "3 bytes that are no message data", "shop"))["data"]


def test_numbers_that_json_does_not_know_become_text():
    event = checked(cloud_event(Envelope("m1", "sold"), Sold(book="Dune", price=math.inf), "shop"))
    assert event["data"]["price"] in ("inf", None)
    assert finite({"a": [1.0, math.nan], "b": (math.inf,)}) == {"a": [1.0, "nan"], "b": ["inf"]}


def test_a_source_is_a_uri_reference():
    assert source("shop") == "/shop"
    assert source("my shop", "a/b?c#d:e") == "/my%20shop/a%2Fb%3Fc%23d%3Ae"


@pytest.mark.parametrize("ms", [0, 10**18, -(10**18)])
def test_a_time_that_is_none_is_left_out(ms):
    assert timestamp(ms) == ""


def test_a_wrong_one_would_be_found():
    good = cloud_event(FULL, Sold(book="Dune"), "shop")
    for change in ({"id": ""}, {"type": 5}, {"source": ""}, {"time": 3}):
        assert not Draft7Validator(SCHEMA).is_valid(good | change)
    assert not Draft7Validator(SCHEMA).is_valid({name: good[name] for name in good if name != "specversion"})
