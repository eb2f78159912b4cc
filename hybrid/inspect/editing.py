"""Mending the data of a failed message: what is edited is what people may see, with secrets masked; what they
left as it was keeps its exact value, so that a masked secret is neither shown nor lost.
"""

from __future__ import annotations

from typing import Any

from hybrid.codec import pack, shown, unpack
from hybrid.errors import MessageError
from hybrid.inspect.failures import FailureView
from hybrid.inspect.shown import MASK
from hybrid.messages import Message
from hybrid.topology import Topology


def document(view: FailureView) -> dict[str, Any]:
    """Return what is edited. Raises MessageError for what has no data to mend."""
    if not isinstance(view.data, dict):
        what = view.data or "it carries no data of its own"
        raise MessageError(f"{view.id} can't be edited ({what}): send it back, discard it or archive it")
    return {"type": view.type, "data": view.data}


def edited(topology: Topology, view: FailureView, given: Any) -> Message:
    """Return the message that an edited document is, validated strictly.

    Raises MessageError, also when the document has another type than the message, or a mask where there was
    no secret; InvalidMessage and UnknownMessage for what is no message.
    """
    was = document(view)
    if not isinstance(given, dict) or set(given) != set(was) or not isinstance(given["data"], dict):
        raise MessageError('an edited message is {"type": …, "data": {…}}: mend the values in data')
    if given["type"] != was["type"]:
        raise MessageError(
            f"its type can't be changed, from {was['type']} to {given['type']}: {view.component} handles it,"
            f" and who waits for it knows it, as {was['type']}. Discard it and send another message instead"
        )
    _, failure = view.source
    exact = topology.catalog.values(view.type, failure.data, failure.version)
    values = _merged(given["data"], was["data"], exact, "")
    return topology.catalog.validate(view.type, values)


def changed(view: FailureView, message: Message) -> list[tuple[str, Any, Any]]:
    """Return what is different in a mended message, as `changes` does; of a secret only that it is so."""
    before, after = view.data, shown(message)
    found = changes(before, after)
    exact = changes(unpack(view.source[1].data), unpack(pack(message.__dict__)))
    for path, was, _ in exact:
        hidden = _mask_above(after, path)
        another = (hidden, MASK, f"{MASK} (another secret)")
        if hidden and hidden == _mask_above(before, path) and was is not ABSENT and another not in found:
            found.append(another)
    return found


def changes(before: Any, after: Any, path: str = "") -> list[tuple[str, Any, Any]]:
    """Return what differs between two messages as they are shown: (field, before, after), ABSENT for what is
    not there.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        names = [*before, *(name for name in after if name not in before)]
        pairs = [(str(name), before.get(name, ABSENT), after.get(name, ABSENT)) for name in names]
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = [(str(at), *pair) for at, pair in enumerate(zip(before, after, strict=True))]
    else:
        return [] if before == after else [(path, before, after)]
    return [change for name, a, b in pairs for change in changes(a, b, f"{path}.{name}" if path else name)]


ABSENT = "(absent)"
_DEFAULT = object()


def _merged(given: Any, shown: Any, exact: Any, path: str) -> Any:
    """Return an edited value, with the exact value of all that was left as it was shown."""
    if given == shown and type(given) is type(shown):
        return exact
    if given == MASK:
        raise MessageError(f"{path}: a mask stands here for no secret; give the value itself")
    if isinstance(given, dict):
        inner = {name: _inner(value, shown, exact, name, path) for name, value in given.items()}
        return {name: value for name, value in inner.items() if value is not _DEFAULT}
    if isinstance(given, list):
        if not (_masked(shown) or _masked(given)):
            return given  # as a whole: a set's order is another one each time it is shown
        _check_unmoved(given, shown, path)
        return [_inner(value, shown, exact, at, path) for at, value in enumerate(given)]
    return given


def _inner(given: Any, shown: Any, exact: Any, name: Any, path: str) -> Any:
    """Return an edited value inside an object or a list; what stood there before may be nothing."""
    inside = f"{path}.{name}" if path else str(name)
    was, value = _at(shown, name), _at(exact, name)
    if value is ABSENT and given == was:
        return _DEFAULT  # shown, and not in the message: left as it is, it is the default again
    return _merged(given, was, value, inside)


def _at(data: Any, name: Any) -> Any:
    """Return what stands in an object or a list, ABSENT when nothing does."""
    if isinstance(data, dict):
        return data.get(name, ABSENT)
    return data[name] if isinstance(data, list) and isinstance(name, int) and name < len(data) else ABSENT


def _check_unmoved(given: list[Any], shown: Any, path: str) -> None:
    """Raise MessageError when a list with masks was reordered, or has another length: which secret each
    stands for can't be told.
    """
    was = shown if isinstance(shown, list) else []
    moved = len(given) != len(was) or any(a != b and a in was for a, b in zip(given, was, strict=False))
    if moved and _masked(given):
        raise MessageError(
            f"{path}: in a list that is reordered, or grows or shrinks, nobody can tell which secret a mask"
            " stands for; give the secrets themselves"
        )


def _masked(value: Any) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value == MASK or any(map(_masked, inner))


def _mask_above(data: Any, path: str) -> str:
    """Return the part of a path that leads to a mask, "" when none does."""
    parts = path.split(".")
    for at, part in enumerate(parts):
        data = _at(data, int(part) if isinstance(data, list) and part.isdecimal() else part)
        if data == MASK:
            return ".".join(parts[: at + 1])
    return ""
