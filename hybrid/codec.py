"""Message data as bytes: msgpack, with extension types for what msgpack has no word for.

Values survive exactly, also in fields typed `Any`: Decimal, datetime, date, time, timedelta, UUID and
integers beyond 64 bits travel as extension types (codes below, payload UTF-8 text unless it says otherwise);
bytes are msgpack's bin; enums travel as their value. The bytes are opaque to the Lua scripts, whose
own msgpack knows neither bin nor extensions.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, TypeVar
from uuid import UUID

import msgpack
from pydantic import BaseModel, ValidationError
from pydantic_core import to_jsonable_python

from hybrid.errors import InvalidMessage, MessageTooLarge, UndecodableMessage
from hybrid.messages import Message, invalid

M = TypeVar("M", bound=Message)

_TO_EXT: dict[type, tuple[int, Callable[[Any], bytes]]] = {
    Decimal: (1, lambda value: str(value).encode()),
    datetime: (2, lambda value: value.isoformat().encode()),
    date: (3, lambda value: value.isoformat().encode()),
    time: (4, lambda value: value.isoformat().encode()),
    timedelta: (5, lambda value: f"{value.days},{value.seconds},{value.microseconds}".encode()),
    UUID: (6, lambda value: value.bytes),
    int: (7, lambda value: b"%d" % value),
}
_FROM_EXT: dict[int, Callable[[bytes], Any]] = {
    1: lambda raw: Decimal(raw.decode()),
    2: lambda raw: datetime.fromisoformat(raw.decode()),
    3: lambda raw: date.fromisoformat(raw.decode()),
    4: lambda raw: time.fromisoformat(raw.decode()),
    5: lambda raw: timedelta(*map(int, raw.decode().split(","))),
    6: lambda raw: UUID(bytes=raw),
    7: int,
}


def pack(value: Any) -> bytes:
    """Return plain data as msgpack. Raises TypeError or ValueError for what can't be packed."""
    return _packers.packer.pack(value)  # type: ignore[no-any-return]


def pack_for_script(value: Any) -> bytes:
    """Return plain data as msgpack that Lua's cmsgpack reads, which knows no bin type: bytes as strings."""
    return _packers.for_scripts.pack(value)  # type: ignore[no-any-return]


def joined_for_script(packed: Sequence[bytes]) -> bytes:
    """Return what `pack_for_script` made of values as what it would make of their list."""
    return b"".join((_packers.for_scripts.pack_array_header(len(packed)), *packed))


def unpack(data: bytes) -> Any:
    """Return what `pack` packed. Raises UndecodableMessage for other bytes."""
    try:
        try:
            return msgpack.unpackb(data, ext_hook=_ext, strict_map_key=False)
        except TypeError:  # keys that are tuples come back as lists, which are none
            return msgpack.unpackb(data, ext_hook=_ext, strict_map_key=False, use_list=False)
    except Exception as error:  # msgpack raises a dozen unrelated classes for bad bytes
        raise UndecodableMessage(
            f"{len(data)} bytes are no message data: {str(error) or type(error).__name__}"
        ) from error


def encode(message: Message, limit: int) -> bytes:
    """Return a message's data as bytes.

    Raises MessageTooLarge when they are more than `limit`, InvalidMessage when a value can't be packed.
    """
    try:
        data = pack(message.__dict__)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidMessage(message.type_name, [("", f"can't be packed: {error}")]) from error
    if len(data) > limit:
        raise MessageTooLarge(message.type_name, len(data), limit)
    return data


def decode(model: type[M], data: bytes) -> M:
    """Return the message that these bytes are. Unknown fields are ignored: the sender may be newer.

    Nested models that keep unknown fields (extra="allow") keep them, unless another one has to ignore some.

    Raises UndecodableMessage or InvalidMessage.
    """
    return validated(model, unpack(data))


def validated(model: type[M], values: Any) -> M:
    """Return the message that unpacked data is; unknown fields as in `decode`. Raises InvalidMessage."""
    validate = model.__pydantic_validator__.validate_python
    try:
        return validate(values, strict=False, by_name=True)  # type: ignore[no-any-return]
    except ValidationError:
        try:
            return validate(values, strict=False, extra="ignore", by_name=True)  # type: ignore[no-any-return]
        except ValidationError as error:
            raise invalid(model, error) from error


def shown(message: Message | BaseModel) -> dict[str, Any]:
    """Return a message as JSON-ready data for people: secrets masked."""
    try:
        return message.model_dump(mode="json", fallback=str)
    except ValueError:  # bytes that are no text
        return to_jsonable_python(message.model_dump(), bytes_mode="base64", fallback=str)  # type: ignore[no-any-return]


def _default(value: Any) -> Any:
    """Return what msgpack can pack; it asks only once about a value, so what is wrapped is unwrapped here."""
    if ext := _TO_EXT.get(type(value)):
        return msgpack.ExtType(ext[0], ext[1](value))
    if isinstance(value, BaseModel):
        extra = value.__pydantic_extra__
        return {**value.__dict__, **extra} if extra else value.__dict__
    if isinstance(value, Enum) or hasattr(value, "get_secret_value"):
        return _unwrapped(value.value if isinstance(value, Enum) else value.get_secret_value())
    if isinstance(value, set | frozenset):
        return list(value)
    for base, (code, write) in _TO_EXT.items():
        if isinstance(value, base):
            return msgpack.ExtType(code, write(value))
    dataclass = is_dataclass(value) and not isinstance(value, type)
    return {f.name: getattr(value, f.name) for f in fields(value)} if dataclass else to_jsonable_python(value)


def _unwrapped(value: Any) -> Any:
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else _default(value)
    plain = value is None or isinstance(value, str | bytes | bytearray | float | dict | list | tuple)
    return value if plain else _default(value)


def _ext(code: int, raw: bytes) -> Any:
    return _FROM_EXT[code](raw)


class _Packers(threading.local):
    """A packer per thread: making one costs as much as packing a small message."""

    def __init__(self) -> None:
        self.packer = msgpack.Packer(default=_default)
        self.for_scripts = msgpack.Packer(use_bin_type=False)


_packers = _Packers()
