"""Loose flows: unfinished ones that nothing will ever carry on (law 3 for flows).

Each step that an unfinished flow awaits has an outstanding command or timer, or stands among those that wait
to hear an event, or is a signal, for which it may wait for ever; a flow that awaits nothing has a wake-up
under way, or a failed one. All this moves while we look, so a flow is called loose only when, on a second
look, its record has the same version and its step is still awaited and still nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgpack

from hybrid.broker.failures import Failure
from hybrid.broker.order import held
from hybrid.broker.shard import Shard, Store
from hybrid.codec import unpack
from hybrid.ids import command_id
from hybrid.inspect.ledger import layout
from hybrid.mediator.record import FlowRecord
from hybrid.mediator.tasks import ESCALATE, REMIND
from hybrid.mediator.waits import Listener
from hybrid.topology import Topology

PAGE = 2_000
LOOKS = 3


@dataclass(frozen=True, slots=True)
class Loose:
    """A flow that nothing will carry on: its id, and what is nowhere."""

    flow: str
    missing: str


@dataclass(slots=True)
class Places:
    """What is outstanding on one shard: ids of commands (and of steps with a timer), and flows about to be
    woken.
    """

    commands: set[str] = field(default_factory=set)
    flows: set[str] = field(default_factory=set)

    def add(self, fields: dict[bytes, bytes]) -> None:
        """Take what an entry stands for: a command (a mended one names the step whose it is), an initiating
        event (its id is its flow's), or a wake-up.
        """
        id, flow, run, step = (
            fields.get(name, b"").decode(errors="replace") for name in (b"id", b"flow", b"run", b"step")
        )
        self.commands.add(f"{flow}/{run}/{step}" if step else id)
        self.flows.add(id)
        if not id:
            self.flows.add(flow)


async def loose_flows(store: Store, topology: Topology, most: int = 10_000) -> list[Loose]:
    """Return the loose ones of the oldest `most` unfinished flows of each shard."""
    found: list[Loose] = []
    for shard in store.shards:
        suspects: dict[str, tuple[int, str]] = {}
        ids = [id for id, _ in await shard.queries.scored(shard.keys.flows, most)]
        for look in range(LOOKS):
            if not ids:
                break
            seen = await _look(shard, topology, ids)
            suspects = {id: what for id, what in seen.items() if look == 0 or suspects.get(id) == what}
            ids = list(suspects)
        found += [Loose(id, missing) for id, (_, missing) in suspects.items()]
    return found


async def _look(shard: Shard, topology: Topology, ids: list[str]) -> dict[str, tuple[int, str]]:
    """Return the flows that seem loose, with the version of their record and what is missing."""
    places = await _places(shard, topology)
    seen: dict[str, tuple[int, str]] = {}
    for start in range(0, len(ids), 500):
        some = ids[start : start + 500]
        hashes = await shard.queries.hashes([shard.keys.flow(id) for id in some])
        for id, fields in zip(some, hashes, strict=True):
            record = FlowRecord.read(id, fields)
            missing = "" if record.ended else _missing(record, places)
            if missing:
                seen[id] = (record.version, missing)
    return seen


def _missing(record: FlowRecord, places: Places) -> str:
    if record.id in places.flows:
        return ""
    if not record.facts:
        return "its record"
    if not record.waits:
        return "a wake-up"
    due = [n for n in sorted(record.waits) if n in record.steps and not record.steps[n].is_from_outside]
    nowhere = [n for n in due if command_id(record.id, record.run, n) not in places.commands]
    return ", ".join(f"step {n} ({record.steps[n].label})" for n in nowhere)


async def _places(shard: Shard, topology: Topology) -> Places:
    places, keys = Places(), shard.keys
    layouts = await layout(shard, topology)
    for name, found in layouts.items():
        for queue in found.queues:
            await _read(shard, keys.prefix + queue, places, name if queue.startswith("repair:") else "")
    for name in layouts:
        for member in await shard.queries.members(keys.later(name), 1_000_000):
            _, flat = msgpack.unpackb(member)
            places.add(dict(zip(flat[::2], flat[1::2], strict=True)))
        for member in await shard.queries.members(keys.held(name), 1_000_000):
            places.add(held(member).fields)
    for name in layouts:
        await _read(shard, keys.own(name), places)
        await _read(shard, keys.failed(name), places, name)
        await _read(shard, keys.archived(name), places, name)
    await _look_at_waits(shard, topology, places)
    return places


async def _look_at_waits(shard: Shard, topology: Topology, places: Places) -> None:
    """Take the steps that have a timer, and those that wait to hear an event."""
    for member in await shard.queries.members(shard.keys.timers, 1_000_000):
        flow, run, step, _, *then = unpack(member)
        if then[:1] not in ([REMIND], [ESCALATE]):
            places.commands.add(command_id(flow, run, step))
    for name, mediator in topology.mediators.items():
        for event in mediator.hears:
            waits = shard.keys.waits(name, event.type_name)
            for listener in map(Listener.read, await shard.queries.members(waits, 1_000_000)):
                places.commands.add(command_id(listener.flow, listener.run, listener.step))


async def _read(shard: Shard, stream: str, places: Places, failures_of: str = "") -> None:
    after = "-"
    while entries := await shard.queries.range(stream, after, most=PAGE):
        for entry, fields in entries:
            places.add(Failure.read(failures_of, entry, fields).fields if failures_of else fields)
        after = f"({entries[-1][0].decode()}"
