"""Versions: how many unfinished flows run on which version of which mediator's flow."""

from __future__ import annotations

from dataclasses import dataclass

from hybrid.broker.shard import Store
from hybrid.mediator.versions import registered, running
from hybrid.topology import Topology


@dataclass(frozen=True, slots=True)
class VersionView:
    """A version of a mediator's flow for events of a type, and how many unfinished flows run on it."""

    mediator: str
    type: str
    version: int
    """0 for flows that have none yet: they are paused, or their event could not be taken."""
    flows: int
    newest: bool
    """Whether new flows start on it."""
    known: bool
    """Whether the application has it."""


async def versions(store: Store, topology: Topology) -> list[VersionView]:
    """Return the versions that the application has, or that flows run on; newest first."""
    counters = [await shard.queries.hash(shard.keys.counters) for shard in store.shards]
    known = {
        (name, type, code): code == codes[-1]
        for name, mediator in topology.mediators.items()
        for type, codes in registered(mediator).items()
        for code in codes
    }
    flows = {(row.mediator, row.type, row.code): row.flows for row in running(counters)}
    rows = sorted({*known, *flows}, key=lambda row: (row[0], row[1], -row[2]))
    return [VersionView(*row, flows.get(row, 0), known.get(row, False), row in known) for row in rows]
