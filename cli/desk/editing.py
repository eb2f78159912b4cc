"""Mending messages: in an editor, or by words. What is sent was validated, and shown as a difference."""

from __future__ import annotations

import copy
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from cli.asking import agreed, confirm
from cli.desk.acting import Telling, ask, at_desk
from cli.desk.choosing import Chosen, orders
from cli.environment import Environment, run
from cli.output import clean, compact, err, show
from cli.reading import BadInput, fits, pair, parsed
from hybrid.errors import InvalidMessage, MessageError
from hybrid.inspect.actions import ALREADY, EDIT, REFUSED, Desk, Order, Outcome
from hybrid.inspect.desk import Selection
from hybrid.inspect.editing import ABSENT, changed, document, edited
from hybrid.inspect.failures import FailureView
from hybrid.inspect.stages import Pace, sent
from hybrid.messages import Message
from hybrid.topology import Topology

Changes = Sequence[tuple[str, Any, Any]]


def edit_by_words(env: Environment, chosen: Chosen, words: list[str]) -> None:
    """Set fields of all that was chosen, and send it back; the first is shown as an example."""
    selection = chosen.selection()
    for word in words:
        pair(word)  # raises BadInput before anything is done
    if not chosen.yes:
        _preview(env, chosen, selection, words)
    ask(env, selection, chosen.yes, "edit and retry")
    telling = Telling(chosen.as_data)

    async def work(desk: Desk, some: AsyncIterator[Order]) -> None:
        topology = env.application().topology

        async def mended() -> AsyncIterator[Order]:
            async for view, _ in some:
                try:
                    message = by_words(topology, view, words)
                except (BadInput, MessageError) as error:
                    telling.take([Outcome(view.id, REFUSED, str(error), view.message)])
                    continue
                if changed(view, message):
                    yield Order(view, message)
                else:
                    telling.take([Outcome(view.id, REFUSED, "nothing would be changed", view.message)])

        async for outcomes in sent(desk, mended(), Pace(0)):
            telling.take(outcomes)

    at_desk(env, chosen, EDIT, selection, work)
    telling.end(EDIT)


def edit_in_editor(env: Environment, chosen: Chosen) -> None:
    """Edit one message in $EDITOR, again until it is valid; show the difference, ask, and send it back."""
    view = _one(env, chosen)
    message = _edited(env.application().topology, view)
    difference = changed(view, message)
    if not difference:
        raise BadInput(f"nothing was changed: `hybrid desk retry {view.id}` sends it back as it is")
    show(picture(difference))
    if not chosen.yes:
        confirm("Send it back so?")
    telling = Telling(chosen.as_data)

    async def work(desk: Desk, some: AsyncIterator[Order]) -> None:
        try:
            found = [Order(order.view, message) async for order in some]
        except BadInput:  # it was there when the editor was opened
            telling.take([Outcome(view.id, ALREADY, "", view.message)])
        else:
            telling.take(await desk.act(found))

    at_desk(env, _only(chosen, view), EDIT, None, work)
    telling.end(EDIT)


def by_words(topology: Topology, view: FailureView, words: Sequence[str]) -> Message:
    """Return a message with some fields set: `field=value`, `field.inner=value`, `field:=JSON`.

    A value is text that the field's type reads; one that it does not take, and that is a JSON scalar, is
    taken as that. Raises MessageError and BadInput.
    """
    pairs = [pair(word) for word in words]
    try:
        return edited(topology, view, _with(view, pairs, {}))
    except InvalidMessage as error:
        better = {key: json.loads(value) for key, value in pairs if fits(key, value, error)}
        if not better:
            raise
    return edited(topology, view, _with(view, pairs, better))


def picture(difference: Changes) -> Text:
    """Return a difference as lines: - before, + after."""
    lines = Text()
    for path, before, after in difference:
        for sign, value, style in (("-", before, "red"), ("+", after, "green")):
            if value != ABSENT:
                lines.append(f"{sign} {clean(path)}: {compact(value)}\n", style)
    lines.rstrip()
    return lines


