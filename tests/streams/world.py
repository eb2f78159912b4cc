"""A small world on the real scripts, for protocol tests: clients, mediators, workers, time, operators.

Every job that an actor does is a coroutine which stops before each call to the server. Whoever drives the
world decides for each stop: the call is made; its reply, or it itself, is lost on the way; the actor dies,
or loses its lease and goes on late. So a schedule is a list of small decisions, and the actors' programs
read as the real ones do. The programs follow design.md; the handlers' outcomes are written in the commands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable
from contextlib import suppress
from typing import Any, NamedTuple
from zlib import crc32

from hybrid.codec import pack, unpack
from hybrid.envelope import Envelope, from_fields, to_fields
from hybrid.ids import command_id, derived_id
from hybrid.keys import QUEUE_GROUP, Keys
from hybrid.streams.queries import Queries
from hybrid.streams.scripts import Entries, Scripts, Send, entries_of
from hybrid.streams.transitions import (
    Awaited,
    Item,
    Transition,
    Wake,
    ack,
    add,
    await_results,
    cancel,
    count,
    fire,
    hdel,
    hset,
    log,
    result,
    rpush,
    schedule,
    stuck,
    take,
    version,
    zadd,
    zrem,
)

MEDIATOR = "m"
COMMANDS = ("pay", "ship")
"""Processors, each with one command of its own name."""
GROUPS = ("mail", "audit")
"""Processors that are groups of the topic."""
FOREVER = 10**9

Plan = list[tuple[int, list[tuple[str, list[str], bool]]]]
"""A flow: per stage how many results it needs, and its commands (type, outcome per attempt, with timeout)."""


class Lost(Exception):
    """No reply: the call may have been made or not."""


class Call:
    """One call to the server, as an actor asks for it."""

    def __init__(self, make: Callable[[], Awaitable[Any]]) -> None:
        self.make = make

    def __await__(self) -> Generator[Call, Any, Any]:
        return (yield self)


Job = Coroutine[Call, Any, None]


class Actor:
    """A process: its consumer's name, and the job that it is at."""

    def __init__(self, name: str, kind: str) -> None:
        self.name, self.kind = name, kind
        self.job: Job | None = None
        self.call: Call | None = None

    def advance(self, reply: Any = None, lost: bool = False) -> None:
        """Go on to the next call, or to the end of the job."""
        assert self.job is not None
        try:
            self.call = self.job.throw(Lost()) if lost else self.job.send(reply)
        except StopIteration:
            self.job = self.call = None


class Unit(NamedTuple):
    """A delivery as an actor holds it: where it lies, who is to do it, and what it is."""

    stream: str
    group: str
    entry: bytes
    processor: str
    envelope: Envelope
    data: bytes

    def ack(self, keys: Keys, counter: str) -> Item:
        """Claim it."""
        return ack(self.stream, self.group, self.entry, self.stream != keys.topic("done"), counter)


