"""Masked messages: every secret in them is replaced; they may leave the store, and can be read still."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from pydantic import BaseModel

from hybrid.catalog import Catalog
from hybrid.codec import pack
from hybrid.errors import MessageError
from hybrid.inspect.shown import MASK

Each = Callable[[Any], Any]


def masked(catalog: Catalog, type: str, data: bytes, version: int) -> tuple[int, bytes] | None:
    """Return the schema version and the data of a message without its secrets; None when it has none.

    Where the class takes no mask for a text, as for the number of a card, its shape stays: 0 for each digit,
    x for each letter. Raises MessageError when the message can't be read, or takes neither.
    """
    message = catalog.decode(type, data, version)
    plain = _unveiled(message.__dict__, lambda secret: secret)
    error: MessageError | None = None
    for letters in (_mask, _shape):
        values = _unveiled(message.__dict__, partial(_blank, letters=letters))
        if values == plain:
            return None
        packed = pack(values)
        try:
            catalog.decode(type, packed)
        except MessageError as refused:
            error = error or refused
        else:
            return message.type_version, packed
    raise MessageError(f"secrets of {type} can't be masked: {error}")


def _unveiled(value: Any, each: Each) -> Any:
    """Return plain data of a value, with what `each` makes of every secret in it."""
    if hasattr(value, "get_secret_value"):
        return each(_unveiled(value.get_secret_value(), each))
    return _through(value, lambda inner: _unveiled(inner, each))


def _through(value: Any, each: Each) -> Any:
    """Return the same with what `each` makes of the values right inside, if there are any."""
    if isinstance(value, BaseModel):
        value = {**value.__dict__, **(value.__pydantic_extra__ or {})}
    if isinstance(value, dict):
        return {name: each(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [each(inner) for inner in value]
    return value


def _blank(value: Any, letters: Callable[[str], str]) -> Any:
    """Return what stands for a secret: a text for a text, nothing for a number, and so on inwards."""
    if not value:
        return value
    if isinstance(value, str):
        return letters(value)
    if isinstance(value, bytes):
        return letters(value.decode(errors="replace")).encode()
    if isinstance(value, dict | list):
        return _through(value, lambda inner: _blank(inner, letters))
    try:
        return type(value)()
    except TypeError:  # as of a date
        return MASK


def _mask(text: str) -> str:
    return MASK


def _shape(text: str) -> str:
    return "".join("0" if c.isdigit() else "x" if c.isalpha() else c for c in text)
