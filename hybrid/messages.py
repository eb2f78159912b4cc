"""Messages: events and commands, as pydantic models.

A class is known on the wire by its name in kebab-case: `OrderCreated` is `order-created`. What belongs to
the class and not to one message stands in the class line:

    class OrderCreated(Event, key="order_id", version=2): ...
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Secret, ValidationError

from hybrid.errors import ApplicationError, InvalidMessage

__all__ = ["Command", "Event", "Message", "Secret", "hides", "kebab", "problems"]

_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def kebab(name: str) -> str:
    """Return a class name as it stands on the wire: `OrderCreated` as `order-created`."""
    return _WORD.sub("-", name).replace("_", "-").lower()


class Message(BaseModel):
    """The base of Event and Command. Immutable; unknown fields are refused when it is made."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, validate_by_name=True)

    type_name: ClassVar[str] = "message"
    """The name on the wire."""
    type_version: ClassVar[int] = 1
    """The schema version, in the envelope."""
    type_upcasts: ClassVar[dict[int, Callable[[dict[str, Any]], dict[str, Any]]]] = {}
    """By older schema version: what makes the next one's data of it (see `hybrid.upcasts`)."""
    key_field: ClassVar[str | None] = None
    """The field whose value is the message's key, or None."""

    def __init_subclass__(cls, key: str | None = None, version: int = 1, **kwargs: Any) -> None:
        """Declare what a class line may say; `__pydantic_init_subclass__` takes it once the fields are
        known.
        """
        super().__init_subclass__(**kwargs)

    @classmethod
    def __pydantic_init_subclass__(cls, key: str | None = None, version: int = 1, **kwargs: Any) -> None:
        """Take what the class line says and check that the key is a field."""
        super().__pydantic_init_subclass__(**kwargs)
        cls.type_name = kebab(cls.__name__.partition("[")[0])
        cls.type_version = version
        cls.type_upcasts = {}
        cls.key_field = key or cls.key_field
        if cls.key_field is not None and cls.key_field not in cls.model_fields:
            raise ApplicationError(f"{cls.__name__}: key={cls.key_field!r} is not one of its fields")

    def message_key(self) -> str:
        """Return the value of the key field as text, "" when the class has none."""
        return str(getattr(self, self.key_field)) if self.key_field else ""


class Event(Message):
    """A fact, in the past tense; broadcast on a topic; may be ignored."""


class Command(Message):
    """An order, in the imperative; sent to one queue; must be done and acknowledged."""


def problems(error: ValidationError, model: type[BaseModel] | None = None) -> list[tuple[str, str]]:
    """Return a validation error as (field, rule and value) texts. Values of Secret fields are left out."""
    found = []
    for item in error.errors(include_url=False, include_context=False):
        field = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            found.append((field, _no_field(model, item["loc"])))
            continue
        shown = "" if item["type"] == "missing" or _secret(model, item["loc"]) else _shown(item["input"])
        found.append((field, item["msg"] + shown))
    return found


def invalid(model: type[Message], error: ValidationError) -> InvalidMessage:
    """Return the InvalidMessage that tells a validation error of this class."""
    return InvalidMessage(model.type_name, problems(error, model))


def _no_field(model: type[BaseModel] | None, path: tuple[int | str, ...]) -> str:
    """Return what is wrong with a field that does not exist, and which do."""
    fields = ", ".join(model.model_fields) if model and len(path) == 1 else ""
    return f"there is no such field{f'; those are: {fields}' if fields else ''}"


def _secret(model: type[BaseModel] | None, path: tuple[int | str, ...]) -> bool:
    """Tell whether a value at this path may be secret: unless the annotations on the way lead to a plain
    value.
    """
    kind: Any = model
    for part in path:
        kind = _inside(kind, part)
        if kind is None or hides(kind):
            return True
    return not _plain(kind)


def hides(annotation: Any) -> bool:
    """Tell whether an annotation is a Secret, an application's own class of it, or has one in it."""
    return hasattr(annotation, "get_secret_value") or "Secret" in str(annotation)


def _inside(kind: Any, part: int | str) -> Any:
    """Return the annotation of a model's field, or of a list's items; None for what can't be followed."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = kind.model_fields.get(str(part))
        return field.annotation if field else None
    return get_args(kind)[0] if get_origin(kind) is list and isinstance(part, int) else None


def _plain(annotation: Any) -> bool:
    """Tell whether an annotation is a plain value, whose input can be shown whole."""
    return (
        isinstance(annotation, type)
        and get_origin(annotation) is None
        and not issubclass(annotation, BaseModel)
    )


def _shown(value: Any) -> str:
    """Return a value for an error's text, cut to a line."""
    text = repr(value)
    return f", got {text if len(text) <= 60 else text[:57] + '…'}"
