"""The client for programs: sends initiating events, and waits for what becomes of them.

async with Client(app) as client:
    receipt = await client.send(PlaceOrder(...))
    outcome = await client.wait(receipt.id, timeout=30)
"""

from __future__ import annotations

import asyncio
from asyncio import FIRST_COMPLETED
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol, cast

from hybrid.broker.outputs import entered
from hybrid.broker.scheduled import when
from hybrid.broker.shard import Shard, Store
from hybrid.catalog import Catalog
from hybrid.codec import encode
from hybrid.envelope import first_fields
from hybrid.errors import ApplicationError, FlowEnded, ServerError, UnknownFlow, WaitTimeout
from hybrid.ids import checked_id, new_id, new_ids
from hybrid.inspect.people import People
from hybrid.inspect.recorded import record_of
from hybrid.inspect.tasks import TaskView, open_tasks
from hybrid.mediator.answers import Answer
from hybrid.mediator.record import CANCELLED, COMPLETED, FAILED, REFUSED, Deed, FlowRecord
from hybrid.mediator.signals import Signal, checked_signal, packed_data, signalling
from hybrid.mediator.steering import cancelling
from hybrid.messages import Event, Message
from hybrid.outcomes import OutcomeWatch
from hybrid.settings import Settings
from hybrid.streams.scripts import Send
from hybrid.streams.transitions import APPLIED, CHECK_FAILED
from hybrid.topology import Topology

BATCH = 500
TURNS = 2
"""How often the loop comes round until a batch is on its way: the task starts, then its bytes go out."""
Sending = tuple[Shard, Send]
"""One send, ready: where it goes, and what."""


class Receipt(NamedTuple):
    """What a send came to: the event's id, which is its flow's id too, and whether it had been sent
    before.
    """

    id: str
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an initiating event ended: completed, refused, cancelled, or failed (for good, when it was undone;
    or a step failed and waits for somebody to mend it).
    """

    flow: str
    state: str
    event: Message | None = None
    """What the flow ended with."""
    reason: str = ""
    """Why it failed or was cancelled."""


class Application(Protocol):
    """What a client needs of an App."""

    @property
    def topology(self) -> Topology:
        """The components, checked."""

    def store(self) -> AbstractAsyncContextManager[Store]:
        """Connect to the application's store."""


