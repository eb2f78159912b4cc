"""Why a flow does not go on: named for every one that has not ended, and for no other."""

from __future__ import annotations

import pytest

from hybrid import App
from hybrid.inspect.reasons import Reason, reasons
from hybrid.mediator.record import (
    CHILD,
    IN_REPAIR,
    NOTHING,
    SIGNAL,
    TIMER,
    UNDO,
    WAIT,
    Deed,
    FlowRecord,
    Issued,
    Result,
)
from tests.cli import shop


@pytest.fixture
def why(settings):
    """Return the reasons of a flow on record like this."""
    app = App("shop", [shop.front, shop.boss, shop.worker, shop.listener], settings=settings)

    def told(steps=(), *, waits=(), stuck=None, results=None, paused=None, **facts):
        record = FlowRecord("f1", {"mediator": "boss", **facts}, steps=dict(enumerate(steps, 1)))
        record.paused = paused
        record.waits, record.stuck, record.results = set(waits), stuck or {}, results or {}
        return reasons(record, app.topology)

    return told


WORK = Issued("work", 1, 1000)


def test_what_it_waits_for(why):
    assert why([WORK], waits=[1]) == (Reason(1, "it waits for worker to do work"),)
    assert why([Issued("work", 1, 1000, 500)], waits=[1])[0].until == 1500
    assert why([Issued("sleep 5 s", 1, 1000, 5000, TIMER)], waits=[1]) == (Reason(1, "it sleeps", 6000),)
    assert why([Issued("go", 1, 1000, 0, SIGNAL)], waits=[1]) == (Reason(1, "it waits for the signal go"),)
    assert "no processor of this application" in why([Issued("gone", 1, 1000)], waits=[1])[0].text


def test_several_at_once_in_the_order_of_the_steps(why):
    found = why([WORK, Issued("go", 1, 1000, 0, SIGNAL), WORK], waits=[3, 2, 1], stuck={3: "it broke"})
    assert [reason.step for reason in found] == [1, 2, 3]
    assert found[2].text == "work waits at the desk: it broke"


def test_what_went_wrong(why):
    assert why([WORK], waits=[1], stuck={1: f"{IN_REPAIR}mender"})[0].text == "work is in repair by mender"
    assert why([WORK], waits=[1], error="it broke")[0] == Reason(0, "it waits at the desk: it broke")


def test_what_it_waits_for_beside_commands(why):
    for kind, text in ((WAIT, "the event paid"), (SIGNAL, "the signal paid"), (CHILD, "its child paid (")):
        assert why([Issued("paid", 1, 1000, 0, kind)], waits=[1])[0].text.startswith(f"it waits for {text}")
    assert why([Issued("work", 1, 1000, 0, UNDO)], waits=[1])[0].text == "it waits for worker to do work"


def test_a_paused_one_says_by_whom_before_all_else(why):
    alone, ruled = Deed("ann", "holidays", 5), Deed("ann", "", 5, "type:go")
    assert why([WORK], waits=[1], paused=alone)[0].text == "it is paused by ann: holidays"
    assert why([WORK], waits=[1], paused=ruled)[0].text == "it is paused with all flows of type go by ann"
    assert [reason.step for reason in why([WORK], waits=[1], paused=alone)] == [0, 1]


def test_nothing_awaited_is_a_reason_too(why):
    (reason,) = why([WORK], results={1: Result(NOTHING)})
    assert reason.text == "a wake-up for it is on its way to boss"
    assert why()


def test_one_that_has_ended_has_none(why):
    assert why([WORK], waits=[1], stuck={1: "it broke"}, error="it broke", ended="5") == ()
