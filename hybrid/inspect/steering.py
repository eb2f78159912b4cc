"""Steering flows: what a person does with flows of a store, one by one, each with an honest result."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from hybrid.broker.shard import Shard, Store
from hybrid.codec import encode, pack, unpack
from hybrid.errors import DeedRefused, FlowEnded, HybridError
from hybrid.inspect.actions import REFUSED, SENT_BACK, WOULD, Desk, Order
from hybrid.inspect.actions import RETRY as SEND_BACK
from hybrid.inspect.desk_log import Deed as DeskDeed
from hybrid.inspect.failures import FailureView, handles, named
from hybrid.inspect.recorded import record_of
from hybrid.mediator.ending import goes_on, told
from hybrid.mediator.place import envelope_of
from hybrid.mediator.record import HEARD, REPLY, SIGNALLED, UNDOING, Deed, Ending, FlowRecord, Result
from hybrid.mediator.steering import RETRY, cancelling, fixing, pausing, restarting, resuming
from hybrid.mediator.versions import registered
from hybrid.streams.transitions import CHECK_FAILED, Transition, hdel, hset
from hybrid.topology import Topology

CANCELLED, PAUSED, RESUMED, RETRIED, RESTARTED, FIXED = (
    "cancelled", "paused", "resumed", "retried", "restarted", "fixed",
)  # fmt: skip
PAGE = 1_000
"""Flows that are looked at in one round trip."""
Change = tuple[int, str, Any]
"""A step, the path of a field of its result (dots lead inwards), and its new value."""
Making = Callable[[Shard, FlowRecord, Deed], Awaitable[Transition]]


class Steered(NamedTuple):
    """What a deed came to for one flow: what was done ("would be …" in a dry run), or "refused" and why."""

    id: str
    result: str
    why: str = ""


class Steering:
    """One person's deeds with flows of a store, on one occasion. A `dry` one changes nothing and says what
    would be.
    """

    def __init__(
        self, store: Store, topology: Topology, who: str, why: str = "", *, dry: bool = False
    ) -> None:
        self._store = store
        self._topology = topology
        self._who, self._why, self._dry = who, why, dry
        self._handles: asyncio.Task[dict[str, list[str]]] | None = None

    async def cancel(self, flow: str, *, now: bool = False) -> Steered:
        """Cancel a flow: wait for what is under way and undo what it has registered, or be over `now`."""
        undoes = False

        async def making(shard: Shard, record: FlowRecord, deed: Deed) -> Transition:
            nonlocal undoes
            transition = cancelling(shard.keys, record, deed, now=now)
            undoes = goes_on(record, envelope_of(record), Ending(CANCELLED, at_once=now))
            return transition

        done = await self._done(flow, making, CANCELLED)
        return done._replace(result=UNDOING) if undoes and done.result == CANCELLED else done

    async def pause(self, flow: str) -> Steered:
        """Pause a flow: it does not go on until it is resumed."""

        async def making(shard: Shard, record: FlowRecord, deed: Deed) -> Transition:
            return pausing(shard.keys, record, deed)

        return await self._done(flow, making, PAUSED)

    async def resume(self, flow: str) -> Steered:
        """Let a paused flow go on."""

        async def making(shard: Shard, record: FlowRecord, deed: Deed) -> Transition:
            rule = record.paused.rule if record.paused else ""
            if rule and await _deed(shard, rule):
                kind, _, name = rule.partition(":")
                raise DeedRefused(flow, f"is paused with all flows of {kind} {name}: resume those")
            return resuming(shard.keys, record, deed)

        return await self._done(flow, making, RESUMED)

    async def pause_all(self, kind: str, name: str) -> Steered:
        """Pause all flows of an event `type`, or of a `key`, also those to come. Each stops when it would go
        on.
        """
        rule = f"{kind}:{name}"
        for shard in self._store.shards:
            deed = Deed(self._who, self._why, await shard.queries.now(), rule)
            if found := await _deed(shard, rule):
                return Steered(rule, REFUSED, f"{rule} is paused already, {found}")
            if not self._dry:
                effects = [hset(shard.keys.pauses, [rule, deed.packed()])]
                await shard.settler.settle(Transition((), (), effects))
        return Steered(rule, self._said(PAUSED))

    async def resume_all(self, kind: str, name: str) -> Steered:
        """Let flows of an event `type`, or of a `key`, go on; those that it has stopped go on at once."""
        rule, stopped, known = f"{kind}:{name}", list[str](), False
        for shard in self._store.shards:
            keys = shard.keys
            known = known or await _deed(shard, rule) is not None
            if not self._dry:
                await shard.settler.settle(Transition((), (), [hdel(keys.pauses, rule)]))
            stopped += await _stopped(shard, rule)
        if not known and not stopped:
            return Steered(rule, REFUSED, f"{rule} is not paused")
        for flow in stopped:
            if not self._dry:
                await self.resume(flow)
        return Steered(rule, self._said(RESUMED), f"{len(stopped):,} flows had been stopped")

    async def retry(self, flow: str) -> Steered:
        """Send back what a flow has at the desk: the command of the step that failed, or its own wake-up."""
        try:
            shard, _ = await record_of(self._store, flow)
        except HybridError as error:
            return Steered(flow, REFUSED, str(error))
        views = await self._at_desk(flow)
        if not views:
            return Steered(flow, REFUSED, f"flow {flow} has nothing at the desk")
        desk = Desk(self._store, self._topology, DeskDeed(self._who, SEND_BACK, self._why))
        orders = [Order(view) for view in views if not view.archived]
        outcomes = await (desk.would(orders) if self._dry else desk.act(orders))
        if not outcomes:
            return Steered(flow, REFUSED, "what it has there is archived")
        pairs = zip(orders, outcomes, strict=True)
        sent = [order.view for order, outcome in pairs if outcome.result in (SENT_BACK, WOULD)]
        if not sent:  # what is left there of an earlier run is no reason to refuse the others
            return Steered(flow, outcomes[0].result, outcomes[0].why)
        if not self._dry:
            steps = [0 if view.source[1].own_flow else view.step for view in sent]
            await self._tell_retried(shard, flow, steps)
        return Steered(flow, self._said(RETRIED))

    async def restart(self, flow: str, *, step: int, version: int = 0) -> Steered:
        """Begin a new run of a flow that keeps the results of the steps before this one, on this version of
        its function (0: the one that it runs on).
        """

        async def making(shard: Shard, record: FlowRecord, deed: Deed) -> Transition:
            mediator, type = record.facts["mediator"], record.facts["type"]
            known = registered(self._topology.mediators.get(mediator)).get(type, [])
            if version and version not in known:
                there = ", ".join(map(str, known)) or "none"
                raise DeedRefused(
                    flow,
                    f"can't run on version {version} of {mediator}'s flow for {type}: the application here"
                    f" has {there}",
                )
            keep_ms = self._store.settings.flow_ms
            return restarting(shard.keys, record, deed, step, version, keep_ms)

        return await self._done(flow, making, RESTARTED)

    async def fix(self, flow: str, changes: Sequence[Change]) -> Steered:
        """Put right recorded results that were wrong: each change is validated as a message of its type."""

        async def making(shard: Shard, record: FlowRecord, deed: Deed) -> Transition:
            results: dict[int, Result] = {}
            said = []
            for step, path, value in changes:
                result = results.get(step) or record.results.get(step)
                if result is None:
                    raise DeedRefused(flow, f"has no result of step {step} to fix")
                results[step] = self._fixed(flow, step, result, path, value)
                said.append(f"{step}.{path}")
            return fixing(shard.keys, record, deed, results, ", ".join(said))

        return await self._done(flow, making, FIXED)

    def _fixed(self, flow: str, step: int, result: Result, path: str, value: Any) -> Result:
        """Return a result with a field changed. Raises DeedRefused, InvalidMessage, MessageTooLarge."""
        if result.kind not in (REPLY, HEARD, SIGNALLED):
            raise DeedRefused(flow, f"has a result of step {step} without fields: {result.kind}")
        data: Any = unpack(result.data)
        if result.kind == REPLY:
            data = self._topology.catalog.values(result.type, result.data, result.schema)
        inner: Any
        inner, (*outer, last) = data, path.split(".")
        for name in outer:
            inner = inner.get(name) if isinstance(inner, dict) else None
        if not isinstance(inner, dict) or (result.kind != SIGNALLED and not outer and last not in inner):
            known = ", ".join(data) if isinstance(data, dict) else "none"
            raise DeedRefused(flow, f"has no field {path} in the result of step {step}; its fields: {known}")
        inner[last] = value
        if result.kind == SIGNALLED:
            return result._replace(data=pack(data))
        cls = self._topology.catalog.named(result.type)
        values = {name: data[name] for name in data if name in cls.model_fields}
        message = self._topology.catalog.validate(result.type, values)
        limit = self._store.settings.max_message_bytes
        return result._replace(schema=cls.type_version, data=encode(message, limit))

    async def _done(self, flow: str, making: Making, what: str) -> Steered:
        """Do something with a flow, again as long as somebody else is faster."""
        try:
            while True:
                shard, record = await record_of(self._store, flow)
                deed = Deed(self._who, self._why, await shard.queries.now())
                transition = await making(shard, record, deed)
                if self._dry or await shard.settler.settle(transition) != CHECK_FAILED:
                    return Steered(flow, self._said(what))
        except FlowEnded as ended:
            same = what == CANCELLED and ended.state == CANCELLED
            return Steered(flow, f"already {CANCELLED}" if same else REFUSED, "" if same else str(ended))
        except HybridError as error:
            return Steered(flow, REFUSED, str(error))

    async def _tell_retried(self, shard: Shard, flow: str, steps: Sequence[int]) -> None:
        """Write into a flow's history what the desk's log has already."""
        rows = [[self._who, self._why, *(f"step {step}" for step in steps if step)]]
        line = told(shard.keys, flow, await shard.queries.now(), RETRY, rows)
        await shard.settler.settle(Transition((), (), [line]))

    async def _at_desk(self, flow: str) -> list[FailureView]:
        """Return what a flow has at the desk: read for all flows at once, when the first is asked for, so
        that it is not read again for each of many.
        """
        if self._handles is None:
            self._handles = asyncio.create_task(handles(self._store, self._topology))
        found = (await self._handles).get(flow, [])
        return [view for handle in found for view in await named(self._store, self._topology, handle)]

    def _said(self, result: str) -> str:
        return f"would be {result}" if self._dry else result


async def _deed(shard: Shard, rule: str) -> Deed | None:
    """Return who paused all flows of a kind on a shard, None when nobody has."""
    (rules,) = await shard.queries.hashes([shard.keys.pauses], [[rule]])
    return Deed(*unpack(rules[rule.encode()])) if rules else None


async def _stopped(shard: Shard, rule: str) -> list[str]:
    """Return the ids of the flows that this rule has stopped."""
    found, start = list[str](), 0
    while rows := await shard.queries.dated(shard.keys.flows, start, PAGE):
        ids = [id.decode() for id, _ in rows]
        hashes = await shard.queries.hashes([shard.keys.flow(id) for id in ids], [["paused"]] * len(ids))
        for id, fields in zip(ids, hashes, strict=True):
            paused = FlowRecord.read(id, fields).paused
            if paused and paused.rule == rule:
                found.append(id)
        start += PAGE
    return found
