"""What a run of a flow's function needs beside the record."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

from hybrid.catalog import Catalog
from hybrid.errors import ApplicationError
from hybrid.messages import Event, Message


def _no_front(event: type[Message]) -> str:
    raise ApplicationError(f"{event.type_name} is no initiating event")


class Surroundings(NamedTuple):
    """What a run needs beside the record: the catalogue, the largest message (bytes), the time (ms), the name
    of the simple mediator by which events of a class come in, and the events that the mediator hears (None
    when it does not matter).
    """

    catalog: Catalog
    max_bytes: int
    now: int
    front_of: Callable[[type[Message]], str] = _no_front
    hears: Collection[type[Event]] | None = None
