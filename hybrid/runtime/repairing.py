"""The runner of a workflow processor: read → decode → invoke → decide → settle, for what failed elsewhere."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from hybrid.broker import log as outcomes
from hybrid.broker.failures import Failure, failed_output
from hybrid.broker.shard import Shard
from hybrid.codec import decode, encode, unpack
from hybrid.errors import ApplicationError, HandlerError, MessageError, UndecodableMessage
from hybrid.messages import Message
from hybrid.policy import Raised
from hybrid.repair.deciding import Answered, Decision, GivenUp, Mended, Outcome, ToDesk, decide
from hybrid.repair.mending import FUNCTION, noted, repaired
from hybrid.repair.ways import back, given_up
from hybrid.runtime.delivery import Delivery
from hybrid.runtime.invoke import Bound, Contract
from hybrid.runtime.runner import NOTHING, Runner, event_failed
from hybrid.runtime.workplace import Workplace
from hybrid.streams.transitions import CHECK_FAILED
from hybrid.workflow import Discard, Failed, WorkflowProcessor

REPAIR = Contract(
    (Message, Discard), "a repair returns the mended message, Discard(reason), or None", patient=False
)
UNWANTED = "its flow no longer waits for it"


class RepairRunner(Runner):
    """Runs the functions of one workflow processor on one shard."""

    def __init__(self, fixer: WorkflowProcessor, shard: Shard, workplace: Workplace) -> None:
        super().__init__(fixer.name, shard, workplace)
        self._functions = {name: Bound(h, workplace, REPAIR) for name, h in fixer.functions.items()}
        for name, bound in self._functions.items():
            if bound.wants_context:
                raise ApplicationError(
                    f"{name} asks for a Context: a repair is given the Failed, which has all"
                )
        self._waiting: deque[tuple[Delivery, Failure]] = deque()
        self._running = 0

    def take(self, deliveries: Sequence[Delivery]) -> None:
        """Start repairs, as many at a time as the setting says; the others wait in order."""
        for delivery in deliveries:
            try:
                failure = self._failure(delivery)
            except UndecodableMessage as error:
                self.fail(delivery, error)
            else:
                self._waiting.append((delivery, failure))
        self._start_next()

    def drop_waiting(self) -> list[Delivery]:
        """Give up what has not been started; return it."""
        dropped = [delivery for delivery, _ in self._waiting]
        self._waiting.clear()
        return dropped

    def poisoned(self, delivery: Delivery, error: HandlerError) -> None:
        """Put on the desk, unstarted, what has cost too many workers of this component."""
        try:
            failure = self._failure(delivery)
        except UndecodableMessage:
            super().poisoned(delivery, error)
        else:
            self._to_desk(delivery, failure, ToDesk(f"{self.component}: {error}"))

    def refused(self, delivery: Delivery, error: HandlerError) -> Failure:
        """Return what goes to the desk when the server refused the settle: the failure, whole."""
        return noted(self._failure(delivery), f"{self.component}: {error}")

    def _failure(self, delivery: Delivery) -> Failure:
        """Return the failure that a delivery brings. Raises UndecodableMessage."""
        component = delivery.lane.channel.rpartition("/")[2]
        try:
            failure = Failure.read(component, delivery.entry, delivery.fields)
        except Exception as error:  # msgpack raises a dozen unrelated classes for bad bytes
            raise UndecodableMessage(f"an entry of {delivery.lane.channel} is no failure: {error}") from error
        delivery.envelope = failure.envelope
        return failure

    def _start_next(self) -> None:
        while self._waiting and self._running < self.settings.concurrency and not self.workplace.stopping:
            self._running += 1
            self.spawn(self._run(*self._waiting.popleft()))

    async def _run(self, delivery: Delivery, failure: Failure) -> None:
        try:
            outcome = await self._invoke(delivery, failure)
        finally:
            self._running -= 1
            self._start_next()
        envelope = delivery.envelope or NOTHING
        late = 0 < envelope.expires < self.workplace.clock.now()
        self._settle_decision(delivery, failure, decide(outcome, self.component, envelope.type, late))

    async def _invoke(self, delivery: Delivery, failure: Failure) -> Outcome:
        name = delivery.fields.get(FUNCTION, b"").decode(errors="replace")
        try:
            if name not in self._functions:
                raise ApplicationError(f"there is no repair function {name} any more")
            return Answered(await self._functions[name].call(self._failed(failure), None))
        except Exception as error:  # whatever a repair does, the failure has a place
            return Raised(error)

    def _failed(self, failure: Failure) -> Failed[Any]:
        """Return a failure as the function is given it: the message as far as it can be had."""
        envelope = failure.envelope or NOTHING
        values, message = {}, None
        try:
            found = unpack(failure.data)
            values = found if isinstance(found, dict) else {}
            message = self.catalog.decode(envelope.type, failure.data, envelope.version)
        except MessageError:
            pass  # that is what there is to repair
        return Failed(
            message, values, failure.data, envelope,
            failure.error, failure.message, failure.handler, failure.attempts,
        )  # fmt: skip

    def _settle_decision(self, delivery: Delivery, failure: Failure, decision: Decision) -> None:
        match decision:
            case Mended(message):
                self._send_back(delivery, failure, message)
            case GivenUp(reason):
                now = self.workplace.clock.now()
                effects = list(given_up(self.keys, failure, reason, now).effects)
                self.put_off(delivery, effects, outcomes.DISCARDED, reason)
            case ToDesk():
                self._to_desk(delivery, failure, decision)

    def _send_back(self, delivery: Delivery, failure: Failure, message: Message) -> None:
        """Settle: the message goes back to the group in which the original failed, unless its flow no longer
        waits for it.
        """
        try:
            limit = self.settings.max_message_bytes
            valid, initiating = decode(type(message), encode(message, limit)), self._is_initiating(failure)
            fields = repaired(failure, self.component, valid, limit, initiating=initiating)
        except Exception as error:  # it is too large, or not valid
            self._to_desk(delivery, failure, ToDesk(f"{self.component} mended it, but {error}"))
            return
        way = back(self.keys, failure, fields)
        line = self.entry(delivery, outcomes.REPAIRED, f"{failure.error}: {failure.message}"[:500])
        self._settle(delivery, way.checks, "", [*way.effects, line])

    def _to_desk(self, delivery: Delivery, failure: Failure, decision: ToDesk) -> None:
        why = f"{failure.error.rpartition('.')[2]}: {failure.message} ({decision.note})"[:500]
        effects = [failed_output(self.keys, noted(failure, decision.note))]
        if self._is_initiating(failure):
            effects.append(event_failed(self.keys, (failure.envelope or NOTHING).id))
        elif decision.awaited:
            effects += self.telling(delivery, why)
        self.put_off(delivery, effects, outcomes.FAILED, why)

    def _is_initiating(self, failure: Failure) -> bool:
        """Tell whether it failed at the front door."""
        return failure.component in self.workplace.topology.fronts

    def _after(self, delivery: Delivery) -> Callable[[int], None]:
        over = super()._after(delivery)

        def then(code: int) -> None:
            if code == CHECK_FAILED:
                unwanted = ToDesk(f"{self.component} mended it, but {UNWANTED}", awaited=False)
                self._to_desk(delivery, self._failure(delivery), unwanted)
            else:
                over(code)

        return then
