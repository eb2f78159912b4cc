"""The state of the console: which view, which row, which filter; and what a key changes in it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

VIEWS = ("events", "flows", "channels", "processors", "desk", "tasks")
PAGE = 10
END = 1 << 30


@dataclass(frozen=True, slots=True)
class State:
    """What the person at the console has chosen."""

    view: str = VIEWS[0]
    cursor: int = 0
    filter: str = ""
    typing: bool = False
    """Whether keys go into the filter."""
    paused: bool = False
    help: bool = False
    opened: str = ""
    """The key of the row that is open, "" for none."""
    scroll: int = 0
    """The first line shown of what is open."""
    quit: bool = False
    retrying: str = ""
    """The key of the failure that is to be sent back, "" for none."""


def pressed(state: State, key: str, rows: Sequence[str]) -> State:
    """Return the state after a key; `rows` are the keys of the rows that are shown."""
    if key == "interrupt":
        return replace(state, quit=True)
    if state.typing:
        return _typed(state, key)
    if state.help:
        return replace(state, help=False)
    if key in MOVES:
        return _moved(state, MOVES[key], len(rows))
    if view := _view(key):
        return State(view=view, paused=state.paused)
    return _chosen(state, key, rows[min(state.cursor, len(rows) - 1)] if rows else "")


MOVES = {
    "up": -1,
    "k": -1,
    "down": 1,
    "j": 1,
    "page up": -PAGE,
    "page down": PAGE,
    "home": -END,
    "g": -END,
    "end": END,
    "G": END,
}


def _typed(state: State, key: str) -> State:
    if key == "enter":
        return replace(state, typing=False)
    if key == "escape":
        return replace(state, typing=False, filter="", cursor=0)
    if key in ("backspace", "erase"):
        return replace(state, filter=state.filter[:-1] if key == "backspace" else "", cursor=0)
    return replace(state, filter=state.filter + key, cursor=0) if len(key) == 1 else state


def _moved(state: State, by: int, rows: int) -> State:
    if state.opened:
        return replace(state, scroll=max(state.scroll + by, 0))
    at = min(state.cursor, max(rows - 1, 0))
    return replace(state, cursor=min(max(at + by, 0), max(rows - 1, 0)))


def _back(state: State) -> State:
    """Leave what is open; then the filter."""
    return replace(state, opened="", scroll=0) if state.opened else replace(state, filter="", cursor=0)


def _view(key: str) -> str:
    """Return the view that a key chooses: by its number, or by its first letter."""
    if key in "123456":
        return VIEWS[int(key) - 1]
    return {"e": "events", "f": "flows", "c": "channels", "r": "processors", "x": "desk", "t": "tasks"}.get(
        key, ""
    )


def _chosen(state: State, key: str, row: str) -> State:
    """Return what a key does to the row under the cursor ("" for none), or switches."""
    match key:
        case "enter" if not state.opened:
            state = replace(state, opened=row, scroll=0)
        case "R" if state.view == "desk":
            state = replace(state, retrying=state.opened or row)
        case "escape":
            state = _back(state)
        case "q":
            state = replace(state, quit=True)
        case "p" | " ":
            state = replace(state, paused=not state.paused)
        case "/":
            state = replace(state, typing=True, opened="")
        case "?":
            state = replace(state, help=True)
    return state
