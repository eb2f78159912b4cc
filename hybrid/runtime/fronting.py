"""The runner of a simple mediator: classifies initiating events, handles simple ones, hands on the others,
each in one settle.
"""

from __future__ import annotations

from collections.abc import Sequence

from hybrid.broker import log as outcomes
from hybrid.broker.outputs import check_outputs, command_output, event_output, initiating_output
from hybrid.broker.shard import Shard
from hybrid.codec import encode
from hybrid.envelope import Envelope
from hybrid.errors import NotRegistered
from hybrid.ids import derived_id
from hybrid.mediator.classes import SIMPLE, Verdict
from hybrid.mediator.simple import SimpleMediator
from hybrid.messages import Command, Event, Message
from hybrid.runtime.delivery import Delivery
from hybrid.runtime.runner import Runner, event_failed
from hybrid.runtime.workplace import Workplace
from hybrid.streams.transitions import Item, add


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
                classified = envelope._replace(
                    class_=verdict.event_class.value, rule=rule.name, reason=verdict.reason
                )
                effects = self._effects(event, classified, verdict, delivery)
            except Exception as error:  # a rule may raise anything
                self.turn_away(delivery, error)
            else:
                note = f"{verdict.event_class.value} by {rule.name}" + (
                    f": {verdict.reason}" if verdict.reason else ""
                )
                self.end(delivery, outcomes.CLASSIFIED, effects, note)

    def telling(self, delivery: Delivery, why: str, *, over: bool = True) -> list[Item]:
        """Return the effect that tells those who wait for an event that it has failed for good."""
        id = delivery.envelope.id if delivery.envelope else ""
        return [event_failed(self.keys, id)] if id and over else []

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
        return [*effects, add(self.keys.outcomes, "", ending)]

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
