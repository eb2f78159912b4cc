"""What must hold in the small world at every moment, and when all is done.

It is looked up in Redis, not in the actors.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgpack

from hybrid.codec import unpack
from hybrid.ids import derived_id
from hybrid.keys import QUEUE_GROUP
from tests.streams.world import COMMANDS, GROUPS, MEDIATOR, World, is_wait, reached, steps_before


class Laws:
    """Looks at a world again and again; remembers what may not change."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.keys = world.keys
        self.results: dict[str, bytes] = {}
        self.done: Counter[tuple[str, str, str]] = Counter()
        self.log = "0"

    def hold(self) -> None:
        """Check all of them."""
        self.world.run(self._hold())

    def hold_at_the_end(self) -> None:
        """Check that nothing is left to do, nor left over."""
        self.hold()
        self.world.run(self._over())

    async def _hold(self) -> None:
        await self.world.note_broadcasts()
        await self._read_log()
        self._settled_once()
        await self._ledger()
        places = {name: await self._places(name) for name in (*COMMANDS, *GROUPS)}
        await self._commands_are_somewhere(places)
        self._broadcasts_are_somewhere(places)
        await self._flows_go_on(places)

    async def _read_log(self) -> None:
        for entry, fields in await self.world.queries.range(self.keys.log, f"({self.log}", most=10**6):
            unpacker = msgpack.Unpacker()
            unpacker.feed(fields[b"e"])
            self.done.update(map(tuple, unpacker))
            self.log = entry.decode()

    def _settled_once(self) -> None:
        """Law 1, and law 5 for the broadcasts' ids."""
        twice = {key for key, times in self.done.items() if times > 1 and key[0] not in self.world.replayed}
        assert not twice, f"settled more than once: {twice}"
        broadcasts = Counter(self.world.broadcasts)
        handled = {
            derived_id(id, who, "handler", "0")
            for who, id, what in self.done
            if what == "done" and who in COMMANDS
        }
        assert set(broadcasts) == handled, "broadcasts and settled commands differ"
        assert max(broadcasts.values(), default=1) == 1, "broadcast twice"

    async def _ledger(self) -> None:
        """Law 3, by numbers: the counters against the places."""
        keys, layout = [self.keys.counters, self.keys.groups], []
        queues = {MEDIATOR: [], **{name: [self.keys.command(name)] for name in COMMANDS}}
        for name in (MEDIATOR, *COMMANDS, *GROUPS):
            streams = [*queues.get(name, ()), self.keys.own(name)]
            topics = [self.world.topic] * (name in GROUPS)
            keys += [*self.keys.places(name), *streams, *topics]
            channels = [self.keys.channel(key) for key in (*streams, *topics)]
            layout.append([name, len(streams), len(topics), channels])
        for name, later, failed, archived, held, *left, channels in await self.world.scripts.ledger(
            keys, QUEUE_GROUP, layout
        ):
            entered = sum(channel[1] for channel in channels)
            here = (
                later
                + failed
                + archived
                + held
                + sum(waiting + pending for _, _, waiting, pending, _, _ in channels)
            )
            if (
                name.decode() not in self.world.replayed
                if isinstance(name, bytes)
                else name not in self.world.replayed
            ):
                assert entered - sum(left) == here, f"{name}: {entered} entered, {left} left, {here} here"

    async def _places(self, name: str) -> Counter[str]:
        """Where the deliveries of a processor are, by message id."""
        range, keys = self.world.queries.range, self.keys
        entries = [*await range(keys.own(name)), *await range(keys.failed(name))]
        if name in COMMANDS:
            entries += await range(keys.command(name))
        else:
            entries += await self._unsettled(name)
        found = Counter(fields[b"id"].decode() for _, fields in entries)
        for member in await self.world.queries.members(keys.later(name), 1000):
            flat = unpack(member)
            found[dict(zip(flat[::2], flat[1::2], strict=True))["id"]] += 1
        return found

    async def _unsettled(self, group: str) -> list[Any]:
        client, topic = self.world.client, self.world.topic
        (last,) = [
            g["last-delivered-id"] for g in await client.xinfo_groups(topic) if g["name"] == group.encode()
        ]
        pending = await client.xpending_range(topic, group, "-", "+", 1000)
        entries = await self.world.queries.range(topic, f"({last.decode()}")
        for row in pending:
            found = await self.world.queries.range(
                topic, row["message_id"].decode(), row["message_id"].decode()
            )
            assert found, f"{group}: {row} was trimmed before it was settled"
            entries += found
        return entries

    async def _commands_are_somewhere(self, places: dict[str, Counter[str]]) -> None:
        """Law 3, by ids: each command is in one place, or done; and was issued once."""
        for name in COMMANDS:
            over = {id for who, id, what in self.done if who == name}
            assert max(places[name].values(), default=1) == 1, f"{name}: in two places: {places[name]}"
            assert not over & set(places[name]), f"{name}: done, and still here: {over & set(places[name])}"
            entered = int(await self.world.client.hget(self.keys.counters, f"entered:command:{name}") or 0)
            assert entered == len(over) + len(places[name]), f"{name}: issued twice, or lost"

    def _broadcasts_are_somewhere(self, places: dict[str, Counter[str]]) -> None:
        for group in GROUPS:
            over = {id for who, id, what in self.done if who == group}
            missing = set(self.world.broadcasts) - over - set(places[group])
            assert not missing, f"{group} will never have {missing}"
            if group not in self.world.replayed:
                extra = places[group] - Counter(set(self.world.broadcasts) - over)
                assert not extra, f"{group} has {extra} once too often"

    async def _flows_go_on(self, places: dict[str, Counter[str]]) -> None:
        """Law 3, for flows: what is unfinished waits for something that is there."""
        world, keys = self.world, self.keys
        woken = set()
        for _, fields in await world.queries.range(keys.own(MEDIATOR)):
            woken.add((fields.get(b"flow") or fields[b"id"]).decode())
        timers = {member.decode() for member in await world.queries.members(keys.timers, 1000)}
        there = {*places["pay"], *places["ship"], *timers}
        unfinished = {member.decode() for member in await world.queries.members(keys.flows, 1000)}
        ids = [*world.sent]
        for id, record in zip(ids, await world.queries.hashes(list(map(keys.flow, ids))), strict=True):
            assert (bool(record) and b"ended" not in record) == (id in unfinished), f"{id}: ended or not?"
            self._results_stay(id, record)
            if id in unfinished and id not in woken:
                self._waits_for(id, record, there)
            history = await world.client.lrange(keys.history(id), 0, -1)
            assert len(history) == len(set(history)), f"{id}: issued a command twice"

    def _results_stay(self, id: str, record: dict[bytes, bytes]) -> None:
        """The first result of a step counts, and only one of the present run."""
        for field, value in record.items():
            if field.startswith(b"result:") and value:
                run = record[b"run"].decode()
                assert value.decode().endswith(f"/{run}"), (
                    f"{id}: {field!r} is of another run than {run}: {value!r}"
                )
                first = self.results.setdefault(f"{id}/{run}/{field.decode()}", value)
                assert first == value, f"{id}: {field!r} was {first!r} and became {value!r}"

    def _waits_for(self, id: str, record: dict[bytes, bytes], there: set[str]) -> None:
        plan, run, stage = unpack(record[b"plan"]), record[b"run"].decode(), int(record[b"stage"]) - 1
        assert 0 <= stage == reached(plan, record), f"{id} can go on, but nothing wakes it up: {record}"
        first = steps_before(plan, stage) + 1
        steps = {str(first + n) for n in range(len(plan[stage][1]))}
        results = {step for step in steps if record.get(f"result:{step}".encode())}
        assert int(record[b"need"]) == plan[stage][0] - len(results), f"{id} counts wrong: {record}"
        waits = {name.partition(b":")[2].decode() for name, value in record.items() if is_wait(name, value)}
        assert waits == steps - results, f"{id} waits for {waits}, not {steps - results}"
        nowhere = {step for step in waits if f"{id}/{run}/{step}" not in there}
        assert not nowhere, f"{id} waits for {nowhere}, which are nowhere"

    async def _over(self) -> None:
        world, keys = self.world, self.keys
        for name in (MEDIATOR, *COMMANDS, *GROUPS):
            assert not await world.client.zcard(keys.later(name))
            assert not await world.client.xlen(keys.failed(name))
            assert not await world.client.xlen(keys.own(name)), f"left in own:{name}"
        assert not await world.client.zcard(keys.timers)
        assert not await world.client.zcard(keys.flows), "a flow has not ended"
        for group in GROUPS:
            assert not await self._unsettled(group)
        for stream, group in [*((q, QUEUE_GROUP) for q in world.queues), *((world.topic, g) for g in GROUPS)]:
            names = {name for name, _ in await world.queries.consumers(stream, group)}
            dead = names - {actor.name for actor in world.actors}
            assert not dead, f"{dead} were never deleted from {stream}"
        async for key in world.client.scan_iter(match=f"*{keys.prefix.split('.')[0][1:]}*", count=10**6):
            assert key.decode().startswith(keys.prefix), f"law 2: {key!r} is outside of the shard"
