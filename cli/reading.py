"""Reading events from a command line or from lines of JSON. Everything is checked before anything is sent."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, NoReturn, TypeVar

from hybrid.codec import encode
from hybrid.errors import ApplicationError, HybridError, InvalidMessage, UnknownMessage
from hybrid.ids import checked_id
from hybrid.messages import Event, Message, kebab
from hybrid.topology import Topology

_KEY = re.compile(r"[^=:\s][^=:]*")
_SCALAR = re.compile(r"null|true|false|-?\d+(\.\d+)?([eE][+-]?\d+)?")
T = TypeVar("T")
DEPTH = 32
LONG = 8
"""A line may be so many times as long as the largest message: JSON writes some characters with six."""


class BadInput(HybridError):
    """What was given can't be read as an event; the text says where and why."""


class Incoming(NamedTuple):
    """An event to send, with its id if it came with one."""

    event: Event
    id: str | None


class Reader:
    """Makes events of one application from text: those that come in from outside, or `any` of them."""

    def __init__(self, topology: Topology, most_bytes: int, *, any: bool = False) -> None:
        self.topology = topology
        self._any = any
        self.longest = LONG * most_bytes + 1024
        self._most = most_bytes

    def type_named(self, name: str) -> type[Message]:
        """Return the class of an event, given as `place-order` or `PlaceOrder`.

        Raises UnknownMessage, with similar names, or ApplicationError for what is none to be read here.
        """
        wire = kebab(name)
        if wire not in self.topology.catalog and len(name) > 100:
            raise UnknownMessage(f"{name[:97]}…", [])
        cls = self.topology.catalog.named(wire)
        if not self._any:
            self.topology.front_of(cls)
        elif not issubclass(cls, Event):
            raise ApplicationError(f"{wire} is a command, and only events are broadcast")
        return cls

    def event(self, type: str, data: Any) -> Event:
        """Return an event made of JSON data. Raises MessageError or ApplicationError."""
        cls = self.type_named(type)
        if not isinstance(data, dict):
            raise InvalidMessage(
                cls.type_name, [("data", f"is a JSON object with the event's fields, not {_kind(data)}")]
            )
        try:
            event = self.topology.catalog.validate(cls.type_name, data)
        except RecursionError:
            raise BadInput(f"{cls.type_name}: the data is nested too deeply") from None
        encode(event, self._most)
        assert isinstance(event, Event)
        return event

    def from_words(self, type: str, words: Sequence[str]) -> Event:
        """Return an event made of words: `key=value`, `key.inner=value`, `list.0=value`, `key:=JSON`.

        A value is text that the field's type reads; one that begins as JSON object, list or string is read as
        JSON. One that the field does not take as text, and that is a JSON number, true, false or null, is
        taken as that.
        """
        return made_of(words, lambda data: self.event(type, data))

    def from_line(self, raw: bytes) -> Incoming:
        """Return what a line stands for: {"type": …, "data": {…}, "id"?: …}."""
        given = parsed(raw)
        if not isinstance(given, dict):
            raise BadInput(f'a line is an object {{"type": …, "data": {{…}}}}, this is {_kind(given)}')
        unknown = sorted(set(given) - {"type", "data", "id"})
        if unknown:
            raise BadInput(f"unknown field {_cut(unknown[0])!r}: a line has type, data and, if you like, id")
        if not isinstance(given.get("type"), str):
            raise BadInput("type: the event's name is missing")
        id = given.get("id")
        if id is not None and not isinstance(id, str):
            raise BadInput(f"id: is text, not {_kind(id)}")
        return Incoming(self.event(given["type"], given.get("data", {})), checked_id(id) if id else None)


def made_of(words: Sequence[str], make: Callable[[dict[str, Any]], T]) -> T:
    """Return what `make` makes of the data that words stand for; see `Reader.from_words`. It raises
    InvalidMessage for data that is wrong.
    """
    pairs = [pair(word) for word in words]
    try:
        return make(_nested(pairs, {}))
    except InvalidMessage as error:
        better = {key: json.loads(value) for key, value in pairs if fits(key, value, error)}
        if not better:
            raise
    try:
        return make(_nested(pairs, better))
    except InvalidMessage as error:  # what is no better as a scalar is told as the text that it is
        taken = {key: value for key, value in better.items() if not _refused(key, error)}
    return make(_nested(pairs, taken))


