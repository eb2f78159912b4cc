"""Samples: a message of a class made up from its annotations, as the beginning of a test."""

from __future__ import annotations

from enum import Enum
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

_PLAIN: dict[str, Any] = {
    "bool": True,
    "int": 1,
    "float": 1.0,
    "Decimal": "1",
    "datetime": "2026-01-01T00:00:00Z",
    "date": "2026-01-01",
    "time": "12:00",
    "timedelta": 60,
    "UUID": "00000000-0000-4000-8000-000000000001",
}


def sample(model: type[BaseModel]) -> tuple[dict[str, Any], str]:
    """Return values for the required fields, and what is wrong with them, "" for nothing."""
    values = _required(model)
    try:
        model(**values)
    except ValidationError as error:
        return values, "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
    return values, ""


def _required(model: type[BaseModel]) -> dict[str, Any]:
    fields = model.model_fields.items()
    return {name: _value(field.annotation, name) for name, field in fields if field.is_required()}


def _value(kind: Any, name: str) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return inner[0]
    if origin in (Union, UnionType, Annotated) or hasattr(kind, "get_secret_value"):
        return _value(next((each for each in inner if each is not type(None)), str), name)
    if isinstance(origin or kind, type):
        return _of_class(origin or kind, name)
    return name


def _of_class(kind: type, name: str) -> Any:
    if issubclass(kind, BaseModel):
        return _required(kind)
    if issubclass(kind, Enum):
        return next(iter(kind)).value
    if issubclass(kind, dict):
        return {}
    if issubclass(kind, list | tuple | set | frozenset):
        return []
    return _PLAIN.get(kind.__name__, name)
