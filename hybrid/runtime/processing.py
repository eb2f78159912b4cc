"""The runner of a processor: read → decode → invoke → decide → settle."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from hybrid.broker import log as outcomes
from hybrid.broker.failures import error_note
from hybrid.broker.outputs import check_outputs, event_output, wake_up
from hybrid.broker.shard import Shard
from hybrid.codec import encode, pack
from hybrid.context import Context
from hybrid.envelope import Envelope
from hybrid.errors import UnknownMessage
from hybrid.ids import derived_id
from hybrid.mediator.place import timeout_member
from hybrid.mediator.record import NOTHING, REPLY, Result
from hybrid.messages import Event, Message
from hybrid.policy import Decision, Done, Outcome, Raised, Repair, Retry, RetryPolicy, Succeeded, decide
from hybrid.processor import Processor
from hybrid.runtime.delivery import Delivery
from hybrid.runtime.invoke import Bound
from hybrid.runtime.runner import Runner
from hybrid.runtime.workplace import Workplace
from hybrid.streams.transitions import Item, cancel, result, schedule


class Gate:
    """Runs one handler's deliveries, of all shards, at most so many at a time; the others wait in order."""

    def __init__(self, bound: Bound, limit: int) -> None:
        self.bound = bound
        self.limit = limit
        self.running = 0
        self.waiting: deque[tuple[ProcessorRunner, Delivery, Message]] = deque()


