"""The failures: what no retry could cure, as people see it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from hybrid.broker.failures import Failure, short_id
from hybrid.broker.shard import Shard, Store
from hybrid.inspect.ledger import layout
from hybrid.inspect.shown import visible
from hybrid.topology import Topology

PAGE = 200
HANDLE = re.compile(r"(?P<component>[^/]+)/(?P<entry>\d{1,18}-\d{1,18})(?:/(?P<shard>\d{1,4}))?")


@dataclass(frozen=True, slots=True)
class FailureView:
    """One failed delivery. `id` is its handle, COMPONENT/ENTRY (and /SHARD past the first). Times in ms."""

    id: str
    component: str
    handler: str
    channel: str
    type: str
    message: str
    """The message's id."""
    flow: str
    step: int
    key: str
    error: str
    reason: str
    attempts: int
    sent: int
    failed: int
    data: Any
    traceback: str
    source: tuple[Shard, Failure] = field(repr=False, compare=False)
    fingerprint: str = ""
    """What it has in common with the others of its group, and the group's id: the same in 8 digits."""
    group: str = ""
    sent_back: int = 0
    """How often it was sent back before it failed again."""
    archived: bool = False

    def facts(self) -> dict[str, Any]:
        """Return it as plain data, without where it came from."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "source"}


async def failures(
    store: Store, topology: Topology, archived: bool = False
) -> AsyncIterator[tuple[Shard, Failure]]:
    """Yield all failures that were there when we began, group by group, oldest first; or those that were put
    away.
    """
    for shard in store.shards:
        for name in await components(shard, topology):
            place = where(shard, name, archived)
            newest = await shard.queries.newest(place, most=1)
            after, upto = "-", newest[0][0].decode() if newest else "-"
            while entries := await shard.queries.range(place, after, upto, PAGE):
                for entry, fields in entries:
                    yield shard, Failure.read(name, entry, fields)
                after = f"({entries[-1][0].decode()}"


async def components(shard: Shard, topology: Topology) -> list[str]:
    """Return the names of all that can have failures on a shard."""
    return [group for group in await layout(shard, topology) if group]


def where(shard: Shard, component: str, archived: bool) -> str:
    """Return the stream in which the failures of a component stand."""
    return shard.keys.archived(component) if archived else shard.keys.failed(component)


def view(topology: Topology, shard: Shard, failure: Failure, archived: bool = False) -> FailureView:
    """Return a failure as people see it."""
    envelope = failure.envelope
    wake = failure.fields.get(b"flow", b"").decode(errors="replace")
    type = failure.fields.get(b"type", b"").decode(errors="replace")
    in_flow = (
        ""
        if envelope is None
        else envelope.flow or (envelope.id if failure.component in topology.mediators else "")
    )
    return FailureView(
        _handle(shard, failure),
        failure.component,
        failure.handler,
        failure.channel,
        type,
        envelope.id if envelope else "",
        in_flow or wake,
        envelope.step if envelope else 0,
        envelope.key if envelope else "",
        failure.error,
        failure.message,
        failure.attempts,
        envelope.time if envelope else 0,
        failure.failed,
        visible(topology.catalog, type, failure.data, failure.version) if b"data" in failure.fields else None,
        failure.traceback,
        (shard, failure),
        failure.fingerprint,
        short_id(failure.fingerprint),
        failure.sent_back,
        archived,
    )


async def named(store: Store, topology: Topology, name: str) -> list[FailureView]:
    """Return the failures, put away or not, that answer to a name: a handle, an entry, the id of a message or
    of a flow.
    """
    found: list[FailureView] = []
    for archived in (False, True):
        if handle := HANDLE.fullmatch(name):
            component, entry = handle["component"], handle["entry"]
            for shard in store.shards[int(handle["shard"] or 0) :][:1]:
                place = where(shard, component, archived)
                for id, fields in await shard.queries.range(place, entry, entry, 1):
                    found.append(view(topology, shard, Failure.read(component, id, fields), archived))
        elif name:
            async for shard, failure in failures(store, topology, archived):
                if name in _names(failure):
                    found.append(view(topology, shard, failure, archived))
    return found


async def handles(store: Store, topology: Topology) -> dict[str, list[str]]:
    """Return, by flow, the handles of all that is at the desk now or was put away."""
    found: dict[str, list[str]] = {}
    for archived in (False, True):
        async for shard, failure in failures(store, topology, archived):
            found.setdefault(failure.own_flow or failure.flow, []).append(_handle(shard, failure))
    return found


def _handle(shard: Shard, failure: Failure) -> str:
    tail = f"/{shard.number}" if shard.number else ""
    return f"{failure.component}/{failure.entry}{tail}"


def _names(failure: Failure) -> tuple[str, ...]:
    """Return what a failure answers to beside its handle: its entry, its message's id, or its flow's."""
    envelope = failure.envelope
    wake = failure.fields.get(b"flow", b"").decode(errors="replace")
    return (failure.entry, envelope.id if envelope else "", wake or (envelope.flow if envelope else ""))
