"""Versions of flows: how many unfinished flows run on which, and whether an application has those that they
need.

Each unfinished flow is counted, in the counters of its shard, as `running:MEDIATOR/TYPE/CODE`; CODE is the
version of the function that it runs on, 0 while it has none since its event could not be taken. What changes
its mediator or its version, or ends it, counts it anew, in the same settle.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from hybrid.errors import VersionMissing
from hybrid.keys import Keys
from hybrid.mediator.mediator import Mediator
from hybrid.mediator.record import FlowRecord
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


def counted_anew(keys: Keys, record: FlowRecord, facts: Mapping[str, str], over: bool) -> list[Item]:
    """Return the effects that count a flow as what it is after an advance: these are its facts, and whether
    it is over.
    """
    now = "" if over else facts["code"]
    if now == record.counted:
        return []
    effects = [counted(keys, {**facts, "code": record.counted}, -1)] if record.counted else []
    return [*effects, counted(keys, facts, 1)] if now else effects


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
