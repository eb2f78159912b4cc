"""What people do at the desk: send back, mend, give up, put away and bring back.

Each action is one settle: the claim takes the failure out of its place, the effects put it where it goes, and
write into the desk's log. So of two people who press at once one wins, and the other is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from hybrid.broker.failures import SENT_BACK as BACK_BEFORE
from hybrid.broker.failures import Failure
from hybrid.broker.outputs import WAKE_UP
from hybrid.broker.shard import Store
from hybrid.codec import encode, shown
from hybrid.errors import MessageError
from hybrid.ids import derived_id
from hybrid.inspect.desk_log import Deed, LogLine, logged
from hybrid.inspect.failures import FailureView, where
from hybrid.inspect.status import consumers_of
from hybrid.mediator.record import FlowRecord
from hybrid.messages import Message
from hybrid.repair.mended import mended, rewritten
from hybrid.repair.ways import Way, back, given_up
from hybrid.streams.transitions import ALREADY_HANDLED, APPLIED, CHECK_FAILED, Transition, add, count, take
from hybrid.topology import Topology

RETRY, EDIT, DISCARD, ARCHIVE, RESTORE = "retry", "edit", "discard", "archive", "restore"
SENT_BACK, DISCARDED, ARCHIVED, RESTORED = "sent back", "discarded", "archived", "restored"
ALREADY, REFUSED, WOULD = "already handled", "refused", "would be sent back"
RESULTS = {RETRY: SENT_BACK, EDIT: SENT_BACK, DISCARD: DISCARDED, ARCHIVE: ARCHIVED, RESTORE: RESTORED}
"""What an action comes to when it is done."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an action came to for one failure, and why when it was refused."""

    id: str
    result: str
    why: str = ""
    message: str = ""
    """The message's id; `new` the one under which it goes on, when it was mended."""
    new: str = ""


class Order(NamedTuple):
    """A failure to act on, and the message that goes back in its place when it was mended."""

    view: FailureView
    message: Message | None = None


class Desk:
    """One person's work at the desk of a store."""

    def __init__(self, store: Store, topology: Topology, deed: Deed) -> None:
        self.store = store
        self.deed = deed
        self._topology = topology

    async def act(self, orders: Sequence[Order]) -> list[Outcome]:
        """Do what is to be done with each of these failures; return what it came to, in their order."""
        refusals = await self._refusals(orders)
        pairs = zip(orders, refusals, strict=True)
        return await asyncio.gather(*(self._act(order, why) for order, why in pairs))

    async def would(self, orders: Sequence[Order]) -> list[Outcome]:
        """Return what sending these back would come to as things stand now. Nothing is changed."""
        return [
            Outcome(order.view.id, REFUSED if why else WOULD, why, order.view.message)
            for order, why in zip(orders, await self._refusals(orders, awaited=True), strict=True)
        ]

    async def _refusals(self, orders: Sequence[Order], awaited: bool = False) -> list[str]:
        """Return why each of these can't be done, "" for what can, as far as it can be known beforehand."""
        if self.deed.action in (ARCHIVE, RESTORE):
            away = self.deed.action == ARCHIVE
            said = "it is archived already" if away else "it is not archived: it is at the desk"
            return [said if order.view.archived == away else "" for order in orders]
        if self.deed.action == DISCARD:
            return ["" for _ in orders]
        now = await self.store.shards[0].queries.now()
        consumers = await consumers_of(self.store)
        living = {name for consumer in consumers if consumer.alive for name in consumer.components}
        return [
            _unfit(self._topology, order, now, living)
            or self._too_large(order)
            or await self._too_late(order)
            or (await _unawaited(order.view) if awaited else "")
            for order in orders
        ]

    async def _act(self, order: Order, why: str) -> Outcome:
        view = order.view
        shard, failure = view.source
        if why:
            return Outcome(view.id, REFUSED, why, view.message)
        id, fields = self._going_back(order)
        way = await self._way(order, fields)
        line = logged(shard.keys, self.deed, self._line(order, id))
        place = where(shard, view.component, view.archived)
        transition = Transition(way.checks, [take(place, failure.entry)], [*way.effects, line])
        code = await shard.settler.settle(transition)
        if code == APPLIED:
            new = id if id != view.message else ""
            return Outcome(view.id, RESULTS[self.deed.action], "", view.message, new)
        gone = code == CHECK_FAILED and not await shard.queries.range(place, failure.entry, failure.entry, 1)
        if code == ALREADY_HANDLED or gone:
            return Outcome(view.id, ALREADY, "", view.message)
        why = _moved_on(view) if code == CHECK_FAILED else SERVER
        return Outcome(view.id, REFUSED, why, view.message)

    def _going_back(self, order: Order) -> tuple[str, dict[bytes, bytes]]:
        """Return the id and the fields of what goes back; no fields when nothing does."""
        view, (_, failure) = order.view, order.view.source
        if self.deed.action not in (RETRY, EDIT):
            return view.message, {}
        id, fields = view.message, failure.fields
        if order.message is not None:
            starts = view.component in (*self._topology.fronts, *self._topology.mediators)
            id = view.message if starts else derived_id(view.message, "desk", failure.entry)
            fields = mended(failure, order.message, id, self.store.settings.max_message_bytes)
        return id, {**fields, BACK_BEFORE: b"%d" % (failure.sent_back + 1)}

    async def _record(self, order: Order) -> FlowRecord | None:
        """Return the record of the flow that a mended initiating event has begun; None when there is none."""
        if order.message is None or order.view.component not in self._topology.mediators:
            return None
        return await self._failed_flow(order)

    async def _failed_flow(self, order: Order) -> FlowRecord | None:
        """Return the record of a flow that failed itself; None when there is none."""
        shard, failure = order.view.source
        if not (flow := failure.own_flow):
            return None
        record = FlowRecord.read(flow, await shard.queries.hash(shard.keys.flow(flow)))
        return record if record.version else None

    def _too_large(self, order: Order) -> str:
        """Return why a mended message can't be stored, "" when it can."""
        try:
            if order.message is not None:
                encode(order.message, self.store.settings.max_message_bytes)
        except MessageError as error:
            return str(error)
        return ""

    async def _too_late(self, order: Order) -> str:
        record = await self._record(order)
        if record is None or not (record.steps or record.values or record.ended):
            return ""
        return (
            f"its flow {record.id} has gone on from what it began with: send it back as it is, or discard it"
        )

    async def _way(self, order: Order, fields: dict[bytes, bytes]) -> Way:
        view, (shard, failure) = order.view, order.view.source
        keys = shard.keys
        if fields:
            way, record = back(keys, failure, fields), await self._record(order)
            more = Way((), ())
            if record and order.message:
                more = rewritten(keys, record, order.message, fields[b"data"])
            counted = count(keys.counters, f"sent-back:{view.group}")
            return Way([*way.checks, *more.checks], [*way.effects, *more.effects, counted])
        if self.deed.action == DISCARD:
            why = f"discarded by {self.deed.who}" + (f": {self.deed.reason}" if self.deed.reason else "")
            record = await self._failed_flow(order)
            return given_up(keys, failure, why, await shard.queries.now(), record)
        to = where(shard, view.component, self.deed.action == ARCHIVE)
        return Way((), [add(to, "", failure.packed())])

    def _line(self, order: Order, id: str) -> LogLine:
        view = order.view
        new = id if order.message is not None else ""
        before = view.data if self.deed.action in (EDIT, DISCARD) else None
        after = shown(order.message) if order.message is not None else None
        return LogLine(0, *self.deed, view.id, view.type, view.message, new, view.group, before, after)


