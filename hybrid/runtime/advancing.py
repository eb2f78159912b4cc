"""The runner of a mediator: loads the records of a batch in one round trip, runs the flows, and advances
them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hybrid.broker import log as outcomes
from hybrid.broker.outputs import WAKE_UP, check_outputs
from hybrid.broker.settler import FAILED as FAILED_CODE
from hybrid.broker.shard import Shard
from hybrid.envelope import Envelope
from hybrid.errors import ApplicationError, HybridError, ServerUnavailable, UndecodableMessage
from hybrid.mediator.advance import Place, advance
from hybrid.mediator.flow import Flow, Surroundings
from hybrid.mediator.mediator import Mediator
from hybrid.mediator.record import FAILED, RUNNING, FlowRecord
from hybrid.mediator.replay import Progress, replay
from hybrid.messages import Event
from hybrid.runtime.delivery import Delivery
from hybrid.runtime.runner import Runner
from hybrid.runtime.workplace import Workplace
from hybrid.streams.transitions import ALREADY_HANDLED, CHECK_FAILED, Item, Transition, hdel

Work = dict[str, list[Delivery]]
"""Deliveries by flow: its initiating event, and wake-ups. Those of one flow are folded into one run."""


class MediatorRunner(Runner):
    """Runs a mediator's flows on one shard. It holds nothing in memory: any number of them compete."""

    def __init__(self, mediator: Mediator, shard: Shard, workplace: Workplace) -> None:
        super().__init__(mediator.name, shard, workplace)
        self._mediator = mediator

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

    def _flow_of(self, delivery: Delivery) -> str:
        if delivery.fields.get(b"type") != WAKE_UP.encode():
            return self.envelope(delivery).id
        flow = delivery.fields.get(b"flow")
        if not flow:
            raise UndecodableMessage(f"a wake-up in {delivery.lane.channel} names no flow")
        delivery.envelope = Envelope("", WAKE_UP, flow=flow.decode(errors="replace"))
        return delivery.envelope.flow

    async def _carry_on(self, work: Work) -> None:
        """Advance flows; one that somebody else advanced meanwhile is loaded and run again at once."""
        while work:
            flows = list(work)
            hashes = await self._load(flows)
            settled = [
                self._step(flow, work[flow], fields) for flow, fields in zip(flows, hashes, strict=True)
            ]
            codes = [await code for code in settled]
            again = {flow for flow, code in zip(flows, codes, strict=True) if code == CHECK_FAILED}
            for flow, code in zip(flows, codes, strict=True):
                if code == ALREADY_HANDLED:
                    self.forget_starts(work[flow])
                for delivery in work[flow] if flow not in again else ():
                    if code == FAILED_CODE:
                        self.last_resort(delivery)
                    else:
                        delivery.lane.release(delivery)
            work = {flow: work[flow] for flow in flows if flow in again}

    async def _load(self, flows: list[str]) -> list[dict[bytes, bytes]]:
        pause = 0.05
        while True:
            try:
                return await self.shard.queries.hashes([self.keys.flow(flow) for flow in flows])
            except ServerUnavailable:
                await asyncio.sleep(pause)
                pause = min(pause * 2, 1.0)

    def _step(self, id: str, deliveries: list[Delivery], fields: dict[bytes, bytes]) -> asyncio.Future[int]:
        record = FlowRecord.read(id, fields)
        first = next((d for d in deliveries if d.envelope and d.envelope.type != WAKE_UP), None)
        if record.ended or (record.version == 0 and first is None):
            return self._put((), deliveries, [], outcomes.DUPLICATE if first else outcomes.DONE)
        envelope = _initiating(record) if record.version else first.envelope  # type: ignore[union-attr]
        assert envelope is not None
        if record.version == 0 and first is not None:
            record.event = first.fields.get(b"data", b"")
        progress = self._run(record, envelope)
        place = Place(self.keys, self.component, self.workplace.clock.now(), self.settings.max_message_bytes)
        try:
            checks, effects = advance(place, record, envelope, progress)
        except HybridError as error:  # what it ends with can't be packed
            progress = Progress(FAILED, error=error)
            checks, effects = advance(place, record, envelope, progress)
        outcome = outcomes.STARTED if record.version == 0 else outcomes.ADVANCED
        if progress.error is not None:
            return self._put_failure(checks, deliveries, effects, progress.error)
        ended = progress.state != RUNNING
        return self._put(checks, deliveries, effects, outcomes.ENDED if ended else outcome, progress.state)

    def _run(self, record: FlowRecord, envelope: Envelope) -> Progress:
        try:
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
            surroundings = Surroundings(
                self.catalog, self.settings.max_message_bytes, self.workplace.clock.now()
            )
            progress = replay(versions[code], event, Flow(record, envelope, surroundings))
            check_outputs(self.component, [len(step.data) for step in progress.issued], self.settings)
            return progress
        except Exception as error:  # also of a function that does not take an event and a flow
            record.facts.setdefault("code", "0")
            return Progress(FAILED, error=error)

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


def _initiating(record: FlowRecord) -> Envelope:
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
