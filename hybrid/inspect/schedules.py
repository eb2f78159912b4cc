"""Schedules, which send an event at each tick: adding, listing and removing them, and running one now."""

from __future__ import annotations

from collections.abc import AsyncIterator

from hybrid.broker.outputs import entered
from hybrid.broker.recurring import LONGEST, Plan, Recurring, Standing, checked_name, struck_off, written
from hybrid.broker.shard import Shard, Store
from hybrid.codec import encode
from hybrid.envelope import first_fields
from hybrid.errors import ScheduleError
from hybrid.ids import new_id
from hybrid.messages import Event
from hybrid.streams.scripts import Send
from hybrid.streams.transitions import APPLIED, Transition
from hybrid.topology import Topology


async def schedules(store: Store) -> list[Recurring]:
    """Return all schedules, by name."""
    found = [each.schedule async for _, each in _standing(store)]
    return sorted(found, key=lambda schedule: schedule.name)


async def add(
    store: Store, topology: Topology, name: str, event: Event, plan: Plan, *, replace: bool = False
) -> Recurring:
    """Add a schedule that sends an initiating event at each tick; return it.

    Its events enter by the shard of their key, or else of the schedule's name. Raises ScheduleError for a
    name that can't be or, without `replace`, is taken; ApplicationError for an event that no simple mediator
    takes; MessageTooLarge.
    """
    front, key = topology.front_of(type(event)).name, event.message_key()
    data = encode(event, store.settings.max_message_bytes)
    shard = store.shard_of(key or checked_name(name))
    what = f"event:{front}", event.type_name, event.type_version, key, data
    tick = plan.ticks().after(await shard.queries.now())
    schedule = Recurring(checked_name(name), plan, *what, new_id(), tick)
    while True:
        before = await _named(store, name)
        if before and not replace:
            raise ScheduleError(f"a schedule is called {name} already: --replace puts this one in its place")
        if before and before[0] is not shard:  # another key: no script can do both
            await remove(store, name)
            before = None
        here = before[1] if before else None
        if await _applied(shard, written(shard.keys, schedule, here)):
            return schedule


async def remove(store: Store, name: str) -> bool:
    """Remove a schedule; tell whether there was one."""
    was = False
    while found := await _named(store, name):
        was, (shard, standing) = True, found
        if await _applied(shard, struck_off(shard.keys, standing)):
            break
    return was


async def run_now(store: Store, name: str) -> str:
    """Send the event of a schedule now, besides its ticks; return the event's id. Raises ScheduleError when
    there is no such schedule.
    """
    found = await _named(store, name)
    if found is None:
        raise ScheduleError(f"no schedule is called {name[:LONGEST]} (`hybrid schedule list`)")
    shard, (schedule, _) = found
    keys, settings, id = shard.keys, store.settings, f"{name}:{new_id()}"
    fields = first_fields(id, schedule.type, schedule.version, schedule.key, schedule.data)
    sending = Send.of(id, keys.stream(schedule.channel), entered(schedule.channel), fields)
    names = [keys.counters, keys.seen_new, keys.seen_old, keys.scheduled]
    await shard.scripts.send(names, (settings.dedupe_ms, settings.dedupe_ids), [sending])
    return id


async def _applied(shard: Shard, transition: Transition) -> bool:
    """Apply a transition; tell whether it was, and not prevented by a tick or somebody else's change."""
    return await shard.scripts.settle(shard.keys.counters, [transition]) == [APPLIED]


async def _named(store: Store, name: str) -> tuple[Shard, Standing] | None:
    return next(iter([found async for found in _standing(store, name)]), None)


async def _standing(store: Store, name: str = "") -> AsyncIterator[tuple[Shard, Standing]]:
    """Yield the schedules of all shards, or the one of this name, each with its shard."""
    for shard in store.shards:
        wanted = [[name]] if name else []
        (records,) = await shard.queries.hashes([shard.keys.schedules], wanted)
        for each, record in records.items():
            yield shard, Standing(Recurring.read(each.decode(), record), record)