class ProcessorRunner(Runner):
    """Runs the handlers of one processor on one shard."""

    def __init__(self, processor: Processor, shard: Shard, workplace: Workplace) -> None:
        super().__init__(processor.name, shard, workplace)
        self._gates: dict[str, Gate] = {}
        for cls, handler in processor.handlers.items():
            if handler.every_instance:
                continue
            gate = workplace.gates.get(handler)
            if gate is None:
                limit = handler.concurrency or workplace.settings.concurrency
                gate = workplace.gates[handler] = Gate(Bound(handler, workplace), limit)
            self._gates[cls.type_name] = gate

    def take(self, deliveries: Sequence[Delivery]) -> None:
        """Decode deliveries and start their handlers, or let them wait for their turn."""
        for delivery in deliveries:
            try:
                envelope = self.envelope(delivery)
                gate = self._gate(envelope)
                if envelope.retry:
                    RetryPolicy.read(envelope.retry)
                message = self.decode(envelope, delivery)
            except Exception as error:  # whatever is wrong with a message, the next one goes on
                self.turn_away(delivery, error)
                continue
            if envelope.expires and self._expired(envelope):
                self.expire(delivery)
            elif gate.running < gate.limit and not self.workplace.stopping:
                self._start(gate, delivery, message)
            else:
                gate.waiting.append((self, delivery, message))

    def drop_waiting(self) -> list[Delivery]:
        """Give up what has not been started, on any shard; return it."""
        dropped = []
        for gate in self._gates.values():
            dropped += [delivery for _, delivery, _ in gate.waiting]
            gate.waiting.clear()
        return dropped

    def _gate(self, envelope: Envelope) -> Gate:
        gate = self._gates.get(envelope.type)
        if gate is None:
            raise UnknownMessage(envelope.type, list(self._gates))
        return gate

    def _start(self, gate: Gate, delivery: Delivery, message: Message) -> None:
        gate.running += 1
        self.spawn(self._run(gate, delivery, message))

    async def _run(self, gate: Gate, delivery: Delivery, message: Message) -> None:
        envelope = delivery.envelope
        assert envelope is not None
        try:
            outcome = await self._invoke(gate.bound, delivery, envelope, message)
        finally:
            gate.running -= 1
            self._start_next(gate)
        policy = RetryPolicy.read(envelope.retry) if envelope.retry else gate.bound.retry
        self._settle_decision(gate.bound, delivery, decide(outcome, envelope.attempt, policy))

    def _start_next(self, gate: Gate) -> None:
        """Start what has waited longest, unless nobody waits for it any more."""
        while gate.waiting and not self.workplace.stopping:
            runner, delivery, message = gate.waiting.popleft()
            if delivery.envelope and self._expired(delivery.envelope):
                runner.expire(delivery)
            else:
                runner._start(gate, delivery, message)
                return

    def _expired(self, envelope: Envelope) -> bool:
        return 0 < envelope.expires < self.workplace.clock.now()

    async def _invoke(
        self, bound: Bound, delivery: Delivery, envelope: Envelope, message: Message
    ) -> Outcome:
        context = None
        if bound.wants_context:
            context = Context(envelope, bound.name, bound.inbox, delivery.replayed)
        try:
            reply = await bound.call(message, context)
        except Exception as error:
            return Raised(error)
        return Succeeded(reply, context.published if context else ())

    def _settle_decision(self, bound: Bound, delivery: Delivery, decision: Decision) -> None:
        envelope = delivery.envelope
        assert envelope is not None
        match decision:
            case Done(reply, published):
                try:
                    effects = self._done(bound, delivery, envelope, reply, published)
                except Exception as error:  # an output that can't be packed or is too large
                    self.fail(delivery, error, bound.name)
                else:
                    self.end(delivery, outcomes.DONE, effects)
            case Retry(after, error):
                later = self._later(delivery, envelope, after)
                self.put_off(delivery, [later], outcomes.RETRIED, error_note(error))
            case Repair(error):
                self.fail(delivery, error, bound.name)

    def _done(
        self,
        bound: Bound,
        delivery: Delivery,
        envelope: Envelope,
        reply: Event | None,
        published: Sequence[Event],
    ) -> list[Item]:
        """Return the effects of a handled message: broadcasts, and the acknowledgement when a flow waits
        for it.
        """
        effects = []
        data = b""
        if reply is not None:
            data = encode(reply, self.settings.max_message_bytes)
            effects.append(self._broadcast(bound, envelope, reply, data, 0))
        if published:
            effects += self._published(bound, envelope, published)
        if envelope.flow:
            taken, now = delivery.taken, self.workplace.clock.now()
            kind, name, schema = (REPLY, reply.type_name, reply.type_version) if reply else (NOTHING, "", 1)
            value = Result(kind, name, schema, data, self.component, envelope.attempt, taken, now).packed()
            wake = wake_up(self.keys, envelope.reply, envelope.flow)
            effects.append(
                result(self.keys.flow(envelope.flow), envelope.run, str(envelope.step), value, wake)
            )
            if envelope.expires:
                member = timeout_member(envelope.flow, envelope.run, envelope.step, envelope.reply)
                effects.append(cancel(self.keys.timers, member))
        return effects

    def _published(self, bound: Bound, envelope: Envelope, published: Sequence[Event]) -> list[Item]:
        packed = [encode(event, self.settings.max_message_bytes) for event in published]
        check_outputs(bound.name, [len(data) for data in packed], self.settings)
        pairs = zip(published, packed, strict=True)
        return [self._broadcast(bound, envelope, event, data, n) for n, (event, data) in enumerate(pairs, 1)]

    def _broadcast(self, bound: Bound, cause: Envelope, event: Event, data: bytes, index: int) -> Item:
        out = Envelope(
            derived_id(cause.id, self.component, bound.name, str(index)),
            event.type_name,
            event.type_version,
            cause.correlation or cause.id,
            cause.id,
            "",
            event.message_key(),
            0,
            self.component,
            cause.trace,
        )
        return event_output(self.keys, out, data)

    def _later(self, delivery: Delivery, envelope: Envelope, after: int) -> Item:
        """Return the effect that lets a message wait for its next attempt, as it came, with the attempt
        counted.
        """
        fields: dict[bytes, Any] = {**delivery.fields}
        fields[b"attempt"] = str(envelope.attempt + 1)
        fields[b"time"] = str(envelope.time)
        flat = [item for pair in fields.items() for item in pair]
        return schedule(self.keys.later(self.component), after, pack([delivery.entry, flat]))