def _moved_on(view: FailureView) -> str:
    """Return in words why a flow's check failed."""
    if not view.step:
        return f"its flow {view.flow} has gone on meanwhile: look again"
    return (
        f"its flow {view.flow} awaits step {view.step} no longer (it has ended, timed out or gone on):"
        " discard it or archive it"
    )


SERVER = "the server would not take it; the line above says why"


def _unfit(topology: Topology, order: Order, now: int, living: set[str]) -> str:
    """Return why a message can't be handled as it is, "" when it can."""
    view, (_, failure) = order.view, order.view.source
    known = view.component in topology.names
    if not known and view.component not in living:
        return (
            f"there is no component {view.component} any more: start a program that has it, or discard or"
            " archive the failure"
        )
    if view.type == WAKE_UP:
        return ""
    if known and view.type not in _taken(topology, view.component):
        taken = ", ".join(sorted(_taken(topology, view.component))) or "nothing"
        return f"{view.component} handles no {view.type or 'message'} (any more); it handles {taken}"
    envelope = failure.envelope
    if envelope is None:
        return "it is no message of ours: discard it or archive it"
    if 0 < envelope.expires < now:
        return "its command has expired: nobody waits for it; discard it or archive it"
    return "" if order.message is not None else _invalid(topology, view.type, failure)


def _taken(topology: Topology, component: str) -> set[str]:
    """Return the types that a component of the application handles."""
    if component in topology.processors:
        return {cls.type_name for cls in topology.processors[component].handlers}
    if component in topology.mediators:
        mediator = topology.mediators[component]
        return {cls.type_name for cls in (*mediator.flows, *mediator.hears)}
    return {cls.type_name for cls in topology.fronts[component].events}


def _invalid(topology: Topology, type: str, failure: Failure) -> str:
    """Return why a message would fail again as soon as it is read, "" when it is valid."""
    if type not in topology.catalog:
        return ""
    try:
        topology.catalog.decode(type, failure.data, failure.version)
    except MessageError as error:
        return f"{error}; `hybrid desk edit` mends it"
    return ""


async def _unawaited(view: FailureView) -> str:
    """Return why a flow's command is not awaited any more, "" when it is: what the settle will check."""
    shard, failure = view.source
    envelope = failure.envelope
    if envelope is None or not (envelope.flow and envelope.step):
        return ""
    step, result = f"step:{envelope.step}", f"result:{envelope.step}"
    names = ["ended", "run", step, result]
    (told,) = await shard.queries.hashes([shard.keys.flow(envelope.flow)], [names])
    facts: dict[str, Any] = {name.decode(): value for name, value in told.items()}
    waits = "ended" not in facts and facts.get("run") == b"%d" % envelope.run and step in facts
    return "" if waits and not facts.get(result) else _moved_on(view)
