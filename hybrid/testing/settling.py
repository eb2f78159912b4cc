"""Settling: whether an application has come to rest, with nothing waiting in a channel, in work, or due; and
letting time pass from one rest to the next.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from hybrid.broker.failures import Failure
from hybrid.broker.shard import Shard, Store
from hybrid.errors import NotSettled, StoreMismatch
from hybrid.inspect.flows import FlowSummary, summaries
from hybrid.inspect.ledger import GroupLedger, ledger
from hybrid.inspect.query import Query
from hybrid.messages import Command
from hybrid.runtime.schedule import again
from hybrid.testing.faults import FaultyWorker
from hybrid.topology import Topology

PAUSES = 0.001, 0.01
"""After how many seconds is looked again, when nothing was heard: at first, and at most."""


@dataclass(slots=True)
class Look:
    """What one look found."""

    moving: list[str] = field(default_factory=list)
    """What goes on by itself, in words."""
    later: list[tuple[Shard, str]] = field(default_factory=list)
    """The components of a shard that have an attempt to come."""
    failed: int = 0
    """How many deliveries are at the desk."""


@dataclass(slots=True)
class Held:
    """What does not count, as a test holds it: whole channels of components, and of each component how much
    of its own queue.
    """

    channels: set[tuple[str, str]]
    own: Counter[str]


class Settling:
    """Waits for rest on a store with one worker. What is there for other components than the worker's does
    not count, unless it is nobody's.
    """

    def __init__(
        self, store: Store, topology: Topology, worker: FaultyWorker, stirred: asyncio.Event
    ) -> None:
        """`stirred` is set whenever something was settled."""
        self._store = store
        self._topology = topology
        self._worker = worker
        self._stirred = stirred

    async def rest(self, timeout: float) -> Look:
        """Wait until the application has come to rest; return the last look. Raises NotSettled after
        `timeout` seconds, and when the worker has stopped.
        """
        deadline, pause = asyncio.get_running_loop().time() + timeout, PAUSES[0]
        while True:
            pause = PAUSES[0] if self._stirred.is_set() else min(pause * 2, PAUSES[1])
            self._stirred.clear()
            if self._worker.stopped.is_set():
                raise NotSettled(f"the worker has stopped: {self._worker.error}") from self._worker.error
            found = await self._look() if not self._in_work() else None
            if found and not found.moving and not found.later:
                return found
            if asyncio.get_running_loop().time() > deadline:
                raise NotSettled(await self._told(timeout, found or await self._look()))
            if found and not found.moving:
                await self._retry(found.later)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stirred.wait()

    async def skip(self, ms: int, timeout: float) -> None:
        """Let time pass, from one thing that is due to the next, with a rest at each of at most so many
        seconds. Raises NotSettled, and StoreMismatch on a store that was not made for tests.
        """
        await self.rest(timeout)
        while ms:
            step = min(ms, await self._following(ms))
            await self._pass(step)
            await self.rest(timeout)
            ms -= step

    def _in_work(self) -> bool:
        """Tell whether this process has something in work that is not held."""
        held = sum(map(len, self._worker.faults.held.values()))
        return sum(len(lane.in_work) for lane in self._worker.lanes) > held

    async def _look(self) -> Look:
        """Look once.

        What is due is looked at before the channels: so what comes due and moves meanwhile is found in its
        channel. With several shards the channels are looked at twice, as something may go from one to the
        other meanwhile.
        """
        found, held = Look(), self._held()
        for shard in self._store.shards:
            schedules = [shard.keys.timers, shard.keys.scheduled]
            due = (await shard.scripts.due(shard.keys.counters, schedules, 1)).members
            found.moving += [
                f"a {what} is due" for what, some in zip(("timer", "sending"), due, strict=True) if some
            ]
        for _ in self._store.shards[:2]:
            for group in (await ledger(self._store, self._topology)).groups:
                if group.group in self._worker.names or group.retired:
                    found.moving += _moving(group, held)
                    found.failed += group.failed
                    if group.later:
                        found.later.append((self._store.shards[group.shard], group.group))
        if not found.moving and not await self._worker.has_heard_all():
            found.moving.append("an event is in work with a handler of every instance")
        return found

    def _held(self) -> Held:
        held = self._worker.faults.held
        channels = set()
        for name, message in held:
            is_command = issubclass(self._topology.catalog.named(message), Command)
            channels.add((name, f"{'command' if is_command else 'topic'}:{message}"))
        waiting = [pair for pairs in held.values() for pair in pairs]
        own = [runner.component for runner, delivery in waiting if delivery.lane.channel.startswith("own:")]
        return Held(channels, Counter(own))

    async def _retry(self, later: Sequence[tuple[Shard, str]]) -> None:
        """Let the next attempts come now."""
        for shard, component in later:
            members = await shard.queries.members(shard.keys.later(component), 1000)
            await asyncio.gather(
                *(shard.settler.settle(again(shard.keys, component, member)) for member in members)
            )

    async def _told(self, timeout: float, found: Look) -> str:
        flows = await summaries(self._store, self._topology, Query(), 20)
        lines = [*dict.fromkeys(found.moving), *(told_flow(flow) for flow in flows if not flow.ended)]
        if found.failed:
            lines.append(f"{found.failed} at the desk")
        return f"not settled within {timeout:g} s:" + "".join(f"\n  {line}" for line in lines)

    async def _following(self, most: int) -> int:
        """Return in how many ms the next thing is due, `most` when there is none before."""
        found = most
        for shard in self._store.shards:
            schedules = [shard.keys.timers, shard.keys.scheduled]
            following = (await shard.scripts.due(shard.keys.counters, schedules, 1)).following
            found = min(found, following) if following >= 0 else found
        return found

    async def _pass(self, ms: int) -> None:
        """Let so much time pass, and move what is due by that."""
        for shard in self._store.shards:
            if not await shard.scripts.skip(shard.keys.store, shard.keys.counters, ms):
                raise StoreMismatch(
                    f"the store {shard.keys.prefix} was not made for tests: time is skipped in that of a"
                    " TestBed only"
                )
        for schedule in self._worker.schedules:
            await schedule.once()


def told_failure(failure: Failure) -> str:
    """Return a failure in a line."""
    envelope = failure.envelope
    type = envelope.type if envelope else failure.fields.get(b"type", b"?").decode(errors="replace")
    step = f", step {envelope.step}" if envelope and envelope.step else ""
    of = f" of flow {failure.flow}{step}" if failure.flow else ""
    attempts = f" ({failure.attempts} attempts)" if failure.attempts > 1 else ""
    return f"{failure.handler}: {type}{of}: {failure.error}: {failure.message}{attempts}"


def told_flow(flow: FlowSummary) -> str:
    """Return an unfinished flow in a line."""
    waits = f", waits for {', '.join(flow.waiting_for)}" if flow.waiting_for else ""
    return f"flow {flow.id} ({flow.type}): {flow.state}{waits}{f': {flow.problem}' if flow.problem else ''}"


def _moving(group: GroupLedger, held: Held) -> Iterable[str]:
    for channel in group.channels:
        if (group.group, channel.channel) in held.channels:
            continue
        pending = channel.pending
        if channel.channel == f"own:{group.group}":
            pending -= held.own[group.group]
        if channel.waiting or pending > 0:
            who = group.group or "nobody, as no processor handles it"
            yield f"{channel.waiting} waiting and {pending} in work in {channel.channel}, for {who}"
