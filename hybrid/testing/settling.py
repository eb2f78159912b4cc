"""Whether an application has come to rest: nothing waits in a channel, is in work, or is due."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from hybrid.broker.failures import Failure
from hybrid.broker.shard import Shard, Store
from hybrid.inspect.flows import FlowSummary
from hybrid.inspect.ledger import GroupLedger, ledger
from hybrid.topology import Topology

Held = tuple[Collection[tuple[str, str]], dict[str, int]]
"""What does not count, as it is held: pairs of a component and a channel, and of each component how much of
its own queue.
"""


@dataclass(slots=True)
class Look:
    """What one look found."""

    moving: list[str] = field(default_factory=list)
    """What goes on by itself, in words."""
    later: list[tuple[Shard, str]] = field(default_factory=list)
    """The components of a shard that have an attempt to come."""
    failed: int = 0
    """How many deliveries are at the desk."""


async def look(store: Store, topology: Topology, names: Collection[str], held: Held) -> Look:
    """Look once. What is there for other components than these does not count, unless it is nobody's.

    What is due is looked at before the channels: so what comes due and moves meanwhile is found in its
    channel. With several shards the channels are looked at twice, as something may go from one to the other
    meanwhile.
    """
    found = Look()
    for shard in store.shards:
        schedules = [shard.keys.timers, shard.keys.scheduled]
        due = (await shard.scripts.due(shard.keys.counters, schedules, 1)).members
        found.moving += [
            f"a {what} is due" for what, some in zip(("timer", "sending"), due, strict=True) if some
        ]
    for _ in store.shards[:2]:
        for group in (await ledger(store, topology)).groups:
            if group.group not in names and not group.retired:
                continue
            found.moving += _moving(group, held)
            found.failed += group.failed
            if group.later:
                found.later.append((store.shards[group.shard], group.group))
    return found


def _moving(group: GroupLedger, held: Held) -> Iterable[str]:
    apart, own = held
    for channel in group.channels:
        if (group.group, channel.channel) in apart:
            continue
        pending = channel.pending
        if channel.channel == f"own:{group.group}":
            pending -= own.get(group.group, 0)
        if channel.waiting or pending > 0:
            who = group.group or "nobody, as no processor handles it"
            yield f"{channel.waiting} waiting and {pending} in work in {channel.channel}, for {who}"


def told_failure(failure: Failure) -> str:
    """Return a failure in a line."""
    envelope = failure.envelope
    type = envelope.type if envelope else failure.fields.get(b"type", b"?").decode(errors="replace")
    step = f", step {envelope.step}" if envelope and envelope.step else ""
    of = f" of flow {failure.flow}{step}" if failure.flow else ""
    attempts = f" ({failure.attempts} attempts)" if failure.attempts > 1 else ""
    return f"{failure.handler}: {type}{of}: {failure.error}: {failure.message}{attempts}"


def told_flow(flow: FlowSummary) -> str:
    """Return an unfinished flow in a line."""
    waits = f", waits for {', '.join(flow.waiting_for)}" if flow.waiting_for else ""
    return f"flow {flow.id} ({flow.type}): {flow.state}{waits}{f': {flow.problem}' if flow.problem else ''}"
