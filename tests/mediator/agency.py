"""A travel agency in this process, on a store of its own, to which anything may happen: its workers drop
dead, its connections are cut, its handlers and its code break, people steer its flows, time jumps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from random import Random
from typing import Any

from hybrid import Settings
from hybrid.broker.shard import Store
from hybrid.errors import FlowEnded, TaskOver, UnknownFlow
from hybrid.inspect.steering import Steered, Steering
from hybrid.mediator.record import TASK, FlowRecord
from hybrid.mediator.tasks import task_id
from hybrid.runtime.worker import Worker
from hybrid.streams.connection import Connections, cancelled
from tests.prove import trips
from tests.prove.healing import Healer
from tests.prove.trip_laws import AT_ONCE, Trips
from tests.prove.trips import Bug, Confirmed, Part, TripBooked, TripCancelled

LEASE_MS = 400
PATIENCE = 15.0
HANDLERS = "book", "unbook"
TEN_YEARS_MS = 10 * 366 * 86_400_000


class Agency:
    """Some workers on one store, and the one who does things to them."""

    def __init__(self, name: str, url: str, directory: Path) -> None:
        kept = {"flow_ms": TEN_YEARS_MS, "topic_ms": TEN_YEARS_MS}
        self.settings = Settings.load(
            redis_url=url, directory=directory, lease_ms=LEASE_MS, block_ms=200, tick_ms=20, stop_ms=2000,
            **kept,
        )  # fmt: skip
        self.engine = trips.create_tables(directory)
        self.app = trips.application(self.settings)
        self.app.name = name
        self.flows: list[str] = []
        self._workers: list[Worker] = []
        self._dead: list[Worker] = []
        self._stack = AsyncExitStack()
        self.calm()

    def calm(self) -> None:
        """Mend all that is broken."""
        Bug.here = False
        for what in HANDLERS:
            trips.break_down(self.settings.directory, what, 0)

    async def open(self) -> None:
        """Open the store, and start two workers."""
        self.store = await self._stack.enter_async_context(self.app.store())
        await self.store.open(test=True)
        self.client = await self._stack.enter_async_context(self.app.client())
        self.healer = Healer(self.app, self.store, self.client, PATIENCE)
        await self._hire()
        await self._hire()

    async def close(self) -> None:
        """End everything."""
        for worker in [*self._workers, *self._dead]:
            await self._bury(worker)
        self.engine.dispose()
        await self._stack.aclose()

    async def end(self) -> None:
        """Mend everything, bring all flows to their end, and check the laws."""
        self.calm()
        await self.healer.heal()
        with Connections(self.settings.redis_url or "").threaded() as raw:
            await Trips(self.app, self.store, self.engine, raw).hold()

    async def book(self, parts: Sequence[Part], again: bool = False) -> None:
        """Book a trip; `again`: send its event twice."""
        trip = f"t{len(self.flows)}"
        self.flows.append(trip)
        for _ in range(1 + again):
            await self.client.send(TripBooked(trip=trip, parts=list(parts)), id=trip)

    async def kill(self, which: int) -> None:
        """A worker drops dead, in the middle of what it does; another one comes."""
        worker = self._workers.pop(which % len(self._workers))
        self._drop_dead(worker)
        self._dead.append(worker)
        await self._hire()

    async def replace(self, which: int) -> None:
        """A worker leaves, as in a deploy; another one comes."""
        worker = self._workers.pop(which % len(self._workers))
        await worker.stop()
        await self._bury(worker)
        await self._hire()

    def cut(self, which: int) -> None:
        """A worker's connections are cut."""
        for client in _clients(self._workers[which % len(self._workers)]):
            if client._link:
                client._link.close()

    def steering(self, why: str = "") -> Steering:
        """Return one that steers flows."""
        return Steering(self.store, self.app.topology, "ann", why)

    async def cancel(self, flow: str, now: bool) -> Steered:
        """Cancel a flow."""
        return await self.steering(AT_ONCE if now else "no").cancel(flow, now=now)

    async def restart(self, flow: str, dice: Random) -> Steered:
        """Restart a flow from any step."""
        steps = [1, *(await self.record(flow)).steps]
        return await self.steering().restart(flow, step=dice.choice(steps))

    async def fix(self, flow: str, dice: Random) -> Steered | None:
        """Change the word in a reply that a flow had."""
        record = await self.record(flow)
        fixable = [number for number, result in record.results.items() if result.type == "booked"]
        return await self.steering().fix(flow, [(dice.choice(fixable), "word", "x")]) if fixable else None

    async def answer(self, flow: str) -> None:
        """Answer what a flow asks, and give the signal that it may wait for."""
        with suppress(UnknownFlow, FlowEnded):
            await self.client.signal(flow, "go", by="ann")
        record = await self.record(flow)
        for number in record.outstanding:
            if record.steps[number].kind == TASK:
                with suppress(TaskOver):
                    await self.client.answer(task_id(flow, number), choice="no", by="ann")

    async def publish(self, flow: str, part: int) -> None:
        """Broadcast that a part is confirmed; 0: that the trip is cancelled."""
        event = Confirmed(trip=flow, part=part) if part else TripCancelled(trip=flow)
        await self.client.publish(event)

    async def record(self, flow: str) -> FlowRecord:
        """Return a flow's record; an empty one when there is none."""
        shard = self.store.shards[0]
        return FlowRecord.read(flow, await shard.queries.hash(shard.keys.flow(flow)))

    async def going(self) -> list[str]:
        """Return the flows that have not ended, children too, in their order."""
        return sorted(record.id for record in await self.healer.unfinished())

    async def _hire(self) -> None:
        store = Store(self.app.name, self.settings, self.settings.redis_url or "")
        worker = Worker(self.app.topology, self.app.resources, store)
        await worker.__aenter__()
        self._workers.append(worker)

    def _drop_dead(self, worker: Worker) -> None:
        """Let nothing more of a worker reach the server. Its handlers may end what they do, and commit."""
        worker._lease._stop.set()
        for client in _clients(worker):
            client.raw = _never
            if client._link:
                client._link.close()

    async def _bury(self, worker: Worker) -> None:
        self._drop_dead(worker)
        store, running = worker._store, [task for runner in worker._runners() for task in runner.running]
        settling = [s.settler._running for s in store.shards if s.settler._running]
        await cancelled([*worker._tasks, *worker._reading, *running, *settling])
        await worker._abandon()
        await store.close()


def _clients(worker: Worker) -> list[Any]:
    """Return all through which a worker speaks to the server, but for its lease."""
    shards = [shard._client for shard in worker._store.shards]
    return [*shards, *(reader._source._client for reader in worker._readers)]


async def _never(*words: Any) -> Any:
    await asyncio.Event().wait()
