"""Transitions: what `settle.lua` applies, as typed Python values.

An item names itself and, right after, its key or keys.
`packed` collects the keys for the script's KEYS.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from hybrid.codec import pack_for_script

APPLIED, ALREADY_HANDLED, CHECK_FAILED = 1, 0, -1

Item = Sequence[Any]
_KEYS = {
    "await": 2,
    "result": 2,
    "expect": 3,
    "arrive": 3,
    "release": 3,
    "readmit": 3,
    "unpaused": 1,
    "keep": 2,
    "hear": 3,
    "listen": 4,
    "unlisten": 2,
}
"""How many keys an item names, where it is more than one."""


class Transition(NamedTuple):
    """One atomic change: checks (read only), claims (at least one must succeed), effects."""

    checks: Sequence[Item] = ()
    claims: Sequence[Item] = ()
    effects: Sequence[Item] = ()


class Wake(NamedTuple):
    """The wake-up that a flow's last awaited result puts on its mediator's queue."""

    queue: str
    counter: str
    fields: list[Any]


class Turn(NamedTuple):
    """A message's place in the order of its key: the gate, what is held, where it comes back, the place
    (CHANNEL|KEY), and the id that the place is taken by: the origin of the message in work.
    """

    gate: str
    held: str
    own: str
    place: bytes
    origin: bytes


def version(flow: str, expected: int) -> Item:
    """Check: the flow's record is still the one that was read (0: there is none)."""
    return "version", flow, str(expected)


def awaited(flow: str, run: int, step: int) -> Item:
    """Check: the flow goes on, and this step of this run has no result yet."""
    return "awaited", flow, str(run), str(step)


def still(hash: str, field: str, value: bytes) -> Item:
    """Check: a field of a hash still is what was read (b"": there is none)."""
    return "still", hash, field, value


def is_open(flow: str) -> Item:
    """Check: there is this flow, and it has not ended."""
    return "open", flow


def unpaused(pauses: str, type: str, key: str) -> Item:
    """Check: flows of this event type, and of this key (may be empty), go on."""
    return "unpaused", pauses, f"type:{type}", f"key:{key}"


def has_turn(turn: Turn) -> Item:
    """Check: it is still this message whose turn it is."""
    return "turn", turn.gate, turn.place, turn.origin


def ack(stream: str, group: str, entry: bytes, queue: bool, counter: str = "") -> Item:
    """Claim: this delivery is ours to end. Entries of queues are deleted; `counter` goes up by one."""
    return "ack", stream, group, entry, 1 if queue else 0, counter


def fire(zset: str, member: bytes) -> Item:
    """Claim: something that was scheduled."""
    return "fire", zset, member


def take(stream: str, entry: str | bytes) -> Item:
    """Claim: an entry of a stream without groups."""
    return "take", stream, entry


def new_signal(flow: str, id: str, value: bytes) -> Item:
    """Claim: a signal of this id is new to the flow; it is on its record from now on."""
    return "signal", flow, id, value


class Waiting(NamedTuple):
    """A step that waits to hear an event: the index where it stands, the count of what events are matched by,
    how it stands in the index, and by what it matches.
    """

    waits: str
    matches: str
    member: bytes
    described: str


class Heard(NamedTuple):
    """An event that is heard by a step of a flow's run: its id, when it was broadcast (ms), on the flow's
    shard or another one; `newest` is the highest step of the flow that hears it.
    """

    flow: str
    run: int
    step: int
    newest: int
    id: str
    at: int
    elsewhere: bool


def hear(waiting: Waiting, heard: Heard) -> Item:
    """Claim: this event, broadcast since the step waits, is the first that it hears."""
    waits, matches, member, described = waiting
    flow, run, step, newest, id, at, elsewhere = heard
    return (
        "hear", waits, matches, flow, member, described, str(run), str(step), newest, id, at, int(elsewhere)
    )  # fmt: skip


def add(stream: str, counter: str, fields: list[Any]) -> Item:
    """Effect: append an entry; `counter` (may be "") goes up by one."""
    return "add", stream, counter, fields


def log(stream: str, line: bytes) -> Item:
    """Effect: write a line (msgpack) into the settle log."""
    return "log", stream, line


def schedule(zset: str, delay_ms: int, member: bytes) -> Item:
    """Effect: schedule something for `delay_ms` from now, by the server's clock."""
    return "schedule", zset, delay_ms, member


