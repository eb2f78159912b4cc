"""Faults on order: what a test says of the next deliveries of a handler, and the worker that does it."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Any

from hybrid.broker.shard import Shard
from hybrid.envelope import Envelope
from hybrid.errors import ApplicationError
from hybrid.messages import Message
from hybrid.policy import Outcome, Raised
from hybrid.runtime.delivery import Delivery, Lane
from hybrid.runtime.invoke import Bound
from hybrid.runtime.processing import ProcessorRunner
from hybrid.runtime.runner import Runner
from hybrid.runtime.schedule import Schedule
from hybrid.runtime.worker import Worker
from hybrid.topology import Topology

Target = tuple[str, str]
"""A handler: its processor, and the name of its message."""


class Faults:
    """What is to go wrong, by handler."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._errors: dict[Target, deque[BaseException]] = defaultdict(deque)
        self.held: dict[Target, list[tuple[FaultyRunner, Delivery]]] = {}
        """What came for the handlers that are held."""

    def target(self, message: type[Message], of: str) -> Target:
        """Return the handler of a message: of this processor, which may be "" when there is one only. Raises
        ApplicationError.
        """
        name, processors = message.__name__, self._topology.processors
        takers = [p for p in processors if message in processors[p].handlers and of in ("", p)]
        if len(takers) == 1:
            if processors[takers[0]].handlers[message].every_instance:
                raise ApplicationError(
                    f"{name} goes to every instance: nothing of it is settled, or tried again"
                )
            return takers[0], message.type_name
        if takers:
            raise ApplicationError(f"{name} is heard by {', '.join(takers)}: say whose, as of={takers[0]!r}")
        raise ApplicationError(f"no handler of {of or 'a processor'} takes {name}")

    def fail(self, target: Target, errors: Sequence[BaseException]) -> None:
        """Let the next deliveries of a handler raise these."""
        self._errors[target].extend(errors)

    def next_error(self, target: Target) -> BaseException | None:
        """Return what a delivery that starts now is to raise."""
        errors = self._errors.get(target)
        return errors.popleft() if errors else None

    def hold(self, target: Target) -> None:
        """Keep what comes for a handler from now on."""
        self.held.setdefault(target, [])

    def release(self, target: Target) -> None:
        """Let a handler have what came meanwhile, and what comes."""
        for runner, delivery in self.held.pop(target, []):
            runner.take([delivery])

    def take_held(self, runner: FaultyRunner) -> list[Delivery]:
        """Give up what is held for a runner; return it."""
        found = []
        for target, waiting in self.held.items():
            found += [delivery for its, delivery in waiting if its is runner]
            self.held[target] = [(its, delivery) for its, delivery in waiting if its is not runner]
        return found


class FaultyRunner(ProcessorRunner):
    """The runner of a processor that does what the faults say."""

    faults: Faults

    def take(self, deliveries: Sequence[Delivery]) -> None:
        """Take deliveries into work, but for those that are held."""
        free = []
        for delivery in deliveries:
            target = self.component, delivery.fields.get(b"type", b"").decode(errors="replace")
            held = self.faults.held.get(target)
            if held is None:
                free.append(delivery)
            else:
                held.append((self, delivery))
        super().take(free)

    def drop_waiting(self) -> list[Delivery]:
        """Give up what has not been started; return it."""
        return [*super().drop_waiting(), *self.faults.take_held(self)]

    async def _invoke(
        self, bound: Bound, delivery: Delivery, envelope: Envelope, message: Message
    ) -> Outcome:
        if error := self.faults.next_error((self.component, envelope.type)):
            return Raised(error)
        return await super()._invoke(bound, delivery, envelope, message)


class FaultyWorker(Worker):
    """A worker whose processors do what the faults say, and that shows what it has in work."""

    faults: Faults

    @property
    def lanes(self) -> list[Lane]:
        """By what deliveries come in."""
        return self._lanes

    @property
    def schedules(self) -> list[Schedule]:
        """What looks for what is due, per shard."""
        return self._schedules

    async def has_heard_all(self) -> bool:
        """Tell whether the handlers of every instance are through with what is on their topics by now."""
        return all([await listening.has_heard_all() for listening in self._listening])

    def _runner(self, name: str, shard: Shard) -> Runner:
        topology, workplace = self._workplace.topology, self._workplace
        if name not in topology.processors:
            return super()._runner(name, shard)
        runner = FaultyRunner(topology.processors[name], shard, workplace)
        runner.faults = self.faults
        return runner


def errors_of(error: Any, times: int, what: str) -> list[BaseException]:
    """Return what so many deliveries raise: `error`, an exception or a class of them. Raises
    ApplicationError.
    """
    if times < 1:
        raise ApplicationError(f"{what} fails {times} times: at least once is possible")
    made = error
    if isinstance(error, type) and issubclass(error, Exception):
        try:
            made = error(f"{what} is to fail")
        except TypeError:
            raise ApplicationError(
                f"{error.__name__} takes other arguments than a text: give one, as error={error.__name__}(…)"
            ) from None
    if not isinstance(made, Exception):
        raise ApplicationError(f"error={error!r} is no exception that a handler could raise")
    return [made] * times
