"""The catalogue: which message classes there are, by their name on the wire."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from hybrid.codec import decode, unpack, validated
from hybrid.errors import ApplicationError, InvalidMessage, NewerMessage, UnknownMessage
from hybrid.messages import Message, invalid
from hybrid.upcasts import check_upcasts, upcasted


class Catalog:
    """Message classes by name. Two classes of one name are an error."""

    def __init__(self, classes: Iterable[type[Message]] = ()) -> None:
        self._classes: dict[str, type[Message]] = {}
        for cls in classes:
            self.add(cls)

    def add(self, cls: type[Message]) -> None:
        """Add a class. Raises ApplicationError when another one has its name."""
        check_upcasts(cls)
        known = self._classes.setdefault(cls.type_name, cls)
        if known is not cls:
            raise ApplicationError(
                f"two message classes are called {cls.type_name}: {known.__module__}.{known.__qualname__} and"
                f" {cls.__module__}.{cls.__qualname__}. Names on the wire are the class names: rename one"
            )

    def __iter__(self) -> Iterator[type[Message]]:
        return iter(self._classes.values())

    def __contains__(self, name: str) -> bool:
        return name in self._classes

    def named(self, name: str) -> type[Message]:
        """Return the class of this name. Raises UnknownMessage, which names similar ones."""
        cls = self._classes.get(name)
        if cls is None:
            raise UnknownMessage(name, get_close_matches(name, self._classes, n=2))
        return cls

    def decode(self, name: str, data: bytes, version: int = 0) -> Message:
        """Return a message from the wire; `version` is the schema's, 0 for the class's own.

        Raises UnknownMessage, UndecodableMessage, InvalidMessage, or NewerMessage for what can't be read
        since it is of a newer version.
        """
        cls = self._classes.get(name) or self.named(name)
        if version == cls.type_version or not version:
            return decode(cls, data)
        if version < cls.type_version:
            return validated(cls, upcasted(cls, version, unpack(data)))
        try:
            return decode(cls, data)
        except InvalidMessage as error:
            raise NewerMessage(name, version, cls.type_version, error.problems) from error

    def values(self, name: str, data: bytes, version: int = 0) -> Any:
        """Return a message's data unpacked, as that of the class's version, not validated.

        Raises UnknownMessage or UndecodableMessage.
        """
        cls, values = self.named(name), unpack(data)
        return upcasted(cls, version, values) if 0 < version < cls.type_version else values

    def validate(self, name: str, data: Any, *, from_text: bool = False) -> Message:
        """Return a message made of data from outside: validated strictly, unknown fields refused.

        With `from_text` values may be texts, as a command line has them. Raises UnknownMessage or
        InvalidMessage.
        """
        cls = self.named(name)
        try:
            if from_text:
                return cls.model_validate_strings(data, extra="forbid", by_name=True)
            return cls.model_validate(data, extra="forbid", by_name=True)
        except ValidationError as error:
            raise invalid(cls, error) from error
