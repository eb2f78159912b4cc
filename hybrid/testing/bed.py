"""The test bed: an application under test, with its worker in this process and a store of its own."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from hybrid.app import App
from hybrid.broker.failures import Failure
from hybrid.broker.shard import Shard, Store
from hybrid.client import Client, Outcome, Receipt, outcome_of
from hybrid.envelope import from_fields
from hybrid.errors import ApplicationError, NotSettled, StoreMismatch, UnknownFlow
from hybrid.ids import new_id
from hybrid.inspect.flows import FlowView, entries_of_log, summaries, view
from hybrid.inspect.query import Query
from hybrid.mediator.record import RUNNING, UNDOING, FlowRecord
from hybrid.messages import Command, Event, Message
from hybrid.runtime.schedule import again
from hybrid.settings import Settings
from hybrid.streams.sync import SyncReads
from hybrid.streams.transitions import Item
from hybrid.testing.faults import Faults, FaultyWorker, Target, errors_of
from hybrid.testing.recorder import Recorder, flat_fields
from hybrid.testing.server import address
from hybrid.testing.settling import Look, look, told_failure, told_flow

M = TypeVar("M", bound=Message)
PATIENCE = 10.0
"""Seconds after which an application that has not come to rest is given up."""
PAUSES = 0.001, 0.01
"""After how many seconds is looked again, when nothing was heard: at first, and at most."""
SHORT = {"tick_ms": 20, "block_ms": 200, "stop_ms": 1000}
"""Settings of every bed."""


class TestBed:
    """An application under test.

    async with TestBed(app) as bed:
        order = await bed.send(OrderPlaced(...))
        await bed.settled()
        assert bed.outcome(order).event == OrderCompleted(...)

    What does something is awaited; what looks (`events`, `commands`, `flow`, `outcome`, `failures`, `now`) is
    not.
    """

    __test__ = False  # pytest takes classes called Test… for tests

    def __init__(self, app: App, *, only: Sequence[str] = (), **changes: Any) -> None:
        """Of the components `only` these are at work, all if none are named; `changes` are settings that win
        over the application's, as more `shards`, or another server of tests (`redis_url`).
        """
        self.app = app
        self.topology = app.topology
        self._names = list(only or app.topology.names)
        self._changes = changes
        self._stack = AsyncExitStack()
        self._sent: list[Command] = []
        self._stirred = asyncio.Event()
        self._faults = Faults(self.topology)

    async def __aenter__(self) -> TestBed:
        async with AsyncExitStack() as stack:
            url = str(self._changes.get("redis_url") or await asyncio.to_thread(address))
            directory = Path(tempfile.mkdtemp(prefix="hybrid-test-"))
            stack.callback(shutil.rmtree, directory, ignore_errors=True)
            own = {"redis_url": url, "domain": f"test-{new_id()}", "directory": directory, **SHORT}
            settings = Settings.load(**{**self.app.settings.model_dump(), **own, **self._changes})
            self._store = store = Store(self.app.name, settings, url)
            stack.push_async_callback(store.close)
            for shard in store.shards:
                shard.settler = Recorder(shard.scripts, shard.keys.counters, self._heard)
            self._reads = SyncReads(store.connections)
            stack.callback(self._reads.close)
            stack.callback(self._reads.delete_all, f"{{{self.app.name}.{settings.domain}.*")
            await store.open(test=True)
            self._worker = FaultyWorker(self.topology, self.app.resources, store, self._names)
            self._worker.faults = self._faults
            self.client = await stack.enter_async_context(Client(self.app, store))
            await stack.enter_async_context(self._worker)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exception: Any) -> None:
        await self._stack.aclose()

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._store.settings

    async def send(
        self,
        event: Event,
        *,
        id: str | None = None,
        at: datetime | None = None,
        after: timedelta | None = None,
    ) -> Receipt:
        """Send an initiating event, as `Client.send`."""
        return await self.client.send(event, id=id, at=at, after=after)

    async def publish(
        self,
        event: Event,
        *,
        id: str | None = None,
        at: datetime | None = None,
        after: timedelta | None = None,
    ) -> Receipt:
        """Broadcast an event, as `Client.publish`."""
        return await self.client.publish(event, id=id, at=at, after=after)

    async def signal(self, flow: str | Receipt, name: str, data: dict[str, Any] | None = None) -> Receipt:
        """Give a flow a signal, as `Client.signal`."""
        return await self.client.signal(_id(flow), name, data, by="a test")

    async def cancel(self, flow: str | Receipt, *, why: str = "", now: bool = False) -> None:
        """Cancel a flow, as `Client.cancel`."""
        await self.client.cancel(_id(flow), why=why, by="a test", now=now)

    async def settled(self, *, timeout: float = PATIENCE, failures: bool = False) -> None:
        """Wait until the application has come to rest: all has ended, or waits for a timer, a signal, a
        person, an event from outside. Retries come at once meanwhile.

        Raises NotSettled when it does not within `timeout` seconds, and says what is unfinished; also when
        something is at the desk, unless `failures` are expected.
        """
        found = await self._rest(timeout)
        if found.failed and not failures:
            lines = "".join(f"\n  {told_failure(failure)}" for failure in self.failures())
            raise NotSettled(f"failed, and at the desk (settled(failures=True), if that is expected):{lines}")

    async def skip(
        self, duration: timedelta | None = None, *, failures: bool = False, **parts: float
    ) -> None:
        """Let time pass at once: a timedelta, or its parts, as `skip(days=3, hours=1)`.

        It goes from one thing that is due to the next, and waits at each until the application has come to
        rest, so that all happens in its order and at its time. The milliseconds that this takes pass besides.
        Raises NotSettled as `settled`.
        """
        ms = int((duration or timedelta(**parts)) / timedelta(milliseconds=1))
        if ms < 0 or (duration is not None and parts):
            raise ApplicationError("time is skipped forward: skip(days=3), or skip(timedelta(days=3))")
        await self._rest(PATIENCE)
        while ms:
            step = min(ms, await self._following(ms))
            await self._pass(step)
            await self._rest(PATIENCE)
            ms -= step
        await self.settled(failures=failures)

    def fail(
        self,
        message: type[Message],
        *,
        times: int = 1,
        error: BaseException | type[BaseException] = RuntimeError,
        of: str = "",
    ) -> None:
        """Let the next deliveries of a command or an event raise, in place of its handler; each attempt is
        one. `of` is the processor, where several hear an event. Raises ApplicationError.
        """
        target = self._faults.target(message, of)
        self._faults.fail(target, errors_of(error, times, message.__name__))

    def hold(self, message: type[Message], *, of: str = "") -> None:
        """Let a handler take nothing, as if its processor were away: what comes for it waits, and does not
        keep the application from rest. So steps time out.
        """
        self._faults.hold(self._faults.target(message, of))

    def release(self, message: type[Message], *, of: str = "") -> None:
        """Let a handler that was held have what waits."""
        self._faults.release(self._faults.target(message, of))

    @property
    def now(self) -> datetime:
        """The time (UTC) in this bed."""
        skipped = self._reads.hash(self._store.shards[0].keys.counters).get(b"skipped", b"0")
        return datetime.fromtimestamp((self._reads.server_time() + int(skipped)) / 1000, UTC)

    def events(self, kind: type[M] | None = None) -> list[M]:
        """Return what was broadcast, oldest first, shard after shard: of a class of events, or all."""
        classes = [kind] if kind else [cls for cls in self.topology.catalog if issubclass(cls, Event)]
        found = []
        for shard in self._store.shards:
            rows = [row for cls in classes for row in self._reads.entries(shard.keys.topic(cls.type_name))]
            for entry, fields in sorted(rows, key=lambda row: tuple(map(int, row[0].split(b"-")))):
                envelope = from_fields(fields, entry)
                found.append(self.topology.catalog.decode(envelope.type, fields[b"data"], envelope.version))
        return found  # type: ignore[return-value]

    def event(self, kind: type[M]) -> M:
        """Return the one event of a class that was broadcast. Raises AssertionError when it is not just
        one.
        """
        return _only(kind, self.events(kind), self.events(), "broadcast")

    def commands(self, kind: type[M] | None = None) -> list[M]:
        """Return the commands that were sent, oldest first: of a class, or all."""
        return [command for command in self._sent if kind is None or isinstance(command, kind)]  # type: ignore[misc]

    def command(self, kind: type[M]) -> M:
        """Return the one command of a class that was sent. Raises AssertionError when it is not just one."""
        return _only(kind, self.commands(kind), self.commands(), "sent")

    def flow(self, flow: str | Receipt) -> FlowView:
        """Return a flow: its state, its steps, what it ended with. Raises UnknownFlow."""
        shard, record = self._record(_id(flow))
        log = entries_of_log(self._reads.entries(shard.keys.log))
        return view(
            self.topology, record, [line for line in log if record.id in (line.correlation, line.flow)]
        )

    def outcome(self, flow: str | Receipt) -> Outcome:
        """Return how a flow, or a simple event, has ended; while it goes on its state is running, or undoing.
        Raises UnknownFlow.
        """
        id = _id(flow)
        try:
            _, record = self._record(id)
        except UnknownFlow:
            for shard in self._store.shards:
                for _, fields in self._reads.entries(shard.keys.outcomes):
                    if fields[b"flow"] == id.encode():
                        return Outcome(id, fields[b"state"].decode())
            raise
        goes_on = UNDOING if record.state == UNDOING else RUNNING
        return outcome_of(record, self.topology.catalog) or Outcome(id, goes_on)

    def failures(self) -> list[Failure]:
        """Return what is at the desk, oldest first."""
        found = []
        for shard in self._store.shards:
            for name in self.topology.names:
                rows = self._reads.entries(shard.keys.failed(name))
                found += [Failure.read(name, entry, fields) for entry, fields in rows]
        return sorted(found, key=lambda failure: failure.failed)

    def _record(self, id: str) -> tuple[Shard, FlowRecord]:
        for shard in self._store.shards:
            record = FlowRecord.read(id, self._reads.hash(shard.keys.flow(id)))
            if record.begun:
                return shard, record
        raise UnknownFlow(id)

    def _heard(self, effect: Item) -> None:
        """Take note of what was settled."""
        self._stirred.set()
        if effect[0] == "add" and ":command:" in effect[1]:
            fields = flat_fields(effect)
            command = self.topology.catalog.decode(fields[b"type"].decode(), fields[b"data"])
            assert isinstance(command, Command)
            self._sent.append(command)

    async def _rest(self, timeout: float) -> Look:
        """Wait until the application has come to rest; return the last look."""
        deadline, pause = asyncio.get_running_loop().time() + timeout, PAUSES[0]
        while True:
            pause = PAUSES[0] if self._stirred.is_set() else min(pause * 2, PAUSES[1])
            self._stirred.clear()
            if self._worker.stopped.is_set():
                raise NotSettled(f"the worker has stopped: {self._worker.error}") from self._worker.error
            found = await self._look() if not self._in_work() else None
            if found and not found.moving:
                if not found.later:
                    return found
                await self._retry(found.later)
            elif asyncio.get_running_loop().time() > deadline:
                raise NotSettled(await self._told(timeout, found or await self._look()))
            else:
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._stirred.wait()

    def _in_work(self) -> bool:
        """Tell whether this process has something in work that is not held."""
        held = sum(map(len, self._faults.held.values()))
        return sum(len(lane.in_work) for lane in self._worker.lanes) > held

    async def _look(self) -> Look:
        apart: set[Target] = set()
        for name, message in self._faults.held:
            kind = self.topology.catalog.named(message)
            apart.add((name, f"{'command' if issubclass(kind, Command) else 'topic'}:{message}"))
        own = Counter(
            runner.component
            for held in self._faults.held.values()
            for runner, delivery in held
            if delivery.lane.channel.startswith("own:")
        )
        return await look(self._store, self.topology, self._names, (apart, own))

    async def _retry(self, later: Sequence[tuple[Shard, str]]) -> None:
        """Let the next attempts come now."""
        for shard, component in later:
            members = await shard.queries.members(shard.keys.later(component), 1000)
            await asyncio.gather(
                *(shard.settler.settle(again(shard.keys, component, member)) for member in members)
            )

    async def _told(self, timeout: float, found: Look) -> str:
        flows = await summaries(self._store, self.topology, Query(), 20)
        lines = [*dict.fromkeys(found.moving), *map(told_flow, flows), *map(told_failure, self.failures())]
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


def _id(flow: str | Receipt) -> str:
    return flow.id if isinstance(flow, Receipt) else flow


def _only(kind: type[M], found: list[M], others: Sequence[Message], done: str) -> M:
    if len(found) == 1:
        return found[0]
    were = ", ".join(f"{name} × {n}" for name, n in Counter(type(o).__name__ for o in others).items())
    listed = "".join(f"\n  {message!r}" for message in found)
    raise AssertionError(
        f"one {kind.__name__} was expected, {len(found)} {done}; in all: {were or 'nothing'}{listed}"
    )
