"""The test bed: an application under test, with its worker in this process and a store of its own."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from hybrid.app import App
from hybrid.broker.shard import Shard, Store
from hybrid.client import Client, Receipt
from hybrid.errors import ApplicationError, NotSettled
from hybrid.ids import new_id
from hybrid.inspect.tasks import TaskView
from hybrid.messages import Event, Message
from hybrid.settings import Settings
from hybrid.streams.sync import SyncReads
from hybrid.streams.transitions import Item
from hybrid.testing.evidence import Evidence, id_of
from hybrid.testing.faults import Faults, FaultyWorker, errors_of
from hybrid.testing.recorder import Recorder
from hybrid.testing.server import address
from hybrid.testing.settling import Settling, told_failure

PATIENCE = 10.0
"""Seconds after which an application that has not come to rest is given up."""
SHORT = {"tick_ms": 20, "block_ms": 200, "stop_ms": 1000}
"""Settings of every bed."""


class Opened(NamedTuple):
    """What an open bed works with."""

    store: Store
    reads: SyncReads
    client: Client
    settling: Settling


class TestBed(Evidence):
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
        super().__init__(app.topology)
        self.app = app
        self._names = list(only or app.topology.names)
        self._changes = changes
        self._stack = AsyncExitStack()
        self._stirred = asyncio.Event()
        self._faults = Faults(self.topology)
        self._opened: Opened | None = None

    async def __aenter__(self) -> TestBed:
        async with AsyncExitStack() as stack:
            url = str(self._changes.get("redis_url") or await asyncio.to_thread(address))
            directory = Path(tempfile.mkdtemp(prefix="hybrid-test-"))
            stack.callback(shutil.rmtree, directory, ignore_errors=True)
            own = {"redis_url": url, "domain": f"test-{new_id()}", "directory": directory, **SHORT}
            settings = Settings.load(**{**self.app.settings.model_dump(), **own, **self._changes})
            store = Store(self.app.name, settings, url)
            stack.push_async_callback(store.close)
            for shard in store.shards:
                shard.settler = Recorder(shard.scripts, shard.keys.counters, self._heard)
            reads = SyncReads(store.connections)
            stack.callback(reads.close)
            stack.callback(reads.delete_all, f"{{{self.app.name}.{settings.domain}.*")
            await store.open(test=True)
            client = await stack.enter_async_context(Client(self.app, store))
            worker = FaultyWorker(self.topology, self.app.resources, store, self._names)
            worker.faults = self._faults
            await stack.enter_async_context(worker)
            self._opened = Opened(store, reads, client, Settling(store, self.topology, worker, self._stirred))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exception: Any) -> None:
        self._opened = None
        await self._stack.aclose()

    @property
    def client(self) -> Client:
        """A client of the application, on the bed's store."""
        return self._open.client

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._open.store.settings

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
        return await self.client.signal(id_of(flow), name, data, by="a test")

    async def task(self, flow: str | Receipt | None = None, *, for_: str = "") -> TaskView:
        """Return the one open task of people, of a flow or of all, for somebody or anyone. Raises
        AssertionError when it is not just one.
        """
        there = await self.client.tasks(for_=for_)
        found = [task for task in there if flow is None or task.flow == id_of(flow)]
        if len(found) == 1:
            return found[0]
        listed = "".join(f"\n  {task.id} for {task.for_ or 'anyone'}: {task.question}" for task in found)
        raise AssertionError(f"one open task was expected, there are {len(found)}{listed}")

    async def answer(
        self, task: str | TaskView, choice: str = "", *, data: Any = None, note: str = "", by: str = "a test"
    ) -> None:
        """Answer a task of people, as `Client.answer`."""
        id = task.id if isinstance(task, TaskView) else task
        await self.client.answer(id, choice=choice, data=data, note=note, by=by)

    async def cancel(self, flow: str | Receipt, *, why: str = "", now: bool = False) -> None:
        """Cancel a flow, as `Client.cancel`."""
        await self.client.cancel(id_of(flow), why=why, by="a test", now=now)

    async def settled(self, *, timeout: float = PATIENCE, failures: bool = False) -> None:
        """Wait until the application has come to rest: all has ended, or waits for a timer, a signal, a
        person, an event from outside. Retries come at once meanwhile.

        Raises NotSettled when it does not within `timeout` seconds, and says what is unfinished; also when
        something is at the desk, unless `failures` are expected.
        """
        found = await self._open.settling.rest(timeout)
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
        await self._open.settling.skip(ms, PATIENCE)
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
    def _open(self) -> Opened:
        if self._opened is None:
            raise ApplicationError(
                "this bed is not open: `async with TestBed(app) as bed`; the fixture `bed` is open while its"
                " test runs, not before and after"
            )
        return self._opened

    @property
    def _reads(self) -> SyncReads:
        return self._open.reads

    @property
    def _shards(self) -> Sequence[Shard]:
        return self._open.store.shards

    def _heard(self, effect: Item) -> None:
        """Take note of what was settled."""
        self._stirred.set()
        self._note(effect)
