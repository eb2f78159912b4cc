"""Versions of flows: how many unfinished flows run on which, and whether an application has those that they
need.

Each flow that a function carries on is counted in the counters of its shard as `running:MEDIATOR/TYPE/CODE`.
CODE is the version of the function, 0 while it has none, since its event could not be taken or it is paused.
One that is being undone needs no function. What changes any of that counts it anew, in the same settle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from hybrid.errors import NotRegistered, VersionMissing
from hybrid.keys import Keys
from hybrid.mediator.mediator import Mediator
from hybrid.mediator.record import FlowRecord
from hybrid.messages import Message
from hybrid.streams.transitions import Item, count

RUNNING = "running"
"""How the name of such a counter begins."""


class Running(NamedTuple):
    """How many unfinished flows for events of a type run on a version of a mediator's flow."""

    mediator: str
    type: str
    code: int
    flows: int


def counted(keys: Keys, facts: Mapping[str, str], by: int) -> Item:
    """Return the effect that counts an unfinished flow, by its record's facts (mediator, type, code): `by` is
    1 for one that runs from now on, -1 for one that does no more.
    """
    what = f"{facts['mediator']}/{facts['type']}/{facts['code']}"
    return count(keys.counters, f"{RUNNING}:{what}", by)


def counted_anew(keys: Keys, record: FlowRecord, facts: Mapping[str, str], code: str) -> list[Item]:
    """Return the effects that count a flow (mediator and type by these facts) under this version from now on;
    "" when no function carries it on any more.
    """
    if code == record.counted:
        return []
    effects = [counted(keys, {**facts, "code": record.counted}, -1)] if record.counted else []
    return [*effects, counted(keys, {**facts, "code": code}, 1)] if code else effects


def running(counters: Iterable[Mapping[bytes, bytes]]) -> list[Running]:
    """Return what runs on which version, by the counters of all shards; sorted, without what nothing runs
    on.
    """
    totals: dict[tuple[str, str, int], int] = {}
    for shard in counters:
        for name, flows in shard.items():
            kind, _, what = name.decode().partition(":")
            if kind == RUNNING:
                mediator, type, code = what.split("/")
                row = mediator, type, int(code)
                totals[row] = totals.get(row, 0) + int(flows)
    return [Running(*row, flows) for row, flows in sorted(totals.items()) if flows > 0]


def function_of(mediator: Mediator, record: FlowRecord, event: Message) -> tuple[int, Callable[..., Any]]:
    """Return the version that a flow runs on, or is to start on, and its function. Raises NotRegistered."""
    versions = mediator.flows.get(type(event))
    if not versions:
        raise NotRegistered(f"{mediator.name} has no flow for {event.type_name}")
    code = int(record.facts.get("code", 0)) or max(versions)
    if code not in versions:
        known = ", ".join(map(str, sorted(versions)))
        raise NotRegistered(
            f"flow {record.id} runs on version {code} of {mediator.name}'s flow for {event.type_name}, which"
            f" is not registered (there is {known}): start a worker that has it"
        )
    return code, versions[code]


def registered(mediator: Mediator | None) -> dict[str, list[int]]:
    """Return the versions of a mediator's flows, lowest first, by event type."""
    flows = mediator.flows if mediator else {}
    return {cls.type_name: sorted(versions) for cls, versions in flows.items()}


def check_versions(mediators: Iterable[Mediator], found: Iterable[Running]) -> None:
    """Check that these mediators have every version that flows of theirs run on. Raises VersionMissing."""
    known = {mediator.name: registered(mediator) for mediator in mediators}
    missing = [
        row
        for row in found
        if row.mediator in known and row.code and row.code not in known[row.mediator].get(row.type, ())
    ]
    if missing:
        raise VersionMissing([(*row, known[row.mediator].get(row.type, [])) for row in missing])
