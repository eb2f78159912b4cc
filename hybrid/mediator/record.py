"""A flow's record: everything a mediator needs to know to go on with it. Stands as a hash in Redis.

type class rule reason key corr trace     of the initiating event
event, schema                             its data and schema version
mediator, code                            who carries it out, and the version of the function it started on
version                                   raised by every advance; who comes with an older one loads again
run, state, started, ended (ms)           state: see below; it is over when `ended` is there
need                                      how many results are awaited
step:N                                    msgpack Issued, without what goes without saying (a command)
result:N                                  msgpack Result; empty while it is awaited
value:N                                   msgpack [what flow.now(), random() or uuid() gave, steps before]
undo:N                                    msgpack Compensation, registered and not yet sent
fixed                                     there when a person has put a result right
ending                                    msgpack Ending: how it ends when everything is undone
paused, asked                             msgpack Deed: who paused it; who asked that it be cancelled
parent                                    msgpack [flow, run, step, mediator] of the flow whose child it is
signal:ID                                 msgpack Result, of a signal; empty when a step has taken it
untaken:NAME                              ids of the signals of a name that no step has taken, oldest first
waiting:NAME                              numbers of the steps that wait for a signal of a name
timer:N                                   of those with a timeout, what stands in the schedule
task:N                                    msgpack Task: what step N asks people, and who has claimed it
patch:NAME                                msgpack [what flow.patched(NAME) gave, steps before]
wait:N                                    of a step that waits to hear an event: since when (ms), on its own
                                          shard and on others
heard:ID                                  of an event that was heard: the newest step that could hear it then
stuck:N, error                            why step N, or the flow itself, does not go on
outcome                                   msgpack [type, schema, data] of the event it ended with
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hybrid.codec import pack, unpack

RUNNING, COMPLETED, REFUSED, FAILED = "running", "completed", "refused", "failed"
UNDOING, CANCELLED, PROMOTED = "undoing", "cancelled", "promoted"
"""The states of flows. A failed one waits at the desk, unless it has ended; a promoted one goes on elsewhere,
so that no flow stays in that state."""
IN_REPAIR = "in repair by "
"""How a stuck step's reason begins while a program tries to repair the command."""
COMMAND, TIMER, SIGNAL, CHILD, UNDO = "command", "timer", "signal", "child", "undo"
WAIT, CANCEL_ON = "wait", "cancel-on"
"""The kinds of steps: a command is acknowledged by its processor, a timer fires, a signal comes from
outside, a child is another flow, an undo is a command that makes up for what was done; a wait hears an event
that somebody broadcasts, and so does what the flow is cancelled on, which has no result."""
TASK, ANSWERED = "task", "answered"
"""A step that asks people, and its result when somebody has answered."""
REPLY, NOTHING, TIMEOUT, GIVEN_UP = "reply", "nothing", "timeout", "given-up"
FIRED, SIGNALLED, HEARD = "fired", "signalled", "heard"
"""The kinds of results. That of a child which was not completed is the state in which it ended."""


class Deed(NamedTuple):
    """What a person, or a program, has done with a flow: who, why, when (ms), and by which rule (`type:TYPE`
    or `key:KEY`) if it was done with all of a kind.
    """

    who: str
    why: str
    at: int
    rule: str = ""

    def __str__(self) -> str:
        return f"by {self.who}" + (f": {self.why}" if self.why else "")

    def packed(self) -> bytes:
        """Return it as it stands in the record."""
        return pack(tuple(self))


class Compensation(NamedTuple):
    """A command that a flow has registered with `flow.undo`, and after how many steps."""

    type: str
    schema: int
    data: bytes
    key: str
    after: int


class Ending(NamedTuple):
    """How a flow ends once everything is undone: in a state, with an event (type, schema, data, key) that is
    broadcast if it is news, or why without one. One that is promoted goes on as `event_class` with
    `mediator`. `at_once`: nothing is waited for, or undone.
    """

    state: str
    event: tuple[str, int, bytes, str] | None = None
    is_news: bool = True
    why: str = ""
    event_class: str = ""
    mediator: str = ""
    at_once: bool = False

    def packed(self) -> bytes:
        """Return it as it stands in the record."""
        return pack(tuple(self))


class Result(NamedTuple):
    """How a step ended: by a reply, by nothing (acknowledged without one), by timeout, given up, fired (a
    timer), signalled, or heard: then `by` is the event's id. Times in ms.
    """

    kind: str
    type: str = ""
    schema: int = 1
    data: bytes = b""
    by: str = ""
    attempt: int = 1
    taken: int = 0
    done: int = 0

    @property
    def said(self) -> Any:
        """What a signal carries, JSON-ready; of an answer [choice, note, data]."""
        return unpack(self.data)

    def packed(self) -> bytes:
        """Return it as it stands in the record."""
        return pack(tuple(self))


class Issued(NamedTuple):
    """A step on record: its name (of a command its type), a checksum of the command's data, when it was
    issued, and after what time (ms, 0: none) it times out, or fires; the schema version of what it sent.
    """

    name: str
    checksum: int
    sent: int
    timeout: int = 0
    kind: str = COMMAND
    schema: int = 1
    match: tuple[str, str, bytes] | None = None
    """Of what waits to hear an event: a Match (see waits.py)."""

    @property
    def label(self) -> str:
        """What people call it."""
        kind = self.kind.replace("-", " ")
        return self.name if self.kind in (COMMAND, TIMER) else f"{kind} {self.name}"

    @property
    def is_from_outside(self) -> bool:
        """Whether its result comes from outside only, at any time: a signal or a task without a timeout."""
        return self.kind in (SIGNAL, TASK) and not self.timeout

    def packed(self) -> bytes:
        """Return it as it stands in the record: that it is a command of version 1 goes without saying."""
        if self.match:
            return pack(tuple(self))
        return pack(self[:6] if self.schema != 1 else self[:5] if self.kind != COMMAND else self[:4])


