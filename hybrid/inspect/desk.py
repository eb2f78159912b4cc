"""The desk, looked at: the failures by what they have in common, and those that a selection takes.

However many there are, they are counted by the server a page at a time, and only what is shown is read whole.
"""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hybrid.broker.failures import Failure, fingerprint, short_id
from hybrid.broker.shard import Shard, Store
from hybrid.inspect.failures import FailureView, components, failures, view, where
from hybrid.inspect.shown import told
from hybrid.streams.scripts import KindRow
from hybrid.topology import Topology

KINDS = 1000
"""Failures that the server counts in one go."""
PAGE = 100
"""Failures that are read in one go to show the newest."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which failures; what is left empty lets all pass. `since` in ms."""

    group: str = ""
    """A fingerprint, or a group's id."""
    type: str = ""
    component: str = ""
    since: int = 0
    where: tuple[tuple[str, str], ...] = ()
    """Pairs of a field (dots lead inwards) and what it shows. What is secret is shown masked."""
    archived: bool = False

    def takes(self, failure: Failure) -> bool:
        """Tell whether a failure is taken, as far as its envelope tells."""
        type = failure.fields.get(b"type", b"").decode(errors="replace")
        return failure.failed >= self.since and self.takes_kind(type, failure.fingerprint)

    def takes_kind(self, type: str, common: str) -> bool:
        """Tell whether failures of a type and a fingerprint are taken."""
        return self.type in ("", type) and self.group in ("", common, short_id(common))

    def takes_data(self, data: Any) -> bool:
        """Tell whether a failure is taken, by the data that it shows."""
        return all(told(data, path) == value for path, value in self.where)


@dataclass(frozen=True, slots=True)
class Group:
    """Failures of one cause. Times in ms."""

    id: str
    fingerprint: str
    error: str
    frame: str
    """The user's code that raised it, "" for none."""
    types: tuple[str, ...]
    components: tuple[str, ...]
    count: int
    """How many are at the desk."""
    failed_again: int
    """How many of them had been sent back before."""
    sent_back: int
    """How many people have sent back so far."""
    first: int
    last: int


@dataclass(slots=True)
class _Tally:
    error: str
    frame: str
    types: set[str] = field(default_factory=set)
    components: set[str] = field(default_factory=set)
    count: int = 0
    again: int = 0
    first: int = 0
    last: int = 0

    def add(self, component: str, kind: Kind, row: KindRow) -> None:
        self.types.add(kind.type)
        self.components.add(component)
        self.count += row.number
        self.again += row.number if kind.sent_back else 0
        self.first = min(self.first or row.first, row.first)
        self.last = max(self.last, row.last)


class Kind(NamedTuple):
    """What failures that are counted together have in common (see `Failure.kind`)."""

    type: str
    error: str
    frame: str
    sent_back: int

    @classmethod
    def read(cls, raw: bytes) -> Kind:
        """Return a kind from the stream."""
        type, error, frame, sent_back = raw.decode(errors="replace").rsplit("\0", 3)
        return cls(type, error, frame, int(sent_back))


async def groups(store: Store, topology: Topology, selection: Selection = Selection()) -> list[Group]:
    """Return the groups of failures that a selection takes (without its `where`), the largest first."""
    tallies: dict[str, _Tally] = {}
    sent_back: dict[str, int] = {}
    for shard in store.shards:
        for name, count in (await shard.queries.hash(shard.keys.counters)).items():
            if name.startswith(b"sent-back:"):
                id = name.decode().partition(":")[2]
                sent_back[id] = sent_back.get(id, 0) + int(count)
        for component in await components(shard, topology):
            if selection.component not in ("", component):
                continue
            async for row in _kinds(shard, component, selection):
                kind = Kind.read(row.kind)
                common = fingerprint(kind.error, kind.frame)
                if selection.takes_kind(kind.type, common):
                    tally = tallies.setdefault(common, _Tally(kind.error, kind.frame))
                    tally.add(component, kind, row)
    found = [_group(common, tally, sent_back) for common, tally in tallies.items()]
    return sorted(found, key=lambda group: (-group.count, group.first))


async def count(store: Store, topology: Topology, selection: Selection) -> int:
    """Return how many failures a selection takes."""
    if selection.where:
        return sum([1 async for _ in selected(store, topology, selection)])
    return sum(group.count for group in await groups(store, topology, selection))


async def selected(store: Store, topology: Topology, selection: Selection) -> AsyncIterator[FailureView]:
    """Yield the failures that a selection takes, oldest first in each component. What comes meanwhile is
    left out, so that one that fails again is not met twice.
    """
    async for shard, failure in failures(store, topology, selection.archived):
        if selection.component in ("", failure.component) and selection.takes(failure):
            found = view(topology, shard, failure, selection.archived)
            if selection.takes_data(found.data):
                yield found


async def newest(store: Store, topology: Topology, selection: Selection, most: int) -> list[FailureView]:
    """Return the newest failures that a selection takes, the newest first."""
    found: list[FailureView] = []
    for shard in store.shards:
        for component in await components(shard, topology):
            if selection.component in ("", component):
                found += await _newest(topology, shard, component, selection, most)
                found = heapq.nlargest(most, found, key=lambda view: view.failed)
    return found


async def _newest(
    topology: Topology, shard: Shard, component: str, selection: Selection, most: int
) -> list[FailureView]:
    found: list[FailureView] = []
    place, upto = where(shard, component, selection.archived), "+"
    while entries := await shard.queries.newest(place, upto, min(PAGE, most)):
        for entry, fields in entries:
            failure = Failure.read(component, entry, fields)
            if selection.takes(failure):
                one = view(topology, shard, failure, selection.archived)
                found += [one] if selection.takes_data(one.data) else []
                if len(found) == most:
                    return found
        upto = f"({entries[-1][0].decode()}"
    return found


async def _kinds(shard: Shard, component: str, selection: Selection) -> AsyncIterator[KindRow]:
    """Yield the counts of a component's failures, page by page; none from before the selection's time."""
    place, after = where(shard, component, selection.archived), str(selection.since or "-")
    while after:
        last, rows = await shard.scripts.kinds(place, after, "+", KINDS, selection.since)
        for row in rows:
            if row.kind:
                yield row
        if any(not row.kind for row in rows):  # written by an older version: read whole
            for entry, fields in await shard.queries.range(place, after, last or "+", KINDS):
                failure = Failure.read(component, entry, fields)
                if b"kind" not in fields and failure.failed >= selection.since:
                    yield KindRow(failure.kind, 1, failure.failed, failure.failed)
        after = f"({last}" if last else ""


def _group(common: str, tally: _Tally, sent_back: dict[str, int]) -> Group:
    id = short_id(common)
    return Group(
        id,
        common,
        tally.error,
        tally.frame,
        tuple(sorted(tally.types)),
        tuple(sorted(tally.components)),
        tally.count,
        tally.again,
        sent_back.get(id, 0),
        tally.first,
        tally.last,
    )
