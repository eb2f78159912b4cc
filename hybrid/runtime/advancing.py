"""The runner of a mediator: loads the records of a batch in one round trip, runs the flows, and advances
them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from hybrid.broker import log as outcomes
from hybrid.broker.outputs import WAKE_UP, check_outputs
from hybrid.broker.settler import FAILED as FAILED_CODE
from hybrid.broker.shard import Shard
from hybrid.envelope import Envelope
from hybrid.errors import ApplicationError, HandlerError, HybridError, ServerUnavailable, UndecodableMessage
from hybrid.mediator.advance import Place, advance, issued
from hybrid.mediator.flow import Flow, Surroundings
from hybrid.mediator.kept import Kept, KeptRuns
from hybrid.mediator.mediator import Mediator
from hybrid.mediator.record import FAILED, RUNNING, FlowRecord
from hybrid.mediator.replay import Progress, Run
from hybrid.messages import Event
from hybrid.runtime.delivery import Delivery
from hybrid.runtime.runner import Runner
from hybrid.runtime.workplace import Workplace
from hybrid.streams.transitions import ALREADY_HANDLED, APPLIED, CHECK_FAILED, Item, Transition, hdel

PROVEN = 100
"""How often a flow's function is run again from records, and issues what they say, before its runs are kept:
one that is not deterministic is found before it matters."""
Work = dict[str, list[Delivery]]
"""Deliveries by flow: its initiating event, and wake-ups. Those of one flow are folded into one run."""


class Waiting(NamedTuple):
    """A run to keep when what it led to, at this time (ms), has been put on record."""

    kept: Kept
    progress: Progress
    now: int


class Step(NamedTuple):
    """An advance that is being settled."""

    settled: asyncio.Future[int]
    waiting: Waiting | None = None


class MediatorRunner(Runner):
    """Runs a mediator's flows on one shard. What it has in memory is a cache: any number of them compete."""

    def __init__(self, mediator: Mediator, shard: Shard, workplace: Workplace) -> None:
        super().__init__(mediator.name, shard, workplace)
        self._mediator = mediator
        self._kept = KeptRuns()
        self._reruns: Counter[Callable[..., Any]] = Counter()

    def take(self, deliveries: Sequence[Delivery]) -> None:
        """Sort deliveries by flow and carry them on."""
        work: Work = {}
        for delivery in deliveries:
            try:
                flow = self._flow_of(delivery)
            except HybridError as error:
                self.fail(delivery, error)
            else:
                work.setdefault(flow, []).append(delivery)
        if work:
            self.spawn(self._carry_on(work))

    def drop_waiting(self) -> list[Delivery]:
        """End the kept runs: the worker stops."""
        self._kept.close()
        return []

    def _flow_of(self, delivery: Delivery) -> str:
        if delivery.fields.get(b"type") != WAKE_UP.encode():
            return self.envelope(delivery).id
        flow = delivery.fields.get(b"flow")
        if not flow:
            raise UndecodableMessage(f"a wake-up in {delivery.lane.channel} names no flow")
        delivery.envelope = Envelope("", WAKE_UP, flow=flow.decode(errors="replace"))
        return delivery.envelope.flow

    async def _carry_on(self, work: Work) -> None:
        """Advance flows; one whose record is not as expected is loaded and run again at once."""
        new = {flow for flow, deliveries in work.items() if _initiating_delivery(deliveries)}
        while work:
            kept = {flow: run for flow in work if (run := self._kept.take(flow))}
            hashes = await self._load([flow for flow in work if flow not in new or flow in kept], kept)
            steps: dict[str, Step] = {}
            for flow, deliveries in work.items():
                fields = hashes.get(flow, {})
                if run := kept.get(flow):
                    steps[flow] = self._go_on(flow, deliveries, fields, run)
                else:
                    steps[flow] = self._step(flow, deliveries, fields)
            again: Work = {}
            for flow, step in steps.items():
                code = await step.settled
                if step.waiting:
                    self._keep(flow, step.waiting, code)
                if code == CHECK_FAILED:
                    again[flow] = work[flow]
                else:
                    self._over(work[flow], code)
            work, new = again, set()

    def _over(self, deliveries: list[Delivery], code: int) -> None:
        if code == ALREADY_HANDLED:
            self.forget_starts(deliveries)
        for delivery in deliveries:
            if code == FAILED_CODE:
                self.last_resort(delivery)
            else:
                delivery.lane.release(delivery)

    async def _load(self, flows: list[str], kept: dict[str, Kept]) -> dict[str, dict[bytes, bytes]]:
        """Return what is needed of the records of these flows."""
        if not flows:
            return {}
        keys = [self.keys.flow(flow) for flow in flows]
        wanted = [kept[flow].wanted() if flow in kept else [] for flow in flows]
        pause = 0.05
        while True:
            try:
                return dict(zip(flows, await self.shard.queries.hashes(keys, wanted), strict=True))
            except ServerUnavailable:
                await asyncio.sleep(pause)
                pause = min(pause * 2, 1.0)

    def _step(self, id: str, deliveries: list[Delivery], fields: dict[bytes, bytes]) -> Step:
        """Run a flow from its record, and advance it."""
        record, now = FlowRecord.read(id, fields), self.workplace.clock.now()
        first = _initiating_delivery(deliveries)
        if record.ended or (record.version == 0 and first is None):
            return Step(self._put((), deliveries, [], outcomes.DUPLICATE if first else outcomes.DONE))
        envelope = initiating(record) if record.version else first.envelope  # type: ignore[union-attr]
        assert envelope is not None
        if record.version == 0 and first is not None:
            record.event = first.fields.get(b"data", b"")
            record.facts["started"] = str(now)
        try:
            function, event = self._function(record, envelope)
            surroundings = Surroundings(self.catalog, self.settings.max_message_bytes, now)
            run = Run(function, event, Flow(record, envelope, surroundings))
        except Exception as error:  # also of a function that does not take an event and a flow
            record.facts.setdefault("code", "0")
            return Step(self._advance(record, envelope, deliveries, Progress(FAILED, error=error), now))
        progress = self._progress(run)
        settled = self._advance(record, envelope, deliveries, progress, now)
        if progress.state == RUNNING and self._reruns[function] >= PROVEN and "error" not in record.facts:
            return Step(settled, Waiting(Kept(run, envelope), progress, now))
        if record.version and progress.error is None:
            self._reruns[function] += 1
        run.close()
        return Step(settled)

    def _go_on(self, id: str, deliveries: list[Delivery], fields: dict[bytes, bytes], kept: Kept) -> Step:
        """Let a kept run go on, and advance its flow. If the record is another one, it is loaded and run."""
        run, record, now = kept.run, kept.run.flow.record, self.workplace.clock.now()
        if not kept.fits(fields):
            run.close()
            return Step(_at_once(CHECK_FAILED))
        record.take_results(fields)
        run.flow.resume(now)
        progress = self._progress(run)
        settled = self._advance(record, kept.envelope, deliveries, progress, now)
        if progress.state == RUNNING:
            return Step(settled, Waiting(kept, progress, now))
        run.close()
        return Step(settled)

    def _keep(self, flow: str, waiting: Waiting, code: int) -> None:
        """Keep a run that waits, now that what it led to is on record."""
        kept, progress, now = waiting
        if code == APPLIED:
            kept.run.flow.record.advance(issued(progress, now), progress.waiting)
            self._kept.keep(flow, kept)
        else:
            kept.run.close()

    def _function(self, record: FlowRecord, envelope: Envelope) -> tuple[Callable[..., Any], Event]:
        """Return the function that the flow runs on, and its event."""
        event = self.catalog.decode(envelope.type, record.event)
        versions = self._mediator.flows.get(type(event))
        if not versions or not isinstance(event, Event):
            raise ApplicationError(f"{self.component} has no flow for {envelope.type}")
        code = int(record.facts.get("code", 0)) or max(versions)
        record.facts["code"] = str(code)
        if code not in versions:
            known = ", ".join(map(str, sorted(versions)))
            raise ApplicationError(
                f"flow {record.id} runs on version {code} of {self.component}'s flow for {envelope.type},"
                f" which is not registered (there is {known}): start a worker that has it"
            )
        return versions[code], event

    def _progress(self, run: Run) -> Progress:
        progress = run.go_on()
        try:
            check_outputs(
                self.component, [len(step.data) for step in progress.issued if step.data], self.settings
            )
        except HandlerError as error:
            return Progress(FAILED, error=error)
        return progress

    def _advance(
        self,
        record: FlowRecord,
        envelope: Envelope,
        deliveries: list[Delivery],
        progress: Progress,
        now: int,
    ) -> asyncio.Future[int]:
        """Put on record what a run led to, and settle the deliveries with it."""
        place = Place(self.keys, self.component, now, self.settings.max_message_bytes)
        try:
            checks, effects = advance(place, record, envelope, progress)
        except HybridError as error:  # what it ends with can't be packed
            progress = Progress(FAILED, error=error)
            checks, effects = advance(place, record, envelope, progress)
        if progress.error is not None:
            return self._put_failure(checks, deliveries, effects, progress.error)
        outcome = outcomes.STARTED if record.version == 0 else outcomes.ADVANCED
        ended = progress.state != RUNNING
        return self._put(checks, deliveries, effects, outcomes.ENDED if ended else outcome, progress.state)

    def _put(
        self,
        checks: Sequence[Item],
        deliveries: list[Delivery],
        effects: Sequence[Item],
        outcome: str,
        note: str = "",
    ) -> asyncio.Future[int]:
        """Settle all deliveries of a flow at once: one of them ours is enough, the record's version guards
        the rest.
        """
        claims = [self.claim(delivery, self._settled) for delivery in deliveries]
        lines = [self.entry(deliveries[0], outcome, note), *self._solo(deliveries)]
        return self._settled_by(Transition(checks, claims, [*effects, *lines]))

    def _put_failure(
        self, checks: Sequence[Item], deliveries: list[Delivery], effects: list[Item], error: BaseException
    ) -> asyncio.Future[int]:
        """Put one of a flow's deliveries among the failures; the others have told it nothing that the
        record does not.
        """
        first, *folded = deliveries
        settled = self._settled_by(
            Transition(
                checks,
                (self.claim(first, ""),),
                [*self.failing(first, error, "", effects), *self._solo([first])],
            )
        )
        if folded:
            claims = [self.claim(delivery, self._settled) for delivery in folded]
            self.shard.settler.put(Transition((), claims, self._solo(folded)), lambda code: None)
        return settled

    def _solo(self, deliveries: list[Delivery]) -> list[Item]:
        units = [delivery.unit for delivery in deliveries if delivery.taken_over]
        return [hdel(self.keys.starts, *units)] if units else []

    def _settled_by(self, transition: Transition) -> asyncio.Future[int]:
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.shard.settler.put(transition, done.set_result)
        return done


def _initiating_delivery(deliveries: list[Delivery]) -> Delivery | None:
    """Return the one that brings a flow's initiating event, if any: as a rule the flow is new then."""
    return next((d for d in deliveries if d.envelope and d.envelope.type != WAKE_UP), None)


def _at_once(code: int) -> asyncio.Future[int]:
    done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    done.set_result(code)
    return done


def initiating(record: FlowRecord) -> Envelope:
    """Return the envelope of the initiating event, from the flow's record."""
    facts = record.facts
    return Envelope(
        record.id,
        facts["type"],
        int(facts.get("schema", 1)),
        facts.get("corr", record.id),
        key=facts.get("key", ""),
        time=int(facts.get("sent", 0)),
        trace=facts.get("trace", ""),
        class_=facts.get("class", ""),
        rule=facts.get("rule", ""),
        reason=facts.get("reason", ""),
    )
