"""Which flows a command is about: the options, and the query that they mean."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from typing import Annotated

import typer

from cli import completion
from cli.moments import stream_id
from cli.options import Json, Where, Who, Yes, pairs
from cli.reading import BadInput
from hybrid.inspect.query import STATES, Query
from hybrid.mediator.classes import EventClass
from hybrid.messages import Message, kebab
from hybrid.topology import Topology

ONE = "7b1c0a64f0d94d2c8f11aa02"
"""A flow's id, for examples."""
CLASSES = [each.value for each in EventClass]
Id = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="The flow's id, which is its event's.", autocompletion=completion.flows
    ),
]
Ids = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="ID", help="The flows' ids, which are their events'.", autocompletion=completion.flows
    ),
]


@dataclass(frozen=True)
class Filters:
    """The options that select flows."""

    state: Annotated[str, typer.Option(help=f"Only those that are {', '.join(STATES)}.")] = ""
    type: Annotated[
        str, typer.Option(help="Only those of an event type.", autocompletion=completion.initiating)
    ] = ""
    event_class: Annotated[
        str, typer.Option("--class", help=f"Only those of a class: {', '.join(CLASSES[1:])}.")
    ] = ""
    mediator: Annotated[str, typer.Option(help="Only those that a mediator carries out.")] = ""
    key: Annotated[str, typer.Option(help="Only those whose event has this key.")] = ""
    step: Annotated[
        str, typer.Option(metavar="STEP", help="Only those that are at a step: its number, or its name.")
    ] = ""
    older_than: Annotated[
        str, typer.Option(metavar="SPAN", help="Only what started longer ago (1h, 2d), or before a time.")
    ] = ""
    where: Where = None

    def query(self, topology: Topology, *, ended: bool = False) -> Query:
        """Return what the options mean. Raises BadInput and SettingsError."""
        _check("--state", self.state, STATES)
        _check("--class", self.event_class.lower(), CLASSES)
        now = int(time.time() * 1000)
        started = (
            stream_id("--older-than", self.older_than.removesuffix("-ago"), now) if self.older_than else "0"
        )
        where, type = pairs(self.where), kebab(self.type)
        _check_fields(topology, type, where)
        return Query(
            self.state, type, self.event_class.lower(), self.mediator, self.key, self.step,
            int(started.partition("-")[0]), where, ended,
        )  # fmt: skip

    @property
    def selects(self) -> bool:
        """Whether any of them was given."""
        return any(getattr(self, field.name) for field in fields(Filters))


@dataclass(frozen=True, kw_only=True)
class Chosen(Filters):
    """The options of what is done with flows: which, who does it, and how."""

    ids: Ids = None
    most: Annotated[
        int | None, typer.Option("--limit", "-n", help="So many at most, the oldest first.", min=1)
    ] = None
    who: Who = ""
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would happen; change nothing.")] = (
        False
    )
    yes: Yes = False
    as_data: Json = False

    def chosen(self, topology: Topology, *, ended: bool = False) -> Query | None:
        """Return the query, None when ids were given. Raises BadInput unless it is one of the two."""
        if bool(self.ids) == self.selects:
            names = ", ".join(f"--{name}" for name in NAMES)
            raise BadInput(f"say which: IDs, or one or more of {names} (`hybrid flows list` takes them too)")
        return None if self.ids else self.query(topology, ended=ended)


@dataclass(frozen=True, kw_only=True)
class Reasoned(Chosen):
    """The options of what is done with flows, and why."""

    reason: Annotated[str, typer.Option(help="Why; it stands in the flow's history.")] = ""


NAMES = ("state", "type", "class", "mediator", "key", "step", "older-than", "where")


def examples(*lines: str) -> str:
    """Return examples for a command's help."""
    return "Examples:\n\n" + "\n\n".join(f"`hybrid flows {line}`" for line in lines)


def _check(option: str, given: str, known: tuple[str, ...] | list[str]) -> None:
    if given and given not in known:
        raise BadInput(f"{option} {given}: is one of {', '.join(known)}")


def _check_fields(topology: Topology, type: str, where: tuple[tuple[str, str], ...]) -> None:
    """Raise BadInput for a field that no event has which starts a flow; of types that are gone nothing is
    known.
    """
    classes = dict.fromkeys(cls for mediator in topology.mediators.values() for cls in mediator.flows)
    some = [cls for cls in classes if type in ("", cls.type_name)]
    for path, value in where if some else ():
        if not any(path.partition(".")[0] in cls.model_fields for cls in some):
            raise BadInput(f"--where {path}={value}: there is no such field; {'; '.join(map(_fields, some))}")


def _fields(cls: type[Message]) -> str:
    return f"{cls.type_name} has {', '.join(cls.model_fields) or 'none'}"
