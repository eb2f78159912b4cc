"""What is held: deliveries that wait for the one before of their key; and letting them go by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgpack

from hybrid.broker.failures import Failure
from hybrid.broker.order import Held, held, turn
from hybrid.broker.shard import Shard, Store
from hybrid.envelope import from_fields
from hybrid.inspect.ledger import layout
from hybrid.inspect.shown import visible
from hybrid.repair.ways import given_up
from hybrid.streams.transitions import APPLIED, Transition, Turn, fire, has_turn, release
from hybrid.topology import Topology

PAGE = 500
AT_THE_DESK, ARCHIVED, IN_REPAIR = "at the desk", "archived", "in repair"
RETRYING, IN_WORK = "between two attempts", "in work"


@dataclass(frozen=True, slots=True)
class HeldKey:
    """A key of which something is held. `behind` is the id of the message that the others wait for, `state`
    where that is.
    """

    component: str
    channel: str
    key: str
    waiting: int
    behind: str
    state: str
    source: tuple[Shard, bytes] = field(repr=False, compare=False)
    """The shard and the place there (CHANNEL|KEY)."""

    def facts(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "source"}


@dataclass(frozen=True, slots=True)
class HeldMessage:
    """A message that is held, first in line first. `sent` in ms, secrets masked."""

    id: str
    type: str
    sent: int
    flow: str
    data: Any


async def held_keys(store: Store, topology: Topology, key: str = "", component: str = "") -> list[HeldKey]:
    """Return the keys of which something is held: all, or those named."""
    found = []
    for shard in store.shards:
        for name, channels in (await layout(shard, topology)).items():
            if component not in ("", name):
                continue
            places: dict[bytes, tuple[Held, int]] = {}
            async for _, each in _members(shard, name):
                first, number = places.get(each.place, (each, 0))
                places[each.place] = first, number + 1
            owners = await shard.queries.hash(shard.keys.gate(name)) if places else {}
            states = await _states(shard, name, channels.queues) if places else {}
            for place, (first, number) in places.items():
                if key in ("", first.key):
                    behind = owners.get(place, b"").rpartition(b"\0")[0]
                    state = states.get(behind, IN_WORK)
                    row = first.channel, first.key, number, behind.decode(errors="replace"), state
                    found.append(HeldKey(name, *row, (shard, place)))
    return found


async def messages(topology: Topology, view: HeldKey) -> list[HeldMessage]:
    """Return what is held of a key, in the order in which it will run."""
    shard, place = view.source
    shown = []
    async for _, each in _members(shard, view.component):
        if each.place == place:
            envelope = from_fields(each.fields, b"0-0")
            data = visible(topology.catalog, envelope.type, each.fields.get(b"data", b""), envelope.version)
            shown.append(HeldMessage(envelope.id, envelope.type, envelope.time, envelope.flow, data))
    return shown


async def let_go(view: HeldKey) -> bool:
    """Release a key: the next of it runs, although the one before is not done. That one, when it comes back,
    waits its turn. Return whether it was done: somebody else may have been first.
    """
    shard, place = view.source
    keys, owner = shard.keys, view.behind.encode()
    order = Turn(keys.gate(view.component), keys.held(view.component), keys.own(view.component), place, owner)
    released = Transition([has_turn(order)], (), [release(order)])
    return await shard.settler.settle(released) == APPLIED


async def discard(view: HeldKey, reason: str) -> tuple[int, int]:
    """Give up everything that is held of a key; return how many messages, and how many had run meanwhile.

    Flows that wait for them see CommandFailed.
    """
    shard, place = view.source
    zset, now = shard.keys.held(view.component), await shard.queries.now()
    work = []
    async for member, each in _members(shard, view.component):
        if each.place == place:
            failure = Failure("", view.component, each.channel, "", each.fields)
            way = given_up(shard.keys, failure, reason, now)
            work.append(Transition((), [fire(zset, member)], way.effects))
    codes = await asyncio.gather(*map(shard.settler.settle, work))
    done = sum(code == APPLIED for code in codes)
    return done, len(codes) - done


async def _members(shard: Shard, component: str) -> AsyncIterator[tuple[bytes, Held]]:
    """Yield what a component holds, place by place in line. What comes or goes meanwhile may be missed."""
    zset, start = shard.keys.held(component), 0
    while page := await shard.queries.ranked(zset, start, PAGE):
        for member in page:
            yield member, held(member)
        start += len(page)


async def _states(shard: Shard, component: str, queues: Sequence[str]) -> dict[bytes, str]:
    """Return where messages are that hold up others, by the id of their origin; not those in work."""
    states: dict[bytes, str] = {}
    keys = shard.keys

    def note(fields: dict[bytes, bytes], state: str) -> None:
        if order := turn(keys, component, fields):
            states[bytes(order.origin)] = state

    for member in await shard.queries.members(keys.later(component), 1_000_000):
        _, flat = msgpack.unpackb(member, raw=True)
        note(dict(zip(flat[::2], flat[1::2], strict=True)), RETRYING)
    places = {keys.failed(component): AT_THE_DESK, keys.archived(component): ARCHIVED}
    places |= {keys.stream(queue): IN_REPAIR for queue in queues if queue.startswith("repair:")}
    for place, state in places.items():
        after = "-"
        while entries := await shard.queries.range(place, after, most=PAGE):
            for entry, fields in entries:
                note(Failure.read(component, entry, fields).fields, state)
            after = f"({entries[-1][0].decode()}"
    return states
