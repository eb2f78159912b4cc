"""What people may see of a message: secrets masked, also in messages that are not valid."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from hybrid.catalog import Catalog
from hybrid.codec import shown, unpack
from hybrid.errors import MessageError
from hybrid.messages import hides

MASK = "**********"
_WORDS = {None: "null", True: "true", False: "false"}


def visible(catalog: Catalog, type: str, data: bytes, version: int = 0) -> Any:
    """Return a message's data, JSON-ready, with secrets masked; `version` as for `Catalog.decode`.

    Of data that is not valid only the fields that can't be secret are shown; of a type that nobody knows only
    the fields' names.
    """
    try:
        return shown(catalog.decode(type, data, version))
    except MessageError:
        pass
    try:
        values = unpack(data)
    except MessageError:
        return f"{len(data)} bytes that are no message data"
    if not isinstance(values, dict):
        return f"a {values.__class__.__name__}, no message data"
    model = catalog.named(type) if type in catalog else None
    return {
        str(name): _plain(value) if _is_open(model, str(name)) else MASK for name, value in values.items()
    }


def told(data: Any, path: str) -> str | None:
    """Return what stands in data at a path (dots lead inwards), as text; None when nothing does."""
    for part in path.split("."):
        if isinstance(data, dict) and part in data:
            data = data[part]
        elif isinstance(data, list) and part.isdecimal() and int(part) < len(data):
            data = data[int(part)]
        else:
            return None
    return _WORDS.get(data, str(data)) if data is None or isinstance(data, bool) else str(data)


def _is_open(model: Any, name: str) -> bool:
    """Tell whether a field can hold no secret: a known one, whose annotation is a plain value."""
    known = model.model_fields.get(name) if model else None
    if known is None or hides(known.annotation):
        return False
    return isinstance(known.annotation, type) and not issubclass(known.annotation, BaseModel)


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | None) else str(value)