class Client:
    """Sends events of one application into its store. Fit for a web application's lifespan.

    It opens the application's store on entry, or uses one that is open. Raises ApplicationError,
    ServerUnavailable and StoreMismatch there.
    """

    def __init__(self, app: Application, store: Store | None = None) -> None:
        self.topology = app.topology
        self._app = app
        self._given = store
        self._stack = AsyncExitStack()
        self._watches: dict[int, OutcomeWatch] = {}

    async def __aenter__(self) -> Client:
        async with AsyncExitStack() as stack:
            store = self._given
            self._store = store if store else await stack.enter_async_context(self._app.store())
            await self._store.open()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exception: Any) -> None:
        await self.close()

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._store.settings

    async def close(self) -> None:
        """Stop waiting and close what the client opened."""
        for watch in self._watches.values():
            await watch.close()
        self._watches.clear()
        await self._stack.aclose()

    async def send(
        self,
        event: Event,
        *,
        id: str | None = None,
        at: datetime | None = None,
        after: timedelta | None = None,
    ) -> Receipt:
        """Send an initiating event; return when the server has stored it.

        With `at` (a time with its zone; in the past is now) or `after` it waits in the store, and enters when
        it is due by the server's clock. An id that was sent within the window (HYBRID_DEDUPE_MS) starts
        nothing: the receipt says `duplicate`. Raises ApplicationError for an event that no simple mediator
        takes, InvalidMessage, MessageTooLarge, ScheduleError, ServerUnavailable.
        """
        return await self._send_one(event, id, self._event_queue, (at, after))

    async def send_many(self, events: Iterable[Event | tuple[Event, str | None]]) -> list[Receipt]:
        """Send many initiating events (or pairs of event and id), in batches; return their receipts in order.

        All are checked before the first one is sent. Raises like `send`; when the server goes away midway,
        the batches before are stored, and sending all again with the same ids doubles none.
        """
        return await self._send_all(events, self._event_queue)

    async def publish(
        self,
        event: Event,
        *,
        id: str | None = None,
        at: datetime | None = None,
        after: timedelta | None = None,
    ) -> Receipt:
        """Broadcast an event on its topic, past the mediators: the broker topology. Idempotent by id, now or
        later, as `send`.
        """
        return await self._send_one(event, id, _topic, (at, after))

    async def publish_many(self, events: Iterable[Event | tuple[Event, str | None]]) -> list[Receipt]:
        """Broadcast many events, in batches; return their receipts in order. Raises like `send_many`."""
        return await self._send_all(events, _topic)

    async def wait(self, flow: str, *, timeout: float = 30.0) -> Outcome:
        """Wait until an initiating event's flow has ended or failed (then somebody must mend it); return how.

        `timeout` is in seconds. Raises WaitTimeout or ServerUnavailable; the flow goes on all the same.
        """
        watching = [await self._watch(shard) for shard in self._store.shards]
        futures = [watch.expect(flow) for watch in watching]
        heard = [watch.state(flow) for watch in watching]  # before the record is read: it may end meanwhile
        try:
            if outcome := await self._recorded(flow):
                return outcome
            for state in heard:
                if state in (COMPLETED, REFUSED, CANCELLED):
                    return Outcome(flow, state)  # of a simple event, which leaves no record, or forgotten
            done, _ = await asyncio.wait(futures, timeout=timeout, return_when=FIRST_COMPLETED)
        finally:
            for watch, future in zip(watching, futures, strict=True):
                watch.forget(flow, future)
        if not done:
            raise WaitTimeout(flow, timeout)
        state = done.pop().result()
        return await self._recorded(flow) or Outcome(flow, state)

    async def signal(
        self,
        flow: str,
        name: str,
        data: dict[str, Any] | None = None,
        *,
        id: str | None = None,
        by: str = "a client",
    ) -> Receipt:
        """Give a flow a signal; return when the server has stored it. It takes it when it waits for one.

        `data` is JSON-ready. An id that the flow has had changes nothing: the receipt says `duplicate`.
        `by` is who the flow's history names. Raises UnknownFlow, FlowEnded, ApplicationError for a name that
        is none, InvalidMessage, MessageTooLarge, ServerUnavailable.
        """
        checked_signal(name)
        packed = packed_data(name, data, self.settings.max_message_bytes)
        id = checked_id(id) if id else new_id()
        shard, record = await self.record(flow)
        signal = Signal(id, name, packed, by, await shard.queries.now())
        code = await shard.settler.settle(signalling(shard.keys, record, signal))
        if code == CHECK_FAILED:
            _, record = await self.record(flow)
            if id not in record.signals:
                raise FlowEnded(flow, record.state)
        return Receipt(id, code != APPLIED)

    async def tasks(self, *, for_: str = "", type: str = "", most: int = 0) -> list[TaskView]:
        """Return the open tasks of people, oldest first: for somebody or all, of an event type or all, at
        most so many (0: all).
        """
        return await open_tasks(self._store, for_=for_, type=type, most=most)

    async def claim(self, task: str, *, by: str, take_over: bool = False) -> None:
        """Claim a task (its id, FLOW/STEP): nobody but `by` answers it from then on. Raises UnknownTask,
        TaskOver, and TaskTaken when somebody has, unless this is to take it over.
        """
        await People(self._store, self.topology).claim(task, by, take_over=take_over)

    async def answer(
        self, task: str, *, choice: str = "", data: Any = None, note: str = "", by: str = "a client"
    ) -> None:
        """Answer a task: with one of its choices, with the data of its form, or, when it has neither, with
        nothing. Raises UnknownTask, TaskTaken, TaskOver (somebody was first: who, and when), and
        InvalidMessage for an answer that it does not take: nothing is written then.
        """
        await People(self._store, self.topology).answer(task, Answer(choice, data, by, note))

    async def reassign(self, task: str, *, to: str, by: str = "a client", why: str = "") -> None:
        """Give a task to somebody else, whoever has claimed it. Raises UnknownTask, TaskOver."""
        await People(self._store, self.topology).reassign(task, to, by, why)

    async def cancel(self, flow: str, *, why: str = "", by: str = "a client", now: bool = False) -> None:
        """Cancel a flow: what is under way is waited for, and what the flow has registered is undone; `now`:
        neither. Returns when that is on its record. `by` and `why` stand in its history.

        Raises UnknownFlow, FlowEnded (also when it is being undone), ServerUnavailable.
        """
        while True:
            shard, record = await self.record(flow)
            deed = Deed(by, why, await shard.queries.now())
            code = await shard.settler.settle(cancelling(shard.keys, record, deed, now=now))
            if code == APPLIED:
                return

    async def record(self, flow: str) -> tuple[Shard, FlowRecord]:
        """Return a flow's record, and the shard where it stands. Raises UnknownFlow."""
        return await record_of(self._store, flow)

    async def _send_one(
        self,
        event: Event,
        id: str | None,
        channel_of: Callable[[type[Event]], str],
        time: tuple[datetime | None, timedelta | None],
    ) -> Receipt:
        data, channel = self._checked(event), channel_of(type(event))
        due = None if time == (None, None) else when(*time, await self._store.shards[0].queries.now())
        sending = self._made(event, checked_id(id) if id else new_id(), channel, data, due)
        (code,) = await self._stored((sending,))
        return Receipt(sending[1].id, code == 0)

    async def _send_all(
        self, events: Iterable[Event | tuple[Event, str | None]], channel_of: Callable[[type[Event]], str]
    ) -> list[Receipt]:
        """Check all, then send in batches; one is made while the server stores the one before."""
        given = list(events)
        ids = new_ids(len(given))
        for place, item in enumerate(given):
            if isinstance(item, tuple):
                given[place], id = item
                ids[place] = checked_id(id) if id else ids[place]
        items = cast("list[Event]", given)
        datas = [self._checked(event) for event in items]
        channels = {cls: channel_of(cls) for cls in set(map(type, items))}
        batches = (
            [
                self._made(items[n], ids[n], channels[type(items[n])], datas[n])
                for n in range(start, min(start + BATCH, len(items)))
            ]
            for start in range(0, len(items), BATCH)
        )
        codes: list[int] = []
        batch = next(batches, None)
        while batch:
            storing = asyncio.create_task(self._stored(batch))
            for _ in range(TURNS):
                await asyncio.sleep(0)
            batch = next(batches, None)
            codes += await storing
        return [Receipt(id, code == 0) for id, code in zip(ids, codes, strict=True)]

    async def _stored(self, sendings: Sequence[Sending]) -> list[int]:
        """Store messages, shard by shard; return for each 1 stored, 0 sent before."""
        by_shard: dict[Shard, list[int]] = {}
        for place, (shard, _) in enumerate(sendings):
            by_shard.setdefault(shard, []).append(place)
        codes = [0] * len(sendings)
        for shard, places in by_shard.items():
            own = shard.keys
            keys = [own.counters, own.seen_new, own.seen_old, own.scheduled]
            window = self.settings.dedupe_ms, self.settings.dedupe_ids
            found = await shard.scripts.send(keys, window, [sendings[place][1] for place in places])
            for place, code in zip(places, found, strict=True):
                codes[place] = code
        return codes

    def _checked(self, event: Event) -> bytes:
        """Return an event's data. Raises ApplicationError, InvalidMessage, MessageTooLarge."""
        if not isinstance(event, Event):
            raise ApplicationError(f"only events are sent from outside; {type(event).__name__} is none")
        return encode(event, self._store.settings.max_message_bytes)

    def _made(
        self, event: Event, id: str, channel: str, data: bytes, due: tuple[str, int] | None = None
    ) -> Sending:
        key = event.message_key()
        shard = self._store.shard_of(key or id)
        fields = first_fields(id, event.type_name, event.type_version, key, data)
        return shard, Send.of(id, shard.keys.stream(channel), entered(channel), fields, due)

    def _event_queue(self, cls: type[Event]) -> str:
        """Return the channel by which initiating events of a class come in. Raises ApplicationError."""
        return f"event:{self.topology.front_of(cls).name}"

    async def _watch(self, shard: Shard) -> OutcomeWatch:
        watch = self._watches.get(shard.number)
        if watch is None:
            watch = self._watches[shard.number] = OutcomeWatch(shard, self._store.settings.block_ms)
            try:
                await watch.start()
            except ServerError:
                del self._watches[shard.number]
                await watch.close()
                raise
        return watch

    async def _recorded(self, flow: str) -> Outcome | None:
        """Return how a flow has ended, or None while it goes on."""
        try:
            _, record = await self.record(flow)
        except UnknownFlow:
            return None
        return outcome_of(record, self.topology.catalog)


def outcome_of(record: FlowRecord, catalog: Catalog) -> Outcome | None:
    """Return how a flow has ended, or why it failed, by its record; None while it goes on."""
    flow = record.id
    if record.ended:
        name, schema, data = record.outcome or ("", 0, b"")
        event = catalog.decode(name, data, schema) if record.outcome else None
        return Outcome(flow, record.state, event, record.facts.get("error", ""))
    if record.state == FAILED and "error" in record.facts:  # else it was sent back, and is on its way
        return Outcome(flow, FAILED, reason=record.facts["error"])
    for step, reason in sorted(record.failed.items()):
        return Outcome(flow, FAILED, reason=f"step {step} ({record.steps[step].label}): {reason}")
    return None


def _topic(cls: type[Event]) -> str:
    return f"topic:{cls.type_name}"
