"""A flow's record, as the hash has it."""

import pytest

from hybrid.codec import pack, unpack
from hybrid.mediator.record import NOTHING, TIMER, FlowRecord, Issued, Result


def test_it_reads_what_stands_there():
    record = FlowRecord.read(
        "f1",
        {
            b"version": b"3",
            b"run": b"1",
            b"state": b"running",
            b"key": b"\xc3\xb6",
            b"event": b"\x80",
            b"need": b"1",
            b"step:1": pack(["pay", 7, 1000, 0]),
            b"step:2": pack(["ship", 8, 1001, 500]),
            b"step:3": pack(["sleep 1 s", 0, 1002, 1000, "timer"]),
            b"result:1": Result(NOTHING, by="payment", attempt=2).packed(),
            b"result:2": b"",
            b"value:1": pack([0.5, 2]),
            b"stuck:2": "ValueError: ö".encode(),
        },
    )
    assert (record.version, record.run, record.state, record.ended) == (3, 1, "running", False)
    assert record.facts["key"] == "ö"
    assert record.event == b"\x80"
    steps = [
        Issued("pay", 7, 1000, 0),
        Issued("ship", 8, 1001, 500),
        Issued("sleep 1 s", 0, 1002, 1000, TIMER),
    ]
    assert record.steps == dict(enumerate(steps, 1))
    assert [step.kind for step in steps] == ["command", "command", "timer"]
    assert steps[1].packed() == pack(["ship", 8, 1001, 500])  # as it has always been
    assert Issued(*unpack(steps[2].packed())) == steps[2]
    assert (record.results[1].kind, record.results[1].by, record.results[1].attempt) == (
        "nothing",
        "payment",
        2,
    )
    assert (record.waits, record.values, record.stuck) == ({2}, {1: (0.5, 2)}, {2: "ValueError: ö"})


def test_one_that_ended():
    record = FlowRecord.read(
        "f1", {b"state": b"completed", b"ended": b"5", b"outcome": pack(["done", 1, b"\x80"])}
    )
    assert record.ended
    assert record.outcome == ("done", 1, b"\x80")


@pytest.mark.parametrize("fields", [{}, {b"version": b"0"}])
def test_one_that_is_not_there(fields):
    record = FlowRecord.read("f1", fields)
    assert (record.version, record.run, record.state, record.ended) == (0, 1, "running", False)