class World:
    """One shard and those who work on it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, client: Any, keys: Keys) -> None:
        self.loop, self.link, self.client, self.keys = loop, client, client.plain, keys
        self.scripts, self.queries = Scripts(client, "test"), Queries(client, "test", self.keys.counters)
        self.topic = keys.topic("done")
        self.queues = {keys.own(MEDIATOR): MEDIATOR}
        self.queues |= {keys.command(name): name for name in COMMANDS}
        self.queues |= {keys.own(name): name for name in (*COMMANDS, *GROUPS)}
        self.born = 0
        self.actors = [self.new(kind) for kind in ("mediator", "mediator", "worker", "worker", "clerk")]
        self.late: list[Actor] = []
        """Without a lease, but with a job that goes on."""
        self.sent: dict[str, Plan] = {}
        self.forgotten: set[str] = set()
        self.doubled: set[str] = set()
        self.broadcasts: list[str] = []
        self.tail = "0"
        self.replayed: set[str] = set()
        """Groups of the topic that were lost: what they settled since their mark comes again."""
        self.watch: Callable[[], None] = lambda: None
        """Called after each whole job."""
        self.spill = False
        """Whether the mediators leave out what the plan says about failures: for the end."""
        self.run(self.prepare())

    # -- driving ---------------------------------------------------------------------------------------------

    def run(self, awaitable: Awaitable[Any]) -> Any:
        """Await something on the world's loop."""
        return self.loop.run_until_complete(awaitable)

    async def prepare(self) -> None:
        for stream in self.queues:
            await self.client.xgroup_create(stream, QUEUE_GROUP, id="0", mkstream=True)
        for group in GROUPS:
            await self.register(group)

    async def register(self, group: str) -> int:
        keys = [self.topic, self.keys.groups, self.keys.counters]
        return await self.scripts.register(keys, group, "topic:done", "0")

    def new(self, kind: str) -> Actor:
        """Start a process, with a lease."""
        self.born += 1
        actor = Actor(f"{kind}-{self.born}", kind)
        self.run(self.client.set(self.keys.lease(actor.name), "1"))
        return actor

    def begin(self, actor: Actor, job: Job) -> None:
        """Give an idle actor something to do."""
        assert actor.job is None
        actor.job = job
        actor.advance()

    def step(self, actor: Actor, how: str = "made") -> None:
        """Decide about the actor's next call: made, its reply lost (`deaf`), or it itself lost (`mute`)."""
        if actor.call is None:
            return
        reply = self.run(actor.call.make()) if how != "mute" else None
        actor.advance(reply, lost=how != "made")

    def finish(self, actor: Actor) -> None:
        """Make all calls to the end of the job."""
        while actor.job is not None:
            self.step(actor)

    def do(self, actor: Actor, job: Job) -> None:
        """Do a whole job."""
        self.begin(actor, job)
        self.finish(actor)
        self.watch()

    def errand(self, job: Job) -> None:
        """Have the clerk begin something, after what it is at."""
        try:
            self.finish(self.actors[4])
        except BaseException:
            job.close()
            raise
        self.begin(self.actors[4], job)

    def crash(self, actor: Actor) -> None:
        """The process dies here and now, and another starts in its place; its lease is over."""
        if actor.job is not None:
            actor.job.close()
        actor.job = actor.call = None
        self.freeze(actor)

    def freeze(self, actor: Actor) -> None:
        """The process loses its lease, and goes on with its job some time later."""
        self.run(self.client.delete(self.keys.lease(actor.name)))
        self.actors[self.actors.index(actor)] = self.new(actor.kind)
        if actor.job is not None:
            self.late.append(actor)

    def lose_group(self, group: str) -> None:
        """Somebody destroys a group of the topic; the next to look finds it missing."""
        self.run(self.client.xgroup_destroy(self.topic, group))
        assert self.run(self.register(group)) == 2
        self.replayed.add(group)

    def job_for(self, actor: Actor, what: int, most: int) -> Job:
        """Return one of the things that such an actor does of itself."""
        if actor.kind == "clerk":
            return self.keep_time()
        return self.take_over(actor, most) if what % 4 == 0 else self.work(actor, what, most)

    def drain(self) -> None:
        """Let everybody who is late die, and the others finish whatever there is."""
        self.spill = True
        self.close()
        for actor in [*self.actors]:
            self.freeze(actor)
        for _ in range(40):
            before = self.run(self.measure())
            for actor in self.actors:
                self.all_of_it(actor)
            if before == self.run(self.measure()):
                return
        raise AssertionError("there is no end to it")

    async def measure(self) -> list[Any]:
        """Return numbers that change whenever something happens."""
        streams = [*self.queues, self.keys.log, *map(self.keys.failed, (*COMMANDS, *GROUPS))]
        return [await self.client.hgetall(self.keys.counters), *await self.queries.lengths(streams)]

    def close(self) -> None:
        """End all jobs where they are."""
        for actor in [*self.actors, *self.late]:
            if actor.job is not None:
                actor.job.close()
                actor.job = actor.call = None
        self.late.clear()

    def all_of_it(self, actor: Actor) -> None:
        if actor.kind == "clerk":
            self.do(actor, self.keep_time())
            for name in (*COMMANDS, *GROUPS):
                self.do(actor, self.decide_failed(name, True))
            return
        self.do(actor, self.take_over(actor, 100))
        for where in range(len(self.choices(actor))):
            self.do(actor, self.work(actor, where, 100))

    # -- clients and operators -------------------------------------------------------------------------------

    def start_of(self, id: str) -> list[Any]:
        return to_fields(Envelope(id, "start", time=1), pack(self.sent[id]))

    async def send(self, id: str, plan: Plan) -> None:
        """A client sends an initiating event; an id that was sent before goes with its first plan."""
        self.sent.setdefault(id, plan)
        keys = self.keys
        new = Send.of(id, keys.own(MEDIATOR), "entered:own:m", self.start_of(id))
        seen = [keys.counters, keys.seen_new, keys.seen_old, keys.scheduled]
        await self.retried(lambda: self.scripts.send(seen, (FOREVER, 1000), [new]))

    async def send_past_window(self, id: str) -> None:
        """The same id comes again when the store has forgotten that it was sent."""
        if id not in self.sent or id in self.forgotten:
            return
        self.doubled.add(id)
        again = Transition(effects=[add(self.keys.own(MEDIATOR), "entered:own:m", self.start_of(id))])
        with suppress(Lost):
            await Call(lambda: self.scripts.settle(self.keys.counters, [again]))

    async def restart(self, id: str) -> None:
        """An operator starts a flow again, as a new run."""
        keys, flow = self.keys, self.keys.flow(id)
        record = await self.read(self.queries.hash, flow)
        if not record:
            return
        old = [name.decode() for name in record if name.partition(b":")[0] in (b"result", b"wait", b"stuck")]
        old += ["need", "ended"]
        number, run = int(record[b"version"]), int(record[b"run"])
        await self.settled(
            [
                Transition(
                    checks=[version(flow, number)],
                    effects=[
                        hdel(flow, *old),
                        hset(flow, ["version", str(number + 1), "run", str(run + 1), "stage", "0"]),
                        zadd(keys.flows, 1, id),
                        add(keys.own(MEDIATOR), "entered:own:m", self.wake(id).fields),
                    ],
                )
            ]
        )

    async def decide_failed(self, processor: str, again: bool) -> None:
        """An operator looks at the failed deliveries of a processor: try again, or give up."""
        stream = self.keys.failed(processor)
        entries = await self.read(self.queries.range, stream)
        transitions = []
        for entry, fields in entries[:2]:
            envelope = from_fields(fields, entry)
            if again:
                effects = [add(self.keys.own(processor), "", again_fields(envelope, fields[b"data"]))]
            else:
                effects = [
                    count(self.keys.counters, f"discarded:{processor}"),
                    *self.outcome(envelope, "given-up"),
                ]
                effects.append(self.logged(processor, envelope.id, "discarded"))
            transitions.append(Transition(claims=[take(stream, entry)], effects=effects))
        await self.settled(transitions)

    async def forget(self) -> None:
        """Housekeeping: the record of the flow that ended longest ago goes."""
        ended = await self.read(self.queries.range, self.keys.outcomes)
        flows = [(entry, fields[b"id"].decode()) for entry, fields in ended[:1]]

        async def forgotten() -> None:
            past = [(e, f) for e, f in flows if f not in self.doubled]  # a second start would start it anew
            self.forgotten |= {flow for _, flow in past}
            keys = [(e, b"1", self.keys.flow(f), self.keys.history(f)) for e, f in past]
            await self.scripts.forget(self.keys.outcomes, keys)

        await self.retried(forgotten)

    async def retain(self, most: int) -> None:
        """Housekeeping: the topic is trimmed."""
        keys = [self.topic, self.keys.groups, self.keys.counters]
        for group in GROUPS:
            keys += [self.keys.gate(group), self.keys.held(group), self.keys.own(group)]
        limits = (most, 1 << 30, FOREVER, 1 << 30)

        async def seen_and_trimmed() -> None:
            await self.note_broadcasts()
            await self.scripts.retain(keys, "topic:done", limits, [*GROUPS])

        await self.retried(seen_and_trimmed)

    async def note_broadcasts(self) -> None:
        """Write down what was broadcast, before it may be trimmed."""
        for entry, fields in await self.queries.range(self.topic, f"({self.tail}"):
            self.broadcasts.append(fields[b"id"].decode())
            self.tail = entry.decode()

    async def keep_time(self) -> None:
        """Timers and retries that are due."""
        keys = self.keys
        names = (*COMMANDS, *GROUPS)
        queues = [keys.timers, *map(keys.later, names)]
        timers, *later = (await self.read(self.scripts.due, keys.counters, queues, 3)).members
        transitions = []
        for member in timers:
            flow, run, step = member.decode().split("/")
            envelope = Envelope(
                member.decode(), "timer", flow=flow, run=int(run), step=int(step), reply=MEDIATOR
            )
            transitions.append(
                Transition(claims=[fire(keys.timers, member)], effects=self.outcome(envelope, "timeout")[:1])
            )
        for name, members in zip(names, later, strict=True):
            transitions += [
                Transition(
                    claims=[fire(keys.later(name), member)], effects=[add(keys.own(name), "", unpack(member))]
                )
                for member in members
            ]
        await self.settled(transitions)

    # -- reading ---------------------------------------------------------------------------------------------

    async def work(self, actor: Actor, where: int, most: int) -> None:
        """Read one group's streams and do what comes."""
        choices = self.choices(actor)
        group, streams = choices[where % len(choices)]
        try:
            entries = await Call(lambda: self.read_group(actor.name, group, streams, ">", most))
        except Lost:
            entries = await self.read(self.read_group, actor.name, group, streams, "0", 100)
        await self.attend(actor, group, entries)

    async def take_over(self, actor: Actor, most: int) -> None:
        """Look for dead consumers, and do what they left."""
        for group, streams in self.choices(actor):
            for stream in streams:
                for name, _ in await self.read(self.queries.consumers, stream, group):
                    if name != actor.name:
                        await self.take_from(actor, group, stream, name, most)

    async def take_from(self, actor: Actor, group: str, stream: str, dead: str, most: int) -> None:
        async def claimed() -> Entries | None:
            lives = any(dead == other.name for other in self.actors)
            lease = self.keys.lease(dead)
            entries = await self.scripts.takeover(stream, lease, group, dead, actor.name, most)
            assert entries is None or not lives, f"{dead} lives, but {actor.name} took from it"
            return entries

        try:
            read = [(stream, await Call(claimed) or [])]
        except Lost:
            read = await self.read(self.read_group, actor.name, group, [stream], "0", 100)
        await self.attend(actor, group, read)

    def choices(self, actor: Actor) -> list[tuple[str, list[str]]]:
        if actor.kind == "mediator":
            return [(QUEUE_GROUP, [self.keys.own(MEDIATOR)])]
        return [(QUEUE_GROUP, [*self.queues][1:]), *((group, [self.topic]) for group in GROUPS)]

    async def read_group(
        self, name: str, group: str, streams: list[str], after: str, most: int
    ) -> list[tuple[str, Entries]]:
        words = ["GROUP", group, name, "COUNT", most, "STREAMS", *streams, *[after] * len(streams)]
        reply = await self.link.raw("XREADGROUP", *words)
        return [(stream.decode(), entries_of(rows)) for stream, rows in reply or ()]

    async def attend(self, actor: Actor, group: str, read: list[tuple[str, Entries]]) -> None:
        units = []
        for stream, entries in read:
            processor = group if stream == self.topic else self.queues[stream]
            for entry, fields in entries:
                assert fields, f"{entry!r} of {stream} was trimmed before {group} settled it"
                units.append(
                    Unit(stream, group, entry, processor, from_fields(fields, entry), fields[b"data"])
                )
        if units:
            await (self.mediate(units) if actor.kind == "mediator" else self.settled(map(self.handle, units)))

    async def read(self, query: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        return await self.retried(lambda: query(*arguments))

    async def retried(self, make: Callable[[], Awaitable[Any]]) -> Any:
        """Make a call until its reply is heard."""
        while True:
            try:
                return await Call(make)
            except Lost:
                continue

    async def settled(self, transitions: Iterable[Transition]) -> list[int]:
        """As the settler does: the same batch again when the reply was lost."""
        batch = list(transitions)
        return await self.retried(lambda: self.scripts.settle(self.keys.counters, batch)) if batch else []

    # -- processors ------------------------------------------------------------------------------------------

    def handle(self, unit: Unit) -> Transition:
        """A handler runs; how that ends is written in the command, or drawn from the broadcast's id."""
        envelope, name = unit.envelope, unit.processor
        outcomes = [["ok"], ["retry", "ok"], ["fail", "ok"], ["ok"]][
            crc32(f"{name}{envelope.id}".encode()) % 4
        ]
        if envelope.flow:
            outcomes = unpack(unit.data)
        outcome = outcomes[min(envelope.attempt, len(outcomes)) - 1]
        if outcome == "retry" and not self.spill:
            member = pack(again_fields(envelope, unit.data))
            return Transition(
                claims=[unit.ack(self.keys, "")], effects=[schedule(self.keys.later(name), 0, member)]
            )
        if outcome == "fail" and not self.spill:
            effects = [add(self.keys.failed(name), "", to_fields(envelope, unit.data))]
            if envelope.flow:
                flow = self.keys.flow(envelope.flow)
                effects.append(stuck(flow, envelope.run, str(envelope.step), b"fails"))
            return Transition(claims=[unit.ack(self.keys, "")], effects=effects)
        effects = [self.logged(name, envelope.id, "done")]
        if envelope.flow:
            broadcast = Envelope(derived_id(envelope.id, name, "handler", "0"), "done", cause=envelope.id)
            effects += self.outcome(envelope, "ok")
            effects.append(add(self.topic, "entered:topic:done", to_fields(broadcast, b"")))
        return Transition(claims=[unit.ack(self.keys, f"settled:{name}")], effects=effects)

    def outcome(self, envelope: Envelope, value: str) -> list[Item]:
        """The flow's step has its result, and its timer goes."""
        if not envelope.flow:
            return []
        flow, run, step = envelope.flow, envelope.run, envelope.step
        data = f"{value}/{run}".encode()
        return [
            result(self.keys.flow(flow), run, str(step), data, self.wake(flow)),
            cancel(self.keys.timers, command_id(flow, run, step).encode()),
        ]

    def logged(self, who: str, id: str, what: str) -> Item:
        return log(self.keys.log, pack([who, id, what]))

    def wake(self, flow: str) -> Wake:
        fields = to_fields(Envelope(f"{flow}/wake", "wake", flow=flow, time=1), b"")
        return Wake(self.keys.own(MEDIATOR), "entered:own:m", fields)

    # -- mediators -------------------------------------------------------------------------------------------

    async def mediate(self, units: list[Unit]) -> None:
        """Fold the batch by flow, load the records in one go, advance; on a conflict reload and again."""
        flows: dict[str, list[Unit]] = {}
        for unit in units:
            flows.setdefault(unit.envelope.flow or unit.envelope.id, []).append(unit)
        while flows:
            ids = [*flows]
            records = await self.read(self.queries.hashes, [self.keys.flow(id) for id in ids])
            transitions = [self.advanced(id, flows[id], r) for id, r in zip(ids, records, strict=True)]
            codes = await self.settled(transitions)
            flows = {id: flows[id] for id, code in zip(ids, codes, strict=True) if code == -1}

    def advanced(self, id: str, units: list[Unit], record: dict[bytes, bytes]) -> Transition:
        """One step of a flow, from its record."""
        flow = self.keys.flow(id)
        claims = [unit.ack(self.keys, f"settled:{MEDIATOR}") for unit in units]
        starts = [unit for unit in units if unit.envelope.type == "start"]
        if not record and not starts:  # it is forgotten
            return Transition([version(flow, 0)], claims)
        number = int(record.get(b"version", 0))
        check = [version(flow, number)]
        if b"ended" in record or (record and len(starts) == len(units)):  # nothing new, or duplicates only
            return Transition(check, claims)
        plan: Plan = unpack(record[b"plan"] if record else starts[0].data)
        effects: list[Item] = []
        if not record:
            effects.append(hset(flow, ["run", "1", "plan", starts[0].data]))
            effects.append(zadd(self.keys.flows, 1, id))
        return Transition(check, claims, effects + self.progress(id, record, plan, number + 1))

    def progress(self, id: str, record: dict[bytes, bytes], plan: Plan, number: int) -> list[Item]:
        """What follows from the results: the next stage, the same once more, or the end."""
        flow = self.keys.flow(id)
        run, issued = int(record.get(b"run", 1)), int(record.get(b"stage", 0))
        stage = reached(plan, record)
        fields = ["version", str(number), "stage", str(max(issued, stage + 1))]
        if stage == len(plan):
            ended = add(self.keys.outcomes, "", ["id", id])
            return [hset(flow, [*fields, "ended", "1"]), zrem(self.keys.flows, id), ended]
        need, commands = plan[stage]
        first = steps_before(plan, stage) + 1
        steps = [first + n for n in range(len(commands))]
        waits = {int(name.partition(b":")[2]) for name, result in record.items() if is_wait(name, result)}
        dropped = sorted(waits.difference(steps))
        awaited = Awaited((), steps, dropped) if stage < issued else Awaited(steps, (), dropped)
        new = [await_results(flow, fields, awaited, need, self.wake(id))]
        if stage < issued:  # woken up for nothing
            return new
        for step, (type, outcomes, timed) in enumerate(commands, first):
            command = Envelope(command_id(id, run, step), type, flow=id, run=run, step=step, reply=MEDIATOR)
            fields = to_fields(command, pack(outcomes))
            new.append(add(self.keys.command(type), f"entered:command:{type}", fields))
            new.append(rpush(self.keys.history(id), command.id.encode()))
            if timed:
                new.append(schedule(self.keys.timers, 0, command.id.encode()))
        return new


def is_wait(name: bytes, value: bytes) -> bool:
    """Tell whether this field of a flow's record says that a result is awaited."""
    return name.startswith(b"result:") and not value


def reached(plan: Plan, record: dict[bytes, bytes]) -> int:
    """Return the first stage without enough results."""
    for stage, (need, commands) in enumerate(plan):
        first = steps_before(plan, stage) + 1
        if sum(bool(record.get(f"result:{first + n}".encode())) for n in range(len(commands))) < need:
            return stage
    return len(plan)


def steps_before(plan: Plan, stage: int) -> int:
    """Return how many steps the stages before this one have."""
    return sum(len(commands) for _, commands in plan[:stage])


def again_fields(envelope: Envelope, data: bytes) -> list[Any]:
    """Return the fields of the next attempt."""
    return to_fields(envelope._replace(attempt=envelope.attempt + 1), data)
