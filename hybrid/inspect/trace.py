"""Traces: all that an initiating event led to, as a tree by cause: a message, who handled it, what these sent
in turn. It is put together from the flow's record, the settle log, and what queues and topics still keep.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from hybrid.broker import log as outcomes
from hybrid.broker.failures import Failure
from hybrid.broker.shard import Shard, Store
from hybrid.envelope import Envelope, from_fields
from hybrid.errors import FlowError
from hybrid.ids import command_id, derived_id
from hybrid.inspect import flows
from hybrid.inspect.flows import WAITING, FlowSummary, LogLine, entries_of_log
from hybrid.inspect.ledger import ChannelLedger, ledger
from hybrid.inspect.shown import visible
from hybrid.mediator.record import FAILED, NOTHING, REPLY, RUNNING, FlowRecord
from hybrid.topology import Topology

EVENT, COMMAND, BROADCAST = "event", "command", "broadcast"  # what a message is; an event: an initiating one
KINDS = {kind: kind for kind in (EVENT, COMMAND, *flows.MEANWHILE)} | {"topic": BROADCAST}
AROUND = 50
"""A settle and what it sends have one time, on some servers two: channels are read so long (ms) around it."""
MOST = 5_000  # entries that one read of a channel returns
SPANS = 100
"""How many reads of a channel there are at most: settles that are near to one another share one."""
DEEPEST = 40  # messages deep a trace goes


@dataclass(frozen=True, slots=True)
class Attempt:
    """One delivery, settled. Times in ms."""

    number: int
    outcome: str
    taken: int
    settled: int
    consumer: str
    note: str


@dataclass(frozen=True, slots=True)
class Handling:
    """What a component did with a message. `state`: the last outcome, a flow's state, waiting or running."""

    component: str
    state: str
    note: str
    attempts: tuple[Attempt, ...]
    sent: tuple[Traced, ...]


