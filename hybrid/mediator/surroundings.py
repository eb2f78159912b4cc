"""The surroundings of a run: what its function sees of the application and of the time."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from hybrid.catalog import Catalog
from hybrid.errors import ApplicationError
from hybrid.messages import Message


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