def _preview(env: Environment, chosen: Chosen, selection: Selection | None, words: list[str]) -> None:
    """Show what the words change in the first that was chosen."""

    async def look() -> Changes:
        async with env.store() as (app, store):
            async for view, _ in orders(store, app.topology, chosen.ids or [], selection):
                return changed(view, by_words(app.topology, view, words))
        return []

    show(picture(run(look)))


def _one(env: Environment, chosen: Chosen) -> FailureView:
    """Return the one failure that was chosen. Raises BadInput unless it is one."""

    async def look() -> list[FailureView]:
        async with env.store() as (app, store):
            found = []
            async for view, _ in orders(store, app.topology, chosen.ids or [], chosen.selection()):
                found.append(view)
                if len(found) > 1:
                    break
            return found

    found = run(look)
    if len(found) != 1:
        raise BadInput(
            f"an editor mends one message, and {'more than one' if found else 'none'} was chosen:"
            " --set FIELD=VALUE mends many alike"
        )
    return found[0]


def _edited(topology: Topology, view: FailureView) -> Message:
    """Let a person edit until the message is valid. Raises BadInput when they give up."""
    text = json.dumps(document(view), indent=2, ensure_ascii=False, default=str) + "\n"
    while True:
        text = _opened(text)
        try:
            return edited(topology, view, parsed(text))
        except (BadInput, MessageError) as error:
            err(f"nothing was sent: {error}")
        if not agreed("Edit it again?"):
            raise BadInput("given up: nothing was changed")


def _opened(text: str) -> str:
    """Return a text as somebody left it in $EDITOR. The file is readable by its owner only, and deleted."""
    given = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not given and not sys.stdin.isatty():
        raise BadInput("there is no terminal for vi: set EDITOR, or use --set FIELD=VALUE")
    editor = shlex.split(given or "vi")
    with tempfile.TemporaryDirectory(prefix="hybrid-") as directory:
        file = Path(directory) / "message.json"
        file.write_text(text, encoding="utf-8")
        try:
            code = subprocess.run([*editor, str(file)], check=False).returncode
        except OSError as error:
            raise BadInput(
                f"the editor {editor[0]} can't be started ({error.strerror}): set EDITOR, or use --set"
            ) from None
        if code:
            raise BadInput(f"the editor {editor[0]} ended with exit code {code}: nothing was changed")
        return file.read_text(encoding="utf-8", errors="replace")


def _only(chosen: Chosen, view: FailureView) -> Chosen:
    """Return the options for this one failure, by its handle."""
    return Chosen(ids=[view.id], who=chosen.who, reason=chosen.reason, as_data=chosen.as_data)


def _with(view: FailureView, pairs: Sequence[tuple[str, Any]], better: dict[str, Any]) -> dict[str, Any]:
    """Return the document with some values set, by paths whose dots lead inwards."""
    given = copy.deepcopy(document(view))
    for key, value in pairs:
        *way, last = key.split(".")
        place: Any = given["data"]
        for part in way:
            place = _inside(place, part, key)
        if isinstance(place, list):
            place[_index(place, last, key)] = better.get(key, value)
        elif isinstance(place, dict):
            place[last] = better.get(key, value)
        else:
            raise BadInput(f"--set {key}: nothing can be set inside a plain value")
    return given


def _inside(place: Any, part: str, key: str) -> Any:
    if isinstance(place, list):
        return place[_index(place, part, key)]
    if isinstance(place, dict):
        return place.setdefault(part, {})
    raise BadInput(f"--set {key}: {part} is not inside an object or a list")


def _index(place: list[Any], part: str, key: str) -> int:
    if part.isdecimal() and int(part) < len(place):
        return int(part)
    raise BadInput(f"--set {key}: the list has {len(place)} values, and {part!r} is none of their places")
