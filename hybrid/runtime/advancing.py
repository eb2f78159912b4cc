"""The runner of a mediator: loads the records of a batch in one round trip, runs the flows, and advances
them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from hybrid.broker import log as outcomes
from hybrid.broker.outputs import WAKE_UP, check_outputs, wake_up
from hybrid.broker.settler import FAILED as FAILED_CODE
from hybrid.broker.shard import Shard
from hybrid.envelope import Envelope
from hybrid.errors import ApplicationError, HybridError, UndecodableMessage
from hybrid.mediator.advance import advance, issued
from hybrid.mediator.classes import EventClass
from hybrid.mediator.ending import ending_of, goes_on, is_to_be_heard
from hybrid.mediator.flow import Flow
from hybrid.mediator.kept import Kept, KeptRuns
from hybrid.mediator.mediator import Mediator
from hybrid.mediator.place import Place, envelope_of
from hybrid.mediator.record import (
    FAILED,
    PROMOTED,
    RUNNING,
    TASK,
    UNDOING,
    Deed,
    Ending,
    FlowRecord,
)
from hybrid.mediator.replay import Progress, Run
from hybrid.mediator.steering import stopped
from hybrid.mediator.surroundings import Surroundings
from hybrid.mediator.versions import function_of
from hybrid.messages import Event, Message
from hybrid.runtime.delivery import BROADCAST, Delivery
from hybrid.runtime.hearing import Hearing
from hybrid.runtime.records import Records, Rules, paused_by
from hybrid.runtime.runner import OTHER_CODE, Runner
from hybrid.runtime.workplace import Workplace
from hybrid.streams.transitions import (
    ALREADY_HANDLED,
    APPLIED,
    CHECK_FAILED,
    Item,
    Transition,
    add,
    hdel,
)

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
    """An advance that is being settled. The `rest` are deliveries that another one stands for: settled when
    that was, and carried on with when that was somebody else's.
    """

    settled: asyncio.Future[int]
    waiting: Waiting | None = None
    rest: Sequence[Delivery] = ()


class MediatorRunner(Runner):
    """Runs a mediator's flows on one shard. What it has in memory is a cache: any number of them compete."""

    def __init__(
        self, mediator: Mediator, shard: Shard, workplace: Workplace, shards: Sequence[Shard]
    ) -> None:
        super().__init__(mediator.name, shard, workplace)
        self._mediator = mediator
        self._hearing = Hearing(self, shards)
        self._records = Records(shard)
        self._kept = KeptRuns()
        self._reruns: Counter[Callable[..., Any]] = Counter()

    def take(self, deliveries: Sequence[Delivery]) -> None:
        """Sort deliveries by flow and carry them on."""
        work: Work = {}
        heard: list[Delivery] = []
        for delivery in deliveries:
            if BROADCAST in delivery.fields:
                heard.append(delivery)
                continue
            try:
                flow = self._flow_of(delivery)
            except HybridError as error:
                self.fail(delivery, error)
            else:
                work.setdefault(flow, []).append(delivery)
        if work:
            self.spawn(self._carry_on(work))
        if heard:
            self.spawn(self._hearing.hear(heard))

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
        rules: Rules = {}  # what is paused is asked for only when the server has refused to go on
        while work:
            kept = {flow: run for flow in work if (run := self._kept.take(flow))}
            hashes = await self._records.load(
                [flow for flow in work if flow not in new or flow in kept], kept
            )
            steps: dict[str, Step] = {}
            for flow, deliveries in work.items():
                try:
                    if run := kept.get(flow):
                        steps[flow] = self._go_on(flow, deliveries, hashes.get(flow, {}), run)
                    else:
                        steps[flow] = self._step(flow, deliveries, hashes.get(flow, {}), rules)
                except Exception as error:  # as of a record that can't be read: the other flows go on
                    for delivery in deliveries:
                        self.fail(delivery, error)
            again: Work = {}
            for flow, step in steps.items():
                code = await step.settled
                if step.waiting:
                    self._keep(flow, step.waiting, code)
                if left := self._left(work[flow], step, code):
                    again[flow] = left
            work, new = again, set()
            if work:
                rules = await self._records.rules()

    def _left(self, deliveries: list[Delivery], step: Step, code: int) -> list[Delivery]:
        """Be done with the deliveries of a step that was settled; return those to carry on with again."""
        if code == CHECK_FAILED:
            return deliveries
        left = list(step.rest) if code == ALREADY_HANDLED else []
        if code == APPLIED:
            self._fold(step.rest)
        self._over([one for one in deliveries if one not in left] if left else deliveries, code)
        return left

    def _over(self, deliveries: list[Delivery], code: int) -> None:
        if code == ALREADY_HANDLED:
            self.forget_starts(deliveries)
        for delivery in deliveries:
            if code == FAILED_CODE:
                self.last_resort(delivery)
            else:
                delivery.lane.release(delivery)

    def _step(self, id: str, deliveries: list[Delivery], fields: dict[bytes, bytes], rules: Rules) -> Step:
        """Run a flow from its record, and advance it; or do what is to be done with it instead."""
        record, now = FlowRecord.read(id, fields), self.workplace.clock.now()
        first = _initiating_delivery(deliveries)
        if record.ended or not (record.begun or first):
            return Step(self._put((), deliveries, [], outcomes.DUPLICATE if first else outcomes.DONE))
        if record.begun and (mediator := record.facts["mediator"]) != self.component:
            return Step(self._hand_on(deliveries, mediator, id))
        envelope = envelope_of(record) if record.begun else first.envelope  # type: ignore[union-attr]
        assert envelope is not None
        if first is not None and not record.begun:
            record.event = first.fields.get(b"data", b"")
            record.facts["started"] = str(now)
        if ending := ending_of(record):
            return self._end(record, envelope, deliveries, ending, now)
        if paused := record.paused or paused_by(rules, envelope.type, envelope.key):
            return Step(self._pause(record, envelope, deliveries, paused, now))
        return self._run(record, envelope, deliveries, now)

    def _end(
        self, record: FlowRecord, envelope: Envelope, deliveries: list[Delivery], ending: Ending, now: int
    ) -> Step:
        """Bring a flow nearer to its end. One that was cancelled is run once more for what it registers to be
        undone, now that all has come: what it issues then is not sent, and how it ends does not count.
        """
        progress = Progress(ending.state, ending=ending)
        if is_to_be_heard(record, ending):
            try:
                run = self._begun(record, envelope, now)
            except Exception as error:  # its code is gone, or not here yet
                if passed := self._passed_on(deliveries, error):
                    return passed
            else:
                run.go_on()
                run.close()
                progress.undos = run.flow.new_undos
        return self._advance(record, envelope, deliveries, progress, now)

    def _begun(self, record: FlowRecord, envelope: Envelope, now: int) -> Run:
        """Return a run of a flow's function, which has not begun to run."""
        function, event = self._function(record, envelope)
        largest, hears = self.settings.max_message_bytes, self._mediator.hears
        surroundings = Surroundings(self.catalog, largest, now, self._front_of, hears)
        return Run(function, event, Flow(record, envelope, surroundings))

    def _run(self, record: FlowRecord, envelope: Envelope, deliveries: list[Delivery], now: int) -> Step:
        """Run a flow's function from its record, and advance the flow."""
        try:
            run = self._begun(record, envelope, now)
        except Exception as error:  # also of a function that does not take an event and a flow
            if passed := self._passed_on(deliveries, error):
                return passed
            return self._advance(record, envelope, deliveries, Progress(FAILED, error=error), now)
        progress = self._progress(run)
        if passed := self._passed_on(deliveries, progress.error):
            run.close()
            return passed
        step = self._advance(record, envelope, deliveries, progress, now)
        waits = progress.state == RUNNING and not progress.anew
        if waits and self._reruns[run.function] >= PROVEN and "error" not in record.facts:
            return Step(step.settled, Waiting(Kept(run, envelope), progress, now))
        if record.begun and progress.error is None:
            self._reruns[run.function] += 1
        run.close()
        return step

    def _hand_on(self, deliveries: list[Delivery], mediator: str, flow: str) -> asyncio.Future[int]:
        """Wake a flow at the mediator that carries it out now: it was promoted, or is a child."""
        wake = add(*wake_up(self.keys, mediator, flow))
        return self._put((), deliveries, [wake], outcomes.DONE, f"handed on to {mediator}")

    def _pause(
        self, record: FlowRecord, envelope: Envelope, deliveries: list[Delivery], deed: Deed, now: int
    ) -> asyncio.Future[int]:
        """Leave a paused flow where it is; who resumes it wakes it."""
        checks, effects = stopped(self._place(now), record, envelope, deed)
        return self._put(checks, deliveries, effects, outcomes.DONE, f"paused {deed}")

    def _place(self, now: int) -> Place:
        settings = self.settings
        return Place(self.keys, self.component, now, settings.max_message_bytes, settings.flow_ms)

    def _front_of(self, event: type[Message]) -> str:
        return self.workplace.topology.front_of(event).name

    def _go_on(self, id: str, deliveries: list[Delivery], fields: dict[bytes, bytes], kept: Kept) -> Step:
        """Let a kept run go on, and advance its flow. If the record is another one, it is loaded and run."""
        run, record, now = kept.run, kept.run.flow.record, self.workplace.clock.now()
        if not kept.fits(fields):
            run.close()
            return Step(_at_once(CHECK_FAILED))
        record.take_results(fields)
        run.flow.resume(now)
        progress = self._progress(run)
        if passed := self._passed_on(deliveries, progress.error):
            run.close()
            return passed
        step = self._advance(record, kept.envelope, deliveries, progress, now)
        if progress.state == RUNNING and not progress.anew:
            return Step(step.settled, Waiting(kept, progress, now))
        run.close()
        return step

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
        event = self.catalog.decode(envelope.type, record.event, envelope.version)
        code, function = function_of(self._mediator, record, event)
        record.facts["code"] = str(code)
        return function, event  # type: ignore[return-value]

    def _passed_on(self, deliveries: list[Delivery], error: BaseException | None) -> Step | None:
        """Pass a flow on to newer code that can carry it on, if that is why it can't be here: one of its
        deliveries stands for all.
        """
        if not isinstance(error, OTHER_CODE):
            return None
        first = _initiating_delivery(deliveries) or deliveries[0]
        effects = self.passing_on(first, error)
        if effects is None:
            return None
        transition = Transition((), (self.claim(first, ""),), [*effects, *self._solo([first])])
        rest = [delivery for delivery in deliveries if delivery is not first]
        return Step(self._settled_by(transition), rest=rest)

    def _progress(self, run: Run) -> Progress:
        progress = run.go_on()
        try:
            check_outputs(
                self.component,
                [len(step.data) for step in progress.issued if step.message or step.kind == TASK],
                self.settings,
            )
            if progress.ending and progress.ending.state == PROMOTED:
                progress.ending = self._promoted(run, progress.ending)
        except HybridError as error:
            return Progress(FAILED, error=error)
        return progress

    def _promoted(self, run: Run, ending: Ending) -> Ending:
        """Return the end of a promoted flow, with the mediator that it goes on with. Raises
        ApplicationError.
        """
        event, verdict = self.catalog.named(run.flow.envelope.type), EventClass(ending.event_class)
        mediator = self.workplace.topology.mediator_of(event, verdict)
        if mediator is None or mediator is self._mediator:
            why = "it is that already" if mediator else "no mediator handles that with a flow for it"
            raise ApplicationError(f"{event.type_name} can't be promoted to {verdict.value}: {why}")
        return ending._replace(mediator=mediator.name)

    def _advance(
        self,
        record: FlowRecord,
        envelope: Envelope,
        deliveries: list[Delivery],
        progress: Progress,
        now: int,
    ) -> Step:
        """Put on record what a run led to, and settle the deliveries with it."""
        begun, ending = record.begun, progress.ending
        checks, effects = advance(self._place(now), record, envelope, progress)
        undoes = ending and goes_on(record, envelope, ending)
        if progress.error is not None:
            first, *rest = deliveries  # the others have told it nothing that the record does not
            return Step(self._put_failure(checks, first, effects, progress.error), rest=rest)
        if progress.ending and not undoes:
            return Step(self._put(checks, deliveries, effects, outcomes.ENDED, progress.state))
        outcome = outcomes.ADVANCED if begun else outcomes.STARTED
        said = UNDOING if undoes else progress.state
        return Step(self._put(checks, deliveries, effects, outcome, said))

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
        self, checks: Sequence[Item], delivery: Delivery, effects: list[Item], error: BaseException
    ) -> asyncio.Future[int]:
        """Put one of a flow's deliveries among the failures."""
        effects = [*self.failing(delivery, error, "", effects), *self._solo([delivery])]
        return self._settled_by(Transition(checks, (self.claim(delivery, ""),), effects))

    def _fold(self, deliveries: Sequence[Delivery]) -> None:
        """Settle deliveries of a flow for which another one stood."""
        if deliveries:
            claims = [self.claim(delivery, self._settled) for delivery in deliveries]
            self.shard.settler.put(Transition((), claims, self._solo(deliveries)), lambda code: None)

    def _solo(self, deliveries: Sequence[Delivery]) -> list[Item]:
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
