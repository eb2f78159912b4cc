"""The runner of a simple mediator: classifies initiating events, handles simple ones, hands on the others,
each in one settle.
"""

from __future__ import annotations

from collections.abc import Sequence

from hybrid.broker import log as outcomes
from hybrid.broker.outputs import (
    check_outputs,
    command_output,
    event_output,
    initiating_output,
)
from hybrid.broker.shard import Shard
from hybrid.codec import encode
from hybrid.envelope import Envelope
from hybrid.errors import ApplicationError, NotRegistered, Promote
from hybrid.ids import derived_id
from hybrid.mediator.classes import SIMPLE, EventClass, Verdict
from hybrid.mediator.ending import child_over
from hybrid.mediator.record import NOTHING, Result
from hybrid.mediator.simple import SimpleMediator
from hybrid.messages import Command, Event, Message
from hybrid.runtime.delivery import Delivery
from hybrid.runtime.runner import Runner, event_failed
from hybrid.runtime.workplace import Workplace
from hybrid.streams.transitions import Item, add, hdel


class FrontRunner(Runner):
    """Runs a simple mediator on one shard."""

    def __init__(self, front: SimpleMediator, shard: Shard, workplace: Workplace) -> None:
        super().__init__(front.name, shard, workplace)
        self._front = front

    def take(self, deliveries: Sequence[Delivery]) -> None:
        """Classify and settle. Rules are pure: what fails would fail again, so there are no retries."""
        for delivery in deliveries:
            try:
                envelope = self.envelope(delivery)
                event = self.decode(envelope, delivery)
                if not isinstance(event, Event) or type(event) not in self._front.events:
                    raise NotRegistered(f"{envelope.type} does not enter by {self.component}")
                rule = self._front.rule_for(type(event))
                verdict = rule.verdict(event)
                try:
                    classified, effects = self._carried_out(event, envelope, rule.name, verdict, delivery)
                except Promote as promotion:
                    verdict = self._promoted(event, promotion)
                    classified, effects = self._carried_out(event, envelope, rule.name, verdict, delivery)
            except Exception as error:  # a rule may raise anything
                self.turn_away(delivery, error)
            else:
                note = f"{classified.class_} by {classified.rule}"
                note += f": {classified.reason}" if classified.reason else ""
                self.end(delivery, outcomes.CLASSIFIED, effects, note)

    def telling(self, delivery: Delivery, why: str, *, over: bool = True) -> list[Item]:
        """Return the effect that tells those who wait for an event that it has failed for good."""
        id = delivery.envelope.id if delivery.envelope else ""
        failed = [event_failed(self.keys, id)] if id and over else []
        return [*failed, *super().telling(delivery, why, over=over)]

    def _promoted(self, event: Event, promotion: Promote) -> Verdict:
        """Return the class that a simple event turned out to be of. Raises ApplicationError."""
        verdict = Verdict(EventClass(promotion.event_class), promotion.reason)
        if not self.workplace.topology.mediator_of(type(event), verdict.event_class):
            raise ApplicationError(
                f"{event.type_name} can't be promoted to {verdict.event_class.value}: no mediator handles"
                " that with a flow for it"
            ) from None
        return verdict

    def _carried_out(
        self, event: Event, envelope: Envelope, rule: str, verdict: Verdict, delivery: Delivery
    ) -> tuple[Envelope, list[Item]]:
        """Return the envelope of a classified event, and the effects of handling it, or of handing it on."""
        envelope = envelope._replace(class_=verdict.event_class.value, rule=rule, reason=verdict.reason)
        return envelope, self._effects(event, envelope, verdict, delivery)

    def _effects(self, event: Event, envelope: Envelope, verdict: Verdict, delivery: Delivery) -> list[Item]:
        if verdict.event_class is not SIMPLE:
            mediator = self.workplace.topology.mediator_of(type(event), verdict.event_class)
            assert mediator is not None, "checked at start"
            return [initiating_output(self.keys, mediator.name, envelope, delivery.fields[b"data"])]
        messages = self._front.handle(event)
        packed = [encode(message, self.settings.max_message_bytes) for message in messages]
        check_outputs(self.component, [len(data) for data in packed], self.settings)
        outputs = enumerate(zip(messages, packed, strict=True))
        effects = [self._output(envelope, message, data, index) for index, (message, data) in outputs]
        ending = ["flow", envelope.id, "state", "completed", "class", SIMPLE.value]
        effects.append(add(self.keys.outcomes, "", ending))
        return [*effects, *self._done_for(envelope)] if envelope.flow else effects

    def _done_for(self, child: Envelope) -> list[Item]:
        """Return the effects by which the parent of a simple event hears that it is done."""
        value = Result(NOTHING, by=self.component, done=self.workplace.clock.now())
        return [
            *child_over(self.keys, child, value),
            hdel(self.keys.flow(child.id), "asked", "version"),  # what its parent asked comes too late
        ]

    def _output(self, cause: Envelope, message: Message, data: bytes, index: int) -> Item:
        out = Envelope(
            derived_id(cause.id, self.component, "simple", str(index)),
            message.type_name,
            message.type_version,
            cause.correlation or cause.id,
            cause.id,
            key=message.message_key(),
            source=self.component,
            trace=cause.trace,
        )
        put = command_output if isinstance(message, Command) else event_output
        return put(self.keys, out, data)
