"""The picture: each view of a snapshot made by hand, as recorded in recorded/VIEW.txt.

RECORD=1 writes what is drawn now; look at it before you keep it.
"""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from cli.console.picture import Size, picture, plain
from cli.console.state import VIEWS, State
from cli.console.views import ALL, rows_of, sparkline
from hybrid.inspect.desk import Group
from hybrid.inspect.failures import FailureView
from hybrid.inspect.flows import FlowSummary, LogLine
from hybrid.inspect.snapshot import ChannelRow, ComponentRow, Snapshot
from hybrid.inspect.status import ConsumerStatus
from hybrid.inspect.tasks import TaskView

RECORDED = Path(__file__).with_name("recorded")
SIZE = Size(100, 14)
AT = 1_800_000_000_000
COMMAND = "command:apply-payment"


def line(after, component, channel, type, outcome, **more):
    facts = {"message": f"f1/1/{after}", "attempt": 1, "flow": "f1", "step": 1, "note": "", **more}
    return LogLine(
        settled=AT + after, taken=AT + after - 3, component=component, channel=channel, type=type,
        outcome=outcome, consumer="host-1", correlation="f1", cause="f1", **facts,
    )  # fmt: skip


SNAPSHOT = Snapshot(
    at=AT + 5_000,
    app="bookstore",
    address="redis://localhost",
    interval=1.0,
    channels=(
        ChannelRow("command:apply-payment", "payment", 0, 1_200, 34, 5_000, 812.4, 2, (0, 10, 400, 1234)),
        ChannelRow("topic:payment-applied", "loyalty", 0, 0, 0, 0, 0.0, 0, (0, 0)),
    ),
    components=(
        ComponentRow("order", "mediator", 0.4, 17, 0, 0, 0, 1, 2, 0, (0.0, 3.0, 0.4)),
        ComponentRow("payment", "processor", 812.4, 9_000, 1_200, 34, 5, 0, 2, 0, (100.0, 812.4)),
        ComponentRow("loyalty", "retired", 0.0, 3, 0, 0, 0, 0, 0, 2, ()),
    ),
    consumers=(ConsumerStatus("host-1", "host", 1, ("payment",), AT, True),),
    flows=(
        FlowSummary("f1", "running", "place-order", "hard", "order", 3, ("apply-payment",), AT, AT, 0, ""),
        FlowSummary("f2", "failed", "place-order", "hard", "order", 2, (), AT, AT, 0, "2: \x1b[31mno card"),
    ),
    unfinished=2,
    ended={"completed": 12, "refused": 1},
    deliveries=(
        line(0, "customer", "event:customer", "place-order", "classified", note="hard by amount: over 100"),
        line(10, "payment", COMMAND, "apply-payment", "retried", attempt=2, note="no net", key="o-1"),
        line(20, "order", "own:order", "wake-up", "advanced"),
        line(30, "loyalty", "topic:payment-applied", "payment-applied", "done"),
        line(40, "order", "own:order", "wake-up", "ended", note="completed"),
    ),
    sampled=True,
    failures=(
        FailureView(
            "payment/5-0", "payment", "payment.pay", "command:apply-payment", "apply-payment", "f2/1/2", "f2",
            2, "k1", "ValueError", "no card", 3, AT, AT, {"card": "**********"}, "Traceback …", (None, None),
        ),
    ),
    rates=(1.0, 400.0, 812.8),
    groups=(
        Group(
            "1f2e3d4c", "ValueError in app.pay", "ValueError", "app.pay", ("apply-payment",), ("payment",),
            1_200, 3, 40, AT, AT,
        ),
    ),
    tasks=(
        TaskView(
            "f1/2", "f1", 2, "place-order", "Approve \x1b[31morder?", "manager", ("approve", "refuse"), "",
            {"total": "12000"}, AT, AT + 65_000, "ann", AT + 10, 1, 0, "",
        ),
        TaskView("f2/3", "f2", 3, "refund", "How much?", "", (), "Refund", {}, AT, 0, "", 0, 0, 0, ""),
    ),
    asked=2,
)  # fmt: skip


def drawn(state, size=SIZE, **more):
    """Return a frame as text."""
    console = Console(width=size.width, height=size.height, color_system=None, legacy_windows=False)
    with console.capture() as captured:
        console.print(picture(SNAPSHOT, state, size, **more))
    return captured.get()


@pytest.fixture(autouse=True)
def _clock(monkeypatch):
    monkeypatch.setattr("cli.console.views.clock", lambda ms: f"+{ms - AT} ms")


@pytest.mark.parametrize("name", [*VIEWS, "help", "filter", "opened", "narrow"])
def test_as_recorded(name):
    state = State(view=name) if name in VIEWS else State()
    size = Size(60, 12) if name == "narrow" else SIZE
    more = {
        "help": {"help": True},
        "filter": {"filter": "by=payment", "typing": True},
        "opened": {"opened": "x"},
    }
    state = replace(state, **more.get(name, {}))
    text = drawn(state, size=size, detail=Text("\n".join(f"line {n}" for n in range(40))), said="")
    file = RECORDED / f"{name}.txt"
    if os.environ.get("RECORD"):
        RECORDED.mkdir(exist_ok=True)
        file.write_text(text)
    assert text == file.read_text()
    assert len(text.splitlines()) == size.height
    assert max(map(len, text.splitlines())) <= size.width


def test_filters():
    def types(filter):
        return [row.cells[2] for row in rows_of(ALL["events"], SNAPSHOT, filter)]

    assert types("payment") == ["payment-applied", "apply-payment"]
    assert types("by=payment") == ["apply-payment"]
    assert types("outcome=DONE payment") == ["payment-applied"]
    assert types("unknown=x") == []
    assert types("key=o-1") == ["apply-payment"]
    assert len(types("")) == 4


def test_scrolling_stops_at_the_end():
    detail = Text("\n".join(f"line {n}" for n in range(40)))
    assert "line 39" in drawn(State(opened="x", scroll=1 << 30), detail=detail)
    assert "line 0\n" not in drawn(State(opened="x", scroll=5), detail=detail).replace(" ", "")


@pytest.mark.parametrize(
    ("values", "bars"),
    [((), ""), ((0, 0), ""), ((0, 1, 2, 4), " ▃▅█"), ((1,) * 30, "█" * 16), ((5, 0.01), "█▁")],
)
def test_sparkline(values, bars):
    assert sparkline(values, 16) == bars


def test_one_line():
    assert plain(SNAPSHOT).startswith(
        "813 deliveries/s, 2 flows under way, 12 completed, 1 refused, 1,200 waiting"
    )
