"""A run of a flow's function: what it sees of the application, what it issues, and how it stops."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from hybrid.catalog import Catalog
from hybrid.errors import ApplicationError
from hybrid.messages import Event, Message

PAUSE = object()
"""What a step yields to the replay when its result is not there yet. Anything else that is yielded is
foreign."""


class Suspended(BaseException):
    """The run is over for now. Passes through `except Exception` in user code."""


class Anew(BaseException):
    """The flow goes on from its start with another event. Passes through `except Exception` in user code."""

    def __init__(self, event: Event) -> None:
        self.event = event


class NewStep(NamedTuple):
    """A step that this run issued for the first time: its number, kind and name; after what time (ms, 0:
    none) it times out, or fires; of one that sends a message also that, its packed data, and of an event the
    front door by which it comes in. The data of a task is what it asks.
    """

    number: int
    kind: str
    name: str
    timeout: int
    message: Message | None = None
    data: bytes = b""
    front: str = ""


def schema_of(message: Message | None) -> int:
    """Return the schema version of a step's message; 1 when it has none."""
    return message.type_version if message else 1


def _no_front(event: type[Message]) -> str:
    raise ApplicationError(f"{event.type_name} is no initiating event")


class Surroundings(NamedTuple):
    """What a run needs beside the record: the catalogue, the largest message (bytes), the time (ms), and the
    name of the simple mediator by which events of a class come in.
    """

    catalog: Catalog
    max_bytes: int
    now: int
    front_of: Callable[[type[Message]], str] = _no_front
