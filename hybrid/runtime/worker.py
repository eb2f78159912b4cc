"""The worker: runs components of an application in one process."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from itertools import repeat
from typing import Any

from hybrid.broker.shard import Shard, Store
from hybrid.errors import ApplicationError, ServerError, StoreMismatch
from hybrid.keys import QUEUE_GROUP
from hybrid.mediator.versions import check_versions, running
from hybrid.messages import Event
from hybrid.positions import NOW, position
from hybrid.processor import Handler
from hybrid.resources import Resource, open_resources
from hybrid.runtime.advancing import MediatorRunner
from hybrid.runtime.delivery import Lane, Taker
from hybrid.runtime.fronting import FrontRunner
from hybrid.runtime.handback import hand_back
from hybrid.runtime.housekeeping import Housekeeping
from hybrid.runtime.lease import Lease, facts
from hybrid.runtime.listening import Ear, Listening
from hybrid.runtime.orphans import Orphans
from hybrid.runtime.processing import ProcessorRunner
from hybrid.runtime.reader import Reader
from hybrid.runtime.repairing import RepairRunner
from hybrid.runtime.runner import Runner
from hybrid.runtime.schedule import Schedule
from hybrid.runtime.workplace import Workplace, consumer_name
from hybrid.settings import Settings
from hybrid.streams.connection import cancelled
from hybrid.topology import Topology

BASE = 64
"""What a mediator's lane takes ahead at the least: its work is short."""
_log = logging.getLogger("hybrid.worker")