def cancel(zset: str, member: bytes) -> Item:
    """Effect: take something off the schedule."""
    return "cancel", zset, member


class Awaited(NamedTuple):
    """The steps whose results a flow waits for: those whose commands go out in the same settle (`new`), those
    whose results may be there already (`older`), and those that it waited for and does no more (`dropped`).
    """

    new: Sequence[int] = ()
    older: Sequence[int] = ()
    dropped: Sequence[int] = ()


def await_results(flow: str, fields: list[Any], awaited: Awaited, need: int, wake: Wake) -> Item:
    """Effect: write fields of the flow's record; it waits for `need` of the awaited results."""
    for step in awaited.new:
        fields += [f"result:{step}", ""]
    older, dropped = ([f"result:{step}" for step in steps] for steps in awaited[1:])
    return "await", flow, wake.queue, fields, need, older, dropped, wake.counter, wake.fields


def result(flow: str, run: int, step: str, value: bytes, wake: Wake) -> Item:
    """Effect: a step of the flow has its result."""
    return "result", flow, wake.queue, str(run), step, value, wake.counter, wake.fields


class Signalled(NamedTuple):
    """Where signals of a name meet the steps that wait for them: the flow, the schedule, the name."""

    flow: str
    timers: str
    name: str


def expect(at: Signalled, step: int, timer: bytes, wake: Wake) -> Item:
    """Effect: a step waits for a signal, until its timer (may be empty) fires; the first that no step has
    taken is its result, and takes the timer off the schedule.
    """
    return "expect", at.flow, wake.queue, at.timers, at.name, str(step), timer, wake.counter, wake.fields


def arrive(at: Signalled, id: str, wake: Wake) -> Item:
    """Effect: a signal (claimed as new) goes to the first step that waits for one, now or later."""
    return "arrive", at.flow, wake.queue, at.timers, at.name, id, wake.counter, wake.fields


def listen(waiting: Waiting, topic: str, flow: str, step: int) -> Item:
    """Effect: a step waits to hear what is broadcast from now on."""
    waits, matches, member, described = waiting
    return "listen", waits, matches, topic, flow, member, described, str(step)


def unlisten(waiting: Waiting) -> Item:
    """Effect: a step does not wait to hear anything any more."""
    return "unlisten", *waiting


def stuck(flow: str, run: int, step: str, reason: bytes) -> Item:
    """Effect: say on the flow's record why a step has no result yet."""
    return "stuck", flow, str(run), step, reason


def release(turn: Turn) -> Item:
    """Effect: a message is over, the next of its key may come."""
    return "release", *turn


def readmit(turn: Turn, fields: list[Any]) -> Item:
    """Effect: a message comes back to its component alone; it is still the first of its key."""
    return "readmit", *turn, fields


def hset(hash: str, fields: list[Any]) -> Item:
    """Effect: set fields [name, value, …] of a hash."""
    return "hset", hash, fields


def overtake(flow: str) -> Item:
    """Effect: raise the version of a flow's record: a mediator that has loaded it loads it again."""
    return "overtake", flow


def keep(hash: str, copy: str, ms: int) -> Item:
    """Effect: copy a hash, as it is just now; the copy is kept for so long."""
    return "keep", hash, copy, ms


def hdel(hash: str, *fields: str) -> Item:
    """Effect: delete fields of a hash."""
    return "hdel", hash, *fields


def unlink(key: str) -> Item:
    """Effect: delete a key."""
    return "unlink", key


def rpush(list: str, value: bytes) -> Item:
    """Effect: append to a list."""
    return "rpush", list, value


def zadd(zset: str, score: int, member: str | bytes) -> Item:
    """Effect: put into a sorted set."""
    return "zadd", zset, score, member


def zrem(zset: str, member: str) -> Item:
    """Effect: take out of a sorted set."""
    return "zrem", zset, member


def count(counters: str, field: str, by: int = 1) -> Item:
    """Effect: count something."""
    return "count", counters, field, by


def packed(counters: str, transitions: Sequence[Transition]) -> tuple[list[str], bytes]:
    """Return the script's KEYS (the counters first) and its packed batch."""
    keys = {counters: None}
    for transition in transitions:
        for part in transition:
            for item in part:
                keys[item[1]] = None
                if (number := _KEYS.get(item[0])) is not None:
                    keys |= dict.fromkeys(item[2 : number + 1])
    return list(keys), pack_for_script(transitions)
