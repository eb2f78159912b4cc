"""The timeline of a flow, as lines: what people did stands in its place by time."""

from __future__ import annotations

import re

from cli.flows.timeline import lines
from cli.output import STYLES
from hybrid.inspect.deeds import DeedView
from hybrid.inspect.flows import FlowSummary, FlowView, StepView
from hybrid.inspect.query import STATES
from hybrid.inspect.reasons import Reason


def step(number, sent, done):
    state = "acknowledged" if done else "waiting"
    return StepView(
        number, "command", f"work-{number}", "worker", state, sent, sent, done, "w1", 1, 0, "", None, ""
    )


def view(*deeds, reasons=()):
    flow = FlowSummary("f1", "running", "go", "hard", "boss", 2, ("work-2",), 1000, 1000, 0, "")
    steps = (step(1, 1010, 1020), step(2, 1040, 0))
    return FlowView(flow, "", "", "", 1, 1, None, steps, "", None, (), deeds=deeds, reasons=reasons)


def told(view):
    """Return the lines without their times."""
    return [re.sub(r"^.*\+\d+ ms ", "", str(line)).strip() for line in lines(view)]


def test_deeds_stand_between_the_steps():
    said = told(
        view(
            DeedView(1030, "pause", "ann", "Prüfung ✓\x1b[31m"),
            DeedView(1035, "resume", "ann", ""),
            DeedView(1050, "fix", "bob", "typo", (1, "receipt", {"no": 1})),
        )
    )
    assert said[-7:] == [
        "step 1  work-1 → worker",
        "acknowledged by w1 in 10 ms",
        "paused by ann: Prüfung ✓\\x1b[31m",
        "resumed by ann",
        "step 2  work-2 → worker",
        "waiting, 1 attempt(s)",
        'fixed 1 receipt {"no": 1} by bob: typo',
    ]


def test_why_it_does_not_go_on_stands_last():
    *_, first, second = lines(view(reasons=(Reason(0, "it is paused"), Reason(2, "it waits", 2000))))
    assert str(first) == "  why  it is paused"
    assert str(second).startswith("  why  step 2: it waits, until ")


def test_each_state_has_its_colour():
    assert set(STATES) <= set(STYLES)