class Worker:
    """Runs components (all, or those named) until it is stopped.

    async with Worker(topology, resources, store) as worker:
        await worker.stopped.wait()
    """

    def __init__(
        self, topology: Topology, resources: Sequence[Resource], store: Store, names: Sequence[str] = ()
    ) -> None:
        unknown = [name for name in names if name not in topology.names]
        if unknown:
            raise ApplicationError(
                f"no component is called {unknown[0]}; there are: {', '.join(topology.names)}"
            )
        self.names = list(names or topology.names)
        self.stopped = asyncio.Event()
        self.error: Exception | None = None
        """Why it stopped by itself."""
        self._opened = ""
        """The id of the store that it was started on."""
        self._store = store
        self._resources = list(resources)
        self._stack = AsyncExitStack()
        settings = store.settings
        self._workplace = Workplace(
            topology, settings, ThreadPoolExecutor(settings.threads, "hybrid-handler")
        )
        self._readers: list[Reader] = []
        self._lanes: list[Lane] = []
        self._ears: list[Ear] = []
        self._listening: list[Listening] = []
        self._schedules: list[Schedule] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._reading: list[asyncio.Task[None]] = []

    @property
    def consumer(self) -> str:
        """The consumer's name in Redis."""
        return self._workplace.consumer

    async def __aenter__(self) -> Worker:
        try:
            await self._start()
        except BaseException:
            await self._abandon()
            raise
        return self

    async def __aexit__(self, *exception: Any) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Stop reading, let running handlers end (for at most stop_ms), hand back the rest, and leave."""
        workplace = self._workplace
        if workplace.stopping:
            return
        workplace.stopping = True
        for reader in self._readers:
            await reader.stop()
        await self._end(self._reading)
        await cancelled(self._tasks)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._read_left_over(), 5)
        dropped = [delivery for runner in self._runners() for delivery in runner.drop_waiting()]
        dropped += [delivery for reader in self._readers for delivery in reader.unstarted]
        dropped += self._orphans.waiting
        await self._let_end()
        try:
            await asyncio.wait_for(hand_back(dropped, self._lanes), 5)
            await self._lease.stop()
            for shard in self._store.shards:
                await shard.writes.leave(shard.keys.consumers, shard.keys.lease(self.consumer), self.consumer)
        except (ServerError, TimeoutError) as error:
            _log.warning("left without a word, others will take over: %s", error)
        await self._abandon()

    async def _start(self) -> None:
        await self._store.open()
        self._opened = self._store.id
        self._workplace.topology.check_order(len(self._store.shards))
        await self._check_versions()
        settings: Settings = self._store.settings
        self._workplace.resources = await open_resources(self._resources, {Settings: settings}, self._stack)
        self._ears = self._every_instance()
        for shard in self._store.shards:
            self._build(shard)
        await self._restore()
        self._lease = Lease(self._store.shards, self._workplace, self._on_lost_lease)
        await self._lease.start()
        await self._enrol()
        catalog = self._workplace.topology.catalog
        topics = [f"topic:{cls.type_name}" for cls in catalog if issubclass(cls, Event)]
        for shard in self._store.shards:
            schedule = Schedule(shard, self.names, self._workplace)
            self._schedules.append(schedule)
            self._background(schedule.run())
            self._background(Housekeeping(shard, topics, self._workplace).run())
        self._orphans = Orphans(self._lanes, self._workplace, self._recover)
        self._background(self._orphans.look())
        self._background(self._orphans.run_taken())
        for listening in self._listening:
            await listening.start()
            self._background(listening.run())
        self._reading = [self._watched(reader.run()) for reader in self._readers]

    async def _check_versions(self) -> None:
        """Check that the mediators that run here have the versions that their flows need. Raises
        VersionMissing.
        """
        topology = self._workplace.topology
        mediators = [topology.mediators[name] for name in self.names if name in topology.mediators]
        if mediators:
            counters = [await shard.queries.hash(shard.keys.counters) for shard in self._store.shards]
            check_versions(mediators, running(counters))

    def _build(self, shard: Shard) -> None:
        """Make the runners, lanes and readers of one shard."""
        topology, keys = self._workplace.topology, shard.keys
        queues: list[Lane] = []
        for name in self.names:
            runner = self._runner(name, shard)
            if fixer := topology.fixers.get(name):
                failing = map(keys.repair, repeat(name), topology.repaired_by(fixer))
                base = self._workplace.settings.concurrency
                queues += [Lane(shard, queue, runner, QUEUE_GROUP, base) for queue in failing]
                continue
            processor = topology.processors.get(name)
            base = self._workplace.settings.concurrency if processor else BASE
            queues.append(Lane(shard, keys.own(name), runner, QUEUE_GROUP, base))
            if processor is None:
                lane = Lane(shard, keys.event(name), runner, QUEUE_GROUP, base, is_new=True)
                if front := topology.fronts.get(name):
                    lane.ordered = {cls.type_name: field for cls, field in front.ordered.items()}
                queues.append(lane)
                self._read(name, [self._heard(shard, runner, event) for event in topology.topics_of(name)])
                continue
            for command in processor.commands:
                handler = processor.handlers[command]
                own = handler.concurrency or base
                lane = Lane(shard, keys.command(command.type_name), runner, QUEUE_GROUP, own)
                lane.ordered = _ordered(handler)
                queues.append(lane)
            topics = [self._topic(shard, runner, processor.handlers[e], base) for e in processor.events]
            self._read(name, topics)
        self._read(QUEUE_GROUP, queues)
        if self._ears:
            self._listening.append(Listening(shard, self._ears, self._workplace))

    def _read(self, group: str, lanes: list[Lane]) -> None:
        """Make the readers of a group's lanes: one for all, and one per component for those that keep an
        order.
        """
        self._lanes += lanes
        apart: dict[str, list[Lane]] = {}
        for lane in lanes:
            apart.setdefault(lane.component if lane.ordered else "", []).append(lane)
        self._readers += [
            Reader(group, together, self._workplace, self._restore) for together in apart.values()
        ]

    def _topic(self, shard: Shard, runner: Runner, handler: Handler, base: int) -> Lane:
        stream = shard.keys.topic(handler.message.type_name)
        lane = Lane(shard, stream, runner, handler.component, handler.concurrency or base)
        lane.start, lane.asked, lane.ordered = handler.start, handler.wants_context, _ordered(handler)
        return lane

    def _heard(self, shard: Shard, runner: Runner, event: type[Event]) -> Lane:
        """Return the lane of an event that a mediator's flows wait for; a new group begins now, since none
        waits for what was before.
        """
        lane = Lane(shard, shard.keys.topic(event.type_name), runner, runner.component, BASE)
        lane.start, lane.heard = NOW, True
        return lane

    def _every_instance(self) -> list[Ear]:
        processors = self._workplace.topology.processors
        handlers = [
            h for name in self.names if name in processors for h in processors[name].handlers.values()
        ]
        return [Ear(handler, self._workplace) for handler in handlers if handler.every_instance]

    def _runner(self, name: str, shard: Shard) -> Runner:
        topology, workplace = self._workplace.topology, self._workplace
        if name in topology.fronts:
            return FrontRunner(topology.fronts[name], shard, workplace)
        if name in topology.mediators:
            return MediatorRunner(topology.mediators[name], shard, workplace, self._store.shards)
        if name in topology.fixers:
            return RepairRunner(topology.fixers[name], shard, workplace)
        return ProcessorRunner(topology.processors[name], shard, workplace)

    async def _restore(self) -> None:
        """Make sure that all groups exist, and that the store is the one that we opened."""
        await self._store.open()
        if self._store.id != self._opened:
            self.error = StoreMismatch(
                f"the store is another one than before (id {self._store.id}, was {self._opened}): Redis lost"
                " its data, or the address points elsewhere now. Nothing is consumed until somebody has"
                " looked: start the worker anew"
            )
            _log.critical("%s", self.error)
            self.stopped.set()
            for reader in self._readers:
                await reader.stop()
            return
        for shard in self._store.shards:
            keys = shard.keys
            lanes = [lane for lane in self._lanes if lane.shard is shard]
            now = await shard.queries.server_time()
            await shard.writes.ensure_queues([lane.stream for lane in lanes if lane.queue], QUEUE_GROUP)
            for lane in lanes:
                if not lane.queue:
                    names = [lane.stream, keys.groups, keys.counters]
                    if (
                        await shard.scripts.register(
                            names, lane.group, lane.channel, position(lane.start, now)
                        )
                        == 2
                    ):
                        _log.error(
                            "group %s of %s was lost; it goes on at its low-water mark",
                            lane.group,
                            lane.channel,
                        )

    def _on_lost_lease(self) -> None:
        """Drop what was not started and go on under another name: others may have taken our deliveries
        over.
        """
        _log.error(
            "the lease of %s was lost (frozen, or no server): going on under another name", self.consumer
        )
        for runner in self._runners():
            runner.drop_waiting()
        for lane in self._lanes:
            lane.give_up()
        self._workplace.consumer = consumer_name()
        self._background(self._renew())

    async def _renew(self) -> None:
        for reader in self._readers:
            await reader.renew()
        while True:
            try:
                return await self._enrol()
            except ServerError as error:
                _log.warning("enrolling again: %s", error)
                await asyncio.sleep(0.5)

    def _recover(self) -> None:
        """Have the own pending entries read again: some may have been given to us without our knowing."""
        for reader in self._readers:
            reader.recover()

    async def _enrol(self) -> None:
        said = facts(self._workplace, self.names, socket.gethostname(), os.getpid())
        for shard in self._store.shards:
            await shard.writes.enrol(shard.keys.consumers, self.consumer, said)

    def _runners(self) -> set[Taker]:
        return {lane.runner for lane in self._lanes}

    async def _read_left_over(self) -> None:
        for reader in self._readers:
            await reader.read_left_over()

    async def _let_end(self) -> None:
        """Wait until running handlers have ended and are settled; cancel what takes too long."""
        parts: list[Taker | Listening] = [*self._runners(), *self._listening]
        tasks = {task for part in parts for task in part.running}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._store.settings.stop_ms / 1000)
            for task in late:
                task.cancel()
            await self._end(list(late))
        for shard in self._store.shards:
            try:
                await asyncio.wait_for(shard.settler.drain(), 5)
            except TimeoutError:
                _log.warning("what was handled could not be settled; it is handled again by others")

    async def _end(self, tasks: Sequence[asyncio.Task[Any]]) -> None:
        if tasks:
            await asyncio.wait(tasks, timeout=self._store.settings.block_ms / 1000 + 5)

    def _background(self, work: Any) -> None:
        self._tasks.append(self._watched(work))

    def _watched(self, work: Any) -> asyncio.Task[None]:
        """Run a part of the worker. When it fails in a way that nobody foresaw, the worker stops."""

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and isinstance(error := task.exception(), Exception):
                _log.critical("the worker is broken, start it anew", exc_info=error)
                self.error = self.error or error
                self.stopped.set()

        task = asyncio.create_task(work)
        task.add_done_callback(ended)
        return task

    async def _abandon(self) -> None:
        """Close everything that was opened."""
        if lease := getattr(self, "_lease", None):
            await lease.stop()
        for reader in self._readers:
            await reader.close()
        for listening in self._listening:
            await listening.close()
        await self._stack.aclose()
        self._workplace.pool.shutdown(wait=False, cancel_futures=True)
        self.stopped.set()


def _ordered(handler: Handler) -> dict[str, str]:
    return {handler.message.type_name: handler.ordered_by} if handler.ordered_by else {}
