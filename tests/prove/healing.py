"""The healer: brings every flow of the trips to its end, and does for that only what the reasons say that
`hybrid flows show` names. A flow that rests without a reason that somebody could act on is stuck.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter

from hybrid import App, Client
from hybrid.broker.shard import Store
from hybrid.errors import DeedRefused, FlowEnded, ServerError, TaskOver, UnknownFlow
from hybrid.inspect.ledger import ledger
from hybrid.inspect.reasons import Reason, reasons
from hybrid.inspect.steering import REFUSED, Steering
from hybrid.mediator.record import FlowRecord
from hybrid.mediator.tasks import task_id
from tests.prove.trips import Confirmed

MOST = 100
"""How often the healer goes round; a flow has not that many parts."""
BY_ITSELF = re.compile(
    r"it waits for (booking|unbooking) to do|a wake-up for it is on its way to|it waits for its child"
)
"""Reasons that go away when those who are named do their work."""


class Healer:
    """Mends, resumes, answers, signals, publishes, and lets time pass, until every flow has ended."""

    def __init__(
        self, app: App, store: Store, client: Client, patience: float, *, interrupted: bool = False
    ) -> None:
        """Give the application at most `patience` seconds to come to rest. `interrupted`: those who resumed
        flows may have been, so that some are paused by a rule that is gone.
        """
        self._interrupted = interrupted
        self._app, self._store, self._client, self._patience = app, store, client, patience
        (self._shard,) = store.shards
        self._steering = Steering(store, app.topology, "the healer")
        self._rules: dict[bytes, bytes] = {}
        """What was paused when we looked for what to do."""
        self._times: Counter[str] = Counter()
        self._in_vain: Counter[str] = Counter()
        self._sent_back: set[str] = set()
        """Flows whose failures were sent back on this occasion."""

    async def heal(self) -> None:
        """Bring all flows to their end. Raises AssertionError for one that is stuck."""
        for _ in range(MOST):
            await self.rest()
            records = await self.unfinished()
            if not records:
                return await self._lift_rules()
            self._sent_back.clear()
            self._rules = await self._shard.queries.hash(self._shard.keys.pauses)
            acted = [await self._act(record, reason) for record in records for reason in self._why(record)]
            if not any(acted) and not await self._let_time_pass():
                told = [f"{r.id}: {reasons(r, self._app.topology)} {r.facts} {r.waits}" for r in records]
                raise AssertionError("\n".join(["nothing moves, and no reason says what to do:", *told]))
        told = [f"{r.id}: {self._why(r)} {r}" for r in records]
        raise AssertionError("\n".join(["what the reasons say is done again and again, in vain:", *told]))

    async def _lift_rules(self) -> None:
        """Let flows to come go on: what has stopped none is no reason of any."""
        for rule in await self._shard.queries.hash(self._shard.keys.pauses):
            kind, _, name = rule.decode().partition(":")
            await self._steering.resume_all(kind, name)

    async def rest(self) -> None:
        """Wait until nothing is on its way, in work or due."""
        deadline, calm = time.monotonic() + self._patience, 0
        while calm < 2:  # what is due may have been on its way to a queue during the first look
            try:
                moving = await self._moving()
            except ServerError as error:
                moving = [str(error)]
            calm = 0 if moving else calm + 1
            assert time.monotonic() < deadline, f"not at rest within {self._patience:g} s: {moving}"
            await asyncio.sleep(0.01)

    async def unfinished(self) -> list[FlowRecord]:
        """Return the flows that have not ended."""
        keys, queries = self._shard.keys, self._shard.queries
        ids = [id.decode() for id in await queries.members(keys.flows, 100_000)]
        hashes = await queries.hashes([keys.flow(id) for id in ids])
        return [FlowRecord.read(id, fields) for id, fields in zip(ids, hashes, strict=True)]

    async def skip(self, ms: int) -> None:
        """Let time pass at once; backwards when that is negative."""
        keys = self._shard.keys
        assert await self._shard.scripts.skip(keys.store, keys.counters, ms), "it is no store of tests"

    async def _moving(self) -> list[str]:
        keys = self._shard.keys
        due = await self._shard.scripts.due(keys.counters, [keys.timers, keys.scheduled], 1)
        found = [f"{len(some)} due" for some in due.members if some]
        for group in (await ledger(self._store, self._app.topology)).groups:
            here = {what: getattr(group, what) for what in ("waiting", "pending", "later", "held")}
            found += [f"{group.group} {here}"] * any(here.values())
            if group.later:  # it may be for long: time may have gone backwards since
                await self._skip_to_next(keys.later(group.group))
        return found

    def _why(self, record: FlowRecord) -> tuple[Reason, ...]:
        found = reasons(record, self._app.topology)
        assert found, f"flow {record.id} goes on no more, and `flows show` names no reason: {record}"
        return found

    async def _act(self, record: FlowRecord, reason: Reason) -> bool:
        """Do what a reason asks for; tell whether there was something to do."""
        try:
            return await self._do(record, reason)
        except (FlowEnded, UnknownFlow, TaskOver, DeedRefused):  # an earlier act has led to that
            return True

    async def _do(self, record: FlowRecord, reason: Reason) -> bool:
        flow, step, text = record.id, reason.step, reason.text
        if rule := re.match(r"it is paused with all flows of (\w+) (\S+) by", text):
            stands = f"{rule[1]}:{rule[2]}".encode() in self._rules
            assert stands or self._interrupted, f"flow {flow}: {text}, it says, but those are not paused"
            await self._steering.resume_all(rule[1], rule[2])
        elif text.startswith("it is paused"):
            await self._steering.resume(flow)
        elif "at the desk: child" in text:  # which says itself why
            return False
        elif "at the desk:" in text:
            await self._send_back(flow)
        elif " to answer:" in text:
            await self._client.answer(task_id(flow, step), choice="yes", by="the healer")
        elif said := re.match(r"it waits for the signal (\S+)", text):
            await self._client.signal(flow, said[1])
        elif heard := re.match(r"it waits to hear confirmed part=(\d+) trip=(\S+)", text):
            await self._client.publish(Confirmed(trip=heard[2], part=int(heard[1])))
        elif text == "it sleeps":
            return await self._pass_until(reason.until)
        else:
            assert BY_ITSELF.match(text), f"flow {flow}: nobody can act on {text!r}"
            return False
        return True

    async def _send_back(self, flow: str) -> None:
        """Send back what a flow has at the desk; give the flow up when that was in vain."""
        if flow in self._sent_back:
            return
        self._sent_back.add(flow)
        self._times[flow] += 1
        steering = Steering(self._store, self._app.topology, "the healer")  # the other has seen another desk
        retried = await steering.retry(flow)
        if "nothing at the desk" in retried.why:  # what was done with another flow just now has led to that
            self._in_vain[flow] += 1
            assert self._in_vain[flow] < 3, f"{flow} waits at the desk, it says: {retried.why}"
            return
        self._in_vain[flow] = 0
        if retried.result == REFUSED or self._times[flow] > 3:
            await steering.cancel(flow)

    async def _pass_until(self, at: int) -> bool:
        """Skip to a time; tell whether it was still to come. One issued right after a jump was by the clock
        before, and fires later.
        """
        left = at - await self._shard.queries.now()
        if left > 0:
            await self.skip(left)
        return left > 0

    async def _let_time_pass(self) -> bool:
        """Skip to what is due next; tell whether something is."""
        return await self._skip_to_next(self._shard.keys.timers, self._shard.keys.scheduled)

    async def _skip_to_next(self, *schedules: str) -> bool:
        due = await self._shard.scripts.due(self._shard.keys.counters, schedules, 1)
        if due.following > 0:
            await self.skip(due.following)
        return due.following >= 0 or any(due.members)