class Lines:
    """The lines of a file or of stdin, which can be read twice: once to check them, once to send them."""

    def __init__(self, path: Path | None, longest: int) -> None:
        self.source = str(path) if path else "stdin"
        self._path = path
        self._longest = longest
        self._stream: IO[bytes] | None = None

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._stream:
            self._stream.close()

    def first(self) -> Iterator[tuple[int, bytes]]:
        """Yield (number, line) of all that are not blank; keep what comes from stdin. Raises BadInput."""
        if self._path:
            self._stream = self._opened(self._path)
            yield from self._numbered(self._stream)
            return
        self._stream = tempfile.SpooledTemporaryFile(64 << 20)  # noqa: SIM115 - closed by `__exit__`
        for number, line in self._numbered(sys.stdin.buffer):
            self._stream.write(line if line.endswith(b"\n") else line + b"\n")
            yield number, line

    def again(self) -> Iterator[bytes]:
        """Yield the same lines once more."""
        assert self._stream is not None, "read for the first time before"
        self._stream.seek(0)
        for _, line in self._numbered(self._stream):
            yield line

    def _opened(self, path: Path) -> IO[bytes]:
        try:
            stream = path.open("rb")
            if stream.seekable():
                return stream
        except OSError as error:
            raise BadInput(f"{path}: {error.strerror}") from error
        stream.close()
        raise BadInput(f"{path} can't be read twice: hybrid send - < {path}")

    def _numbered(self, stream: IO[bytes]) -> Iterator[tuple[int, bytes]]:
        number = 0
        try:
            while line := stream.readline(self._longest):
                number += 1
                if len(line) == self._longest:
                    most = f"{self._longest:,} bytes (see HYBRID_MAX_MESSAGE_BYTES)"
                    raise BadInput(f"line {number}: longer than {most}")
                if line.strip():
                    yield number, line
        except OSError as error:
            raise BadInput(f"{self.source}: {error.strerror}") from error


def parsed(raw: bytes | str) -> Any:
    """Return what JSON says. Raises BadInput, which says where it is wrong."""
    try:
        return json.loads(raw.decode() if isinstance(raw, bytes) else raw, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise BadInput(
            f"not UTF-8 text: byte {error.start + 1} is 0x{error.object[error.start]:02x}"
        ) from None
    except json.JSONDecodeError as error:
        raise BadInput(f"no JSON: {error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise BadInput("no JSON that we take: it is nested too deeply") from None
    except ValueError as error:
        raise BadInput(f"no JSON that we take: {_cut(str(error))}") from None


def pair(word: str) -> tuple[str, Any]:
    """Return the key and the value of `key=value` or `key:=JSON`; a value that is JSON by its look is
    parsed.
    """
    key, equals, value = word.partition("=")
    raw = key.endswith(":")
    key = key.removesuffix(":")
    if not equals or not _KEY.fullmatch(key):
        raise BadInput(f"{_cut(word)!r} is no key=value (nor key:=JSON)")
    if key.count(".") >= DEPTH:
        raise BadInput(f"{_cut(key)!r} is nested too deeply")
    if raw:
        return key, _value(key, value)
    if value[:1] in ("{", "[") or (value[:1] == '"' and value[-1:] == '"' and len(value) > 1):
        return key, _value(key, value)
    return key, value


def _value(key: str, value: str) -> Any:
    try:
        return parsed(value)
    except BadInput as error:
        raise BadInput(f"{key}: {error}") from None


def _nested(pairs: Sequence[tuple[str, Any]], better: dict[str, Any]) -> dict[str, Any]:
    """Return pairs as nested data: dots lead into objects, and numbers into lists."""
    root: dict[str, Any] = {}
    for key, value in pairs:
        *way, last = key.split(".")
        place = root
        for part in way:
            inner = place.setdefault(part, {})
            if not isinstance(inner, dict):
                raise BadInput(f"{key}: {part} has a value already, so nothing goes into it")
            place = inner
        if last in place:
            raise BadInput(f"{key} is given twice")
        place[last] = better.get(key, value)
    return {name: _lists(value) for name, value in root.items()}


def _lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if value and all(key.isdecimal() for key in value):
        return [_lists(value[key]) for key in sorted(value, key=int)]
    return {key: _lists(inner) for key, inner in value.items()}


def fits(key: str, value: Any, error: InvalidMessage) -> bool:
    """Tell whether a value was refused as text and reads as a JSON scalar."""
    short = isinstance(value, str) and len(value) < 400
    return short and _refused(key, error) and bool(_SCALAR.fullmatch(value))


def _refused(key: str, error: InvalidMessage) -> bool:
    """Tell whether an error is about the value of a key, or something in it."""
    return any(field == key or field.startswith(f"{key}.") for field, _ in error.problems)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _kind(value: Any) -> str:
    names = {
        dict: "an object",
        list: "a list",
        str: "text",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    return names.get(type(value), "null")


def _cut(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}…"
