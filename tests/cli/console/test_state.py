"""What keys change in the console, and which keys a terminal's characters are."""

from dataclasses import replace

import pytest

from cli.console.keys import keys_of
from cli.console.state import VIEWS, State, pressed

ROWS = ["a", "b", "c"]


def press(keys, state=None, rows=ROWS):
    state = state or State()
    for key in keys:
        state = pressed(state, key, rows)
    return state


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("q", ["q"]),
        ("\x1b[A\x1b[B", ["up", "down"]),
        ("\x1b", ["escape"]),
        ("\x1b[5~x", ["page up", "x"]),
        ("\r/ö", ["enter", "/", "ö"]),
        ("\x7f\x03", ["backspace", "interrupt"]),
        ("\x00\x01\x1b[99;5u", []),
    ],
)
def test_keys(text, keys):
    assert keys_of(text) == keys


@pytest.mark.parametrize(
    ("key", "view"), [*zip("123456", VIEWS, strict=True), *zip("efcrxt", VIEWS, strict=True)]
)
def test_views_on_keys(key, view):
    assert press([key], State(cursor=2, opened="b", filter="x")) == State(view=view)


def test_the_cursor_stays_within_the_rows():
    assert press(["down", "j", "down", "down"]).cursor == 2
    assert press(["up", "k"]).cursor == 0
    assert press(["G"]).cursor == 2
    assert press(["end", "home"]).cursor == 0
    assert press(["page down"], rows=[]).cursor == 0
    assert press(["down"], State(cursor=99)).cursor == 2


def test_open_scroll_and_back():
    state = press(["down", "enter"])
    assert state.opened == "b"
    assert press(["down", "down", "up"], state).scroll == 1
    assert press(["down", "escape"], state) == State(cursor=1)
    assert press(["enter"], rows=[]).opened == ""


def test_the_filter():
    state = press(["/", "q", "p", "1"])
    assert (state.filter, state.typing) == ("qp1", True)
    assert press(["backspace", "enter"], state) == State(filter="qp")
    assert press(["erase"], state).filter == ""
    assert press(["escape"], state) == State()
    assert press(["up"], state) == state
    assert press(["escape"], State(filter="x")) == State()


def test_pause_help_and_leave():
    assert press(["p"]).paused
    assert not press(["p", " "]).paused
    assert press(["?"]).help
    assert press(["?", "q"]) == State()
    assert press(["q"]).quit
    assert press(["/", "interrupt"]).quit


def test_only_failures_are_sent_back():
    assert press(["R"]).retrying == ""
    assert press(["R"], State(view="desk", cursor=1)).retrying == "b"
    assert press(["R"], State(view="desk", opened="c")).retrying == "c"
    assert press(["R"], State(view="desk"), []).retrying == ""


def test_views_keep_the_pause():
    assert press(["p", "2"]) == replace(State(view="flows"), paused=True)