@dataclass(slots=True)
class FlowRecord:
    """A flow as it is on record."""

    id: str
    facts: dict[str, str] = field(default_factory=dict)
    begun: bool = False
    """Whether its mediator has taken its event."""
    event: bytes = b""
    steps: dict[int, Issued] = field(default_factory=dict)
    results: dict[int, Result] = field(default_factory=dict)
    values: dict[int, tuple[Any, int]] = field(default_factory=dict)
    """What flow.now() and its like gave, and after how many steps."""
    undos: dict[int, Compensation] = field(default_factory=dict)
    ending: Ending | None = None
    paused: Deed | None = None
    asked: Deed | None = None
    parent: tuple[str, int, int, str] | None = None
    patches: dict[str, tuple[bool, int]] = field(default_factory=dict)
    """What flow.patched() gave, and after how many steps."""
    waits: set[int] = field(default_factory=set)
    stuck: dict[int, str] = field(default_factory=dict)
    signals: dict[str, Result | None] = field(default_factory=dict)
    """The signals that came, by id; None for one that a step has taken."""
    untaken: dict[str, list[str]] = field(default_factory=dict)
    """The ids of the others, by name, oldest first."""
    heard: list[str] = field(default_factory=list)
    """The ids of the events that it has heard."""
    tasks: dict[int, bytes] = field(default_factory=dict)
    """What steps ask people, packed as it stands on record."""
    outcome: tuple[str, int, bytes] | None = None
    counted: str = ""
    """The version of its mediator's flow under which it is counted as running; "" when it is not."""

    @property
    def version(self) -> int:
        """The record's version; 0 when there is no record yet."""
        return int(self.facts.get("version", 0))

    @property
    def run(self) -> int:
        """The run, from 1."""
        return int(self.facts.get("run", 1))

    @property
    def schema(self) -> int:
        """The schema version of the initiating event's data."""
        return int(self.facts.get("schema", 1))

    @property
    def state(self) -> str:
        """One of the states above."""
        return self.facts.get("state", RUNNING)

    @property
    def outstanding(self) -> set[int]:
        """The steps that were issued and whose result is not known."""
        unknown = self.steps.keys() - self.results.keys()
        return {number for number in unknown if self.steps[number].kind != CANCEL_ON}

    @property
    def undoing(self) -> set[int]:
        """The steps by which it is being undone just now: one at the most, also when no more is to come."""
        return {number for number in self.outstanding if self.steps[number].kind == UNDO}

    @property
    def failed(self) -> dict[int, str]:
        """The steps that do not go on until a person has looked, and why: stuck, and not in repair."""
        return {step: why for step, why in self.stuck.items() if not why.startswith(IN_REPAIR)}

    @property
    def ended(self) -> bool:
        """Whether it is over for good."""
        return "ended" in self.facts

    def advance(self, issued: dict[int, Issued], waits: Iterable[int]) -> None:
        """Take up what an advance has put on record of a flow that goes on."""
        self.facts["version"] = str(self.version + 1)
        self.begun = True
        self.counted = self.facts["code"]
        self.steps |= issued
        self.waits = set(waits)

    def take_results(self, fields: dict[bytes, bytes]) -> None:
        """Take up the results that have come, of these fields of the hash."""
        for number in self.outstanding:
            if value := fields.get(b"result:%d" % number):
                self.results[number] = Result(*unpack(value))

    @classmethod
    def read(cls, id: str, fields: dict[bytes, bytes]) -> FlowRecord:
        """Return the record of a hash as Redis gives it."""
        record = cls(id)
        for raw, value in fields.items():
            name, _, number = raw.decode().partition(":")
            if number:
                record._member(name, number, value)
            elif name == "event":
                record.event = value
            elif read := _FACTS.get(name):
                setattr(record, name, read(unpack(value)))
            else:
                record.facts[name] = value.decode()
        record.begun = "type" in record.facts
        record.counted = "" if record.ended or record.ending else record.facts.get("code", "")
        return record

    def _member(self, name: str, of: str, value: bytes) -> None:
        if name == "result" and not value:
            self.waits.add(int(of))
        elif of_step := _BY_NUMBER.get(name):
            members, read = of_step
            getattr(self, members)[int(of)] = read(value)
        elif name == "patch":
            self.patches[of] = tuple(unpack(value))
        elif name == "signal":
            self.signals[of] = Result(*unpack(value)) if value else None
        elif name == "heard":
            self.heard.append(of)
        elif name == "untaken":
            self.untaken[of] = value.decode().split()


_BY_NUMBER: dict[str, tuple[str, Callable[[bytes], Any]]] = {
    "result": ("results", lambda value: Result(*unpack(value))),
    "step": ("steps", lambda value: Issued(*unpack(value))),
    "value": ("values", lambda value: tuple(unpack(value))),
    "undo": ("undos", lambda value: Compensation(*unpack(value))),
    "stuck": ("stuck", bytes.decode),
    "task": ("tasks", bytes),
}
"""The fields of a record that have a number: the member of FlowRecord where they go, and as what."""
_FACTS: dict[str, Callable[[Any], Any]] = {
    "outcome": tuple,
    "parent": tuple,
    "ending": lambda packed: Ending(*packed),
    "paused": lambda packed: Deed(*packed),
    "asked": lambda packed: Deed(*packed),
}
"""The facts of a record that are packed, and what is made of them."""