@dataclass(frozen=True, slots=True)
class Traced:
    """One message, and who handled it. Times in ms, 0 for none; `data` is None when it is kept no longer."""

    id: str
    type: str
    kind: str
    sent: int
    source: str
    cause: str
    step: int
    deadline: int
    data: Any
    note: str
    handlings: tuple[Handling, ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """The whole story of the message `id`, as of `at` (ms, by the server's clock). `root` is its initiating
    event, or what was sent past the mediators; `missing` is what can't be told.
    """

    id: str
    at: int
    root: Traced
    flow: FlowSummary | None
    classified: str
    missing: tuple[str, ...]


async def trace(store: Store, topology: Topology, id: str) -> Trace:
    """Return the trace of a flow, an initiating event, a command (FLOW/RUN/STEP) or a broadcast, by its id.

    Raises FlowError when nothing of that id is found, ServerUnavailable.
    """
    shard, root, moment = await _origin(store, topology, id)
    return await _Gathering(store, shard, topology, root).trace(id, moment)


async def _origin(store: Store, topology: Topology, id: str) -> tuple[Shard, str, int]:
    """Return the shard of a message, its initiating event's id, and when (ms) something of it happened."""
    flow = id.partition("/")[0]
    for shard in store.shards:
        if fields := await shard.queries.hash(shard.keys.flow(flow)):
            return shard, flow, int(fields.get(b"sent", b"0"))
    oldest: list[int] = []
    for shard in store.shards:
        for search in (_in_log, _in_channels):
            root, moment = await search(shard, topology, id)
            if root:
                return shard, root, moment
            oldest += [moment] if moment else []
    back = datetime.fromtimestamp(min(oldest, default=0) / 1000, UTC)
    log = f"searched back to {back:%Y-%m-%d %H:%M:%S} UTC" if oldest else "which is empty"
    raise FlowError(
        f"no message {id}: no flow has this id, nor is it in the settle log, {log}, nor among the newest"
        f" {MOST:,} entries of each queue and topic. It has never existed, or was forgotten (see retention)"
    )


async def _in_log(shard: Shard, topology: Topology, id: str) -> tuple[str, int]:
    """Return the initiating event of what the settle log tells, and when; "" and how far it was searched."""
    last, moment = "+", 0
    for _ in range(flows.LOG_PAGES):
        entries = await shard.queries.newest(shard.keys.log, last, flows.PAGE)
        for line in entries_of_log([each for each in entries if id.encode() in each[1][b"e"]]):
            if id and id in (line.message, line.flow, line.correlation):
                return line.flow or line.correlation or id, line.settled
        moment = int(entries[-1][0].split(b"-")[0]) if entries else moment
        if len(entries) < flows.PAGE:
            break
        last = f"({entries[-1][0].decode()}"
    return "", moment


async def _in_channels(shard: Shard, topology: Topology, id: str) -> tuple[str, int]:
    """Return the initiating event of a message that stands in a channel, and when it was sent; or ""."""
    for channel in await _channels(shard, topology):
        for entry, fields in await shard.queries.newest(shard.keys.prefix + channel, most=MOST):
            if fields.get(b"id") == id.encode() and (envelope := _envelope(entry, fields)):
                return envelope.correlation or id, envelope.time
    return "", 0


async def _channels(shard: Shard, topology: Topology) -> dict[str, int]:
    """Return the channels and how much has entered each; of the components' own that is not told."""
    counters = await shard.queries.hash(shard.keys.counters)
    counted = [(*name.decode().partition(":"), int(count)) for name, count in sorted(counters.items())]
    entered = {name: count for what, _, name, count in counted if what == "entered" and name[:4] != "own:"}
    return entered | {f"own:{name}": 0 for name in topology.names}


def _envelope(entry: bytes, fields: dict[bytes, bytes]) -> Envelope | None:
    """Return the envelope of an entry; None for a wake-up, and for what is no message of ours."""
    try:
        return from_fields(fields, entry)
    except (KeyError, ValueError):
        return None


def _spans(times: set[int]) -> list[tuple[str, str]]:
    """Return spans of time around these times (ms), those that are near to one another as one."""
    spans: list[list[int]] = []
    gap = max(2 * AROUND, (max(times) - min(times)) // SPANS)
    for ms in sorted(times):
        if spans and ms <= spans[-1][1] + gap:
            spans[-1][1] = ms
        else:
            spans.append([ms, ms])
    return [(str(first - AROUND), str(last + AROUND)) for first, last in spans]


@dataclass(slots=True)
class _Known:
    """What is known of one message; in `open`, of components not done with it, the state and a note."""

    envelope: Envelope
    channel: str = ""
    data: Any = None
    note: str = ""
    lines: dict[str, list[LogLine]] = field(default_factory=lambda: defaultdict(list))
    open: dict[str, tuple[str, str]] = field(default_factory=dict)


class _Gathering:
    """Gathers what is known of an initiating event and of all that it led to."""

    def __init__(self, store: Store, shard: Shard, topology: Topology, root: str) -> None:
        self.store, self.shard, self.topology, self.root = store, shard, topology, root
        self.queries, self.keys, self.catalog = shard.queries, shard.keys, topology.catalog
        self.known = {root: _Known(Envelope(root, "?"))}
        self.record: FlowRecord | None = None
        self.missing: list[str] = []

    async def trace(self, id: str, moment: int) -> Trace:
        """Read all, and return the trace. Raises FlowError when the message is not in it."""
        fields = await self.queries.hash(self.keys.flow(self.root))
        log = await flows.deliveries(self.shard, self.root, int(fields.get(b"sent", b"0")), 0)
        for line in log:
            self._take_line(line)
        if fields:
            self.record = FlowRecord.read(self.root, fields)
            self._take_record(self.record)
        times = {moment, *(line.settled for line in log), *(k.envelope.time for k in self.known.values())}
        entered = await _channels(self.shard, self.topology)
        places = await self._read_channels(list(entered), times - {0})
        await self._look_at_failures()
        await self._look_at_places(places)
        if self.record:
            self._take_lost_replies(self.record)
        if id not in self.known:
            raise FlowError(f"no message {id}: `hybrid trace {self.root}` shows what its flow has sent")
        await self._say_what_is_missing()
        await self._say_what_was_trimmed(entered, min(times - {0}))
        root = self._traced(self.known[self.root], self._children(), 1)
        flow, now = flows.summary(self.record) if self.record else None, await self.queries.now()
        return Trace(id, now, root, flow, self._classified(), tuple(self.missing))

    def _take(self, envelope: Envelope, channel: str) -> _Known:
        known = self.known.setdefault(envelope.id, _Known(envelope))
        known.envelope = envelope
        if known.channel[:6] != "event:" and not (known.channel and channel.startswith(("own:", "repair:"))):
            known.channel = channel
        return known

    def _take_line(self, line: LogLine) -> None:
        said = Envelope(line.message, line.type, cause=line.cause, step=line.step)
        known = self._take(said, line.channel) if line.message else self.known[self.root]  # or a wake-up
        known.lines[line.component].append(line)

    def _take_record(self, record: FlowRecord) -> None:
        """Take what the record says of the event, the steps' commands, and their results."""
        facts, root, source = record.facts, self.root, record.facts.get("mediator", "")
        event = Envelope(root, facts.get("type", "?"), time=int(facts.get("sent", 0)))
        self._take(event, "event:").data = visible(self.catalog, event.type, record.event, record.schema)
        lines = (line for known in self.known.values() for line in _lines(known))
        done = {(line.step, line.component) for line in lines if line.outcome == outcomes.DONE}
        for n, step in record.steps.items():
            id, due = command_id(root, record.run, n), step.sent + step.timeout if step.timeout else 0
            sent = Envelope(id, step.label, cause=root, time=step.sent, source=source, expires=due, step=n)
            known, result = self._take(sent, f"{step.kind}:{step.name}"), record.results.get(n)
            known.note = flows.remark(step, result)
            if result and result.kind in (REPLY, NOTHING) and (n, result.by) not in done:
                known.lines[result.by].append(LogLine(
                    result.done, result.taken, result.by, known.channel, step.name, id, result.attempt,
                    outcomes.DONE, "", root, n, "", root, root,
                ))  # fmt: skip

    async def _read_channels(self, names: list[str], times: set[int]) -> list[tuple[str, str, str]]:
        """Take the messages that channels keep; return their places: channel, entry, message."""
        spans, since = _spans(times), [(str(min(times)), "+")]
        asked = [(name, *span) for name in names for span in (since if name[:4] == "own:" else spans)]
        reads = (self.queries.range(self.keys.prefix + name, a, b, MOST) for name, a, b in asked)
        places = []
        for (channel, _, _), entries in zip(asked, await asyncio.gather(*reads), strict=True):
            if len(entries) == MOST:
                self.missing.append(f"what is in {channel} beyond the {MOST:,} entries that were searched")
            for entry, fields in entries:
                told = _envelope(entry, fields)
                if told and self.root in (told.id, told.correlation, told.flow):
                    data = visible(self.catalog, told.type, fields.get(b"data", b""), told.version)
                    self._take(told, channel).data = data
                    places.append((channel, entry.decode(), told.id))
        return places

    async def _look_at_failures(self) -> None:
        """Find what has failed among the failures; what is not there was sent back, or given up."""
        for id, known in self.known.items():
            for name, lines in known.lines.items():
                if lines and lines[-1].outcome == FAILED and (group := lines[-1].group):
                    span, note = _spans({lines[-1].settled})[0], "it is no longer among the failures"
                    for entry, fields in await self.queries.range(self.keys.failed(group), *span, MOST):
                        found = Failure.read(group, entry, fields)
                        if id == (found.envelope.id if found.envelope else found.flow):
                            handle = f"{group}/{found.entry}" + (f"/{n}" if (n := self.shard.number) else "")
                            note = f"`hybrid failed retry {handle}` sends it back"
                    known.open[name] = FAILED, note

    async def _look_at_places(self, places: list[tuple[str, str, str]]) -> None:
        """Tell of what stands in a channel whether it waits or runs; of a topic, for each group."""
        books = [(group.group, row) for group in (await ledger(self.store, self.topology)).groups
                 if group.shard == self.shard.number for row in group.channels]  # fmt: skip
        for channel, entry, id in places:
            for group, row in books:
                settled = channel.startswith("topic:") and self.known[id].lines.get(group)
                if row.channel == channel and not settled and (state := await self._state(row, entry)):
                    note = "" if group else "no processor handles it"
                    self.known[id].open[group or "nobody"] = state, note

    async def _state(self, row: ChannelLedger, entry: str) -> str:
        """Return whether an entry waits or runs: groups take entries in order. "" when it was settled."""
        stream = self.keys.prefix + row.channel
        if not row.channel.startswith("topic:"):
            taken = await self.queries.range(stream, "-", entry, row.pending + 1)
            return RUNNING if len(taken) <= row.pending else WAITING
        untaken = await self.queries.range(stream, entry, "+", min(row.waiting, MOST) + 1)
        return WAITING if len(untaken) <= row.waiting else RUNNING if row.pending else ""

    async def _say_what_is_missing(self) -> None:
        root, first = self.known[self.root], await self.queries.range(self.keys.log, most=1)
        told = {line.outcome for line in _lines(root) if line.channel[:6] == "event:"}
        if root.channel[:6] == "event:" and not root.open and not told & {outcomes.CLASSIFIED, FAILED}:
            back = datetime.fromtimestamp(int(first[0][0].split(b"-")[0]) / 1000, UTC) if first else None
            log = f"reaches back to {back:%Y-%m-%d %H:%M:%S} UTC only" if back else "is empty"
            self.missing.append(f"what was settled before: the settle log {log}")
        if self.record is None and outcomes.STARTED in told:
            self.missing.append("the flow's record, which is forgotten (HYBRID_FLOW_MS, HYBRID_FLOW_ENTRIES)")

    async def _say_what_was_trimmed(self, entered: dict[str, int], since: int) -> None:
        trimmed = []
        for channel in [channel for channel in entered if channel[:6] == "topic:"]:
            stream = self.keys.prefix + channel
            (kept,), first = await self.queries.lengths([stream]), await self.queries.range(stream, most=1)
            if kept < entered[channel] and (not first or int(first[0][0].split(b"-")[0]) > since):
                trimmed.append(channel[6:])
        if names := ", ".join(trimmed):
            self.missing.append(f"broadcasts that nobody heard, of topics trimmed since: {names}")

    def _take_lost_replies(self, record: FlowRecord) -> None:
        """Take the broadcasts that steps were acknowledged with, and that neither a topic nor the log has."""
        steps = {id: known.envelope.step for id, known in self.known.items()}
        sent = {(steps.get(known.envelope.cause), known.envelope.type) for known in self.known.values()}
        for n, result in record.results.items():
            cause = command_id(self.root, record.run, n)
            if result.type and (n, result.type) not in sent:
                type = self.known[cause].envelope.type
                handler = self.topology.handler_of(self.catalog.named(type)) if type in self.catalog else None
                id = derived_id(cause, result.by, handler.name if handler else "", "0")
                reply = Envelope(id, result.type, cause=cause, time=result.done, source=result.by)
                self._take(reply, f"topic:{result.type}").note = "its topic keeps it no longer"

    def _children(self) -> dict[str, list[_Known]]:
        """Return the messages by cause; those whose cause is not known by the root."""
        children: dict[str, list[_Known]] = defaultdict(list)
        for known in sorted(self.known.values(), key=lambda known: (_sent(known), known.envelope.step)):
            cause = known.envelope.cause
            if known.envelope.id != self.root:
                children[cause if cause in self.known else self.root].append(known)
        return children

    def _traced(self, known: _Known, children: dict[str, list[_Known]], depth: int) -> Traced:
        told, sent = known.envelope, children[known.envelope.id] if depth < DEEPEST else []
        if depth == DEEPEST and children[told.id]:
            self.missing.append(f"what is more than {DEEPEST} messages deep: see `hybrid trace {told.id}`")
        by: dict[str, list[_Known]] = {name: [] for name in (*known.lines, *known.open)}
        if self.record and told.id == self.root:
            by.setdefault(self.record.facts["mediator"], [])
        for child in sent:
            name = child.envelope.source or _sender(known, child)
            child.envelope = child.envelope._replace(source=name)
            by.setdefault(name, []).append(child)
        handlings = [
            Handling(
                name, *self._state_of(known, name),
                tuple(Attempt(line.attempt, line.outcome, line.taken, line.settled, line.consumer, line.note)
                      for line in known.lines.get(name, ())),
                tuple(self._traced(child, children, depth + 1) for child in caused),
            )
            for name, caused in by.items()
        ]  # fmt: skip
        otherwise = EVENT if told.id == self.root else COMMAND if told.step else BROADCAST
        kind = KINDS.get(known.channel.partition(":")[0], otherwise)
        return Traced(told.id, told.type, kind, _sent(known), told.source, told.cause, told.step,
                      told.expires, known.data, known.note, tuple(handlings))  # fmt: skip

    def _state_of(self, known: _Known, component: str) -> tuple[str, str]:
        """Return how far a component is with a message, and a note."""
        lines, default = known.lines.get(component), (outcomes.DONE, "")
        if self.record and known.envelope.id == self.root and component == self.record.facts["mediator"]:
            return flows.summary(self.record).state, known.open.get(component, default)[1]
        if component in known.open or not lines:
            return known.open.get(component, default)
        last = lines[-1]
        if last.outcome in (outcomes.RETRIED, outcomes.HANDED_BACK):
            return WAITING, f"for attempt {last.attempt + 1}, after a pause"
        if last.outcome == outcomes.PASSED_ON:
            return WAITING, f"passed on, after a pause: {last.note}"
        in_flow = last.outcome in (outcomes.STARTED, outcomes.ADVANCED, outcomes.ENDED)
        return (last.note, "") if in_flow else (last.outcome, last.note)

    def _classified(self) -> str:
        if self.record is None:
            lines = _lines(self.known[self.root])
            return next((line.note for line in lines if line.outcome == outcomes.CLASSIFIED), "")
        kind, rule, reason = (self.record.facts.get(name, "") for name in ("class", "rule", "reason"))
        return f"{kind} by {rule}" + (f": {reason}" if reason else "")


def _lines(known: _Known) -> list[LogLine]:
    return [line for lines in known.lines.values() for line in lines]


def _sent(known: _Known) -> int:
    """Return when a message was sent; if nobody knows, when it was first taken."""
    return known.envelope.time or min((line.taken for line in _lines(known)), default=0)


def _sender(cause: _Known, child: _Known) -> str:
    """Return the component that sent a message that only the log knows: the last one to be done before."""
    done = ((line.settled, line.component) for line in _lines(cause) if line.settled <= _sent(child))
    return max(done, default=(0, "?"))[1]
