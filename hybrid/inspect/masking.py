"""Masked messages: every secret in them is replaced; they may leave the store, and can be read still."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from hybrid.catalog import Catalog
from hybrid.codec import pack
from hybrid.errors import MessageError
from hybrid.inspect.shown import MASK


def masked(catalog: Catalog, type: str, data: bytes, version: int) -> tuple[int, bytes] | None:
    """Return the schema version and the data of a message without its secrets; None when it has none.

    Raises MessageError when it can't be read, or when a masked value would not be valid: nobody could read
    what was written then.
    """
    message = catalog.decode(type, data, version)
    values = _masked(message.__dict__)
    if values == _plain(message.__dict__):
        return None
    packed = pack(values)
    try:
        catalog.decode(type, packed)
    except MessageError as error:
        raise MessageError(f"secrets of {type} can't be masked: {error}") from error
    return message.type_version, packed


def _masked(value: Any) -> Any:
    if hasattr(value, "get_secret_value"):
        return _blank(value.get_secret_value())
    return _through(value, _masked)


def _plain(value: Any) -> Any:
    return _plain(value.get_secret_value()) if hasattr(value, "get_secret_value") else _through(value, _plain)


def _through(value: Any, each: Any) -> Any:
    if isinstance(value, BaseModel):
        return {
            name: each(inner)
            for name, inner in {**value.__dict__, **(value.__pydantic_extra__ or {})}.items()
        }
    if isinstance(value, dict):
        return {name: each(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [each(inner) for inner in value]
    return value


def _blank(value: Any) -> Any:
    """Return what stands for a secret: a text for a text, nothing for a number, and so on inwards."""
    if not value:
        return value
    if isinstance(value, str):
        return MASK
    if isinstance(value, bytes):
        return MASK.encode()
    if isinstance(value, BaseModel | dict | list | tuple | set | frozenset):
        return _through(value, _blank)
    try:
        return type(value)()
    except TypeError:  # as of a date
        return MASK
