"""The ledger (law 3): where everything of each group is, against what has entered and what has left.

The counters of entered and settled are kept by the scripts, independently of the places; when the two
disagree, something is nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hybrid.broker.shard import Shard, Store
from hybrid.keys import QUEUE_GROUP
from hybrid.messages import Command
from hybrid.topology import Topology

NOBODY = ""
"""The group of commands that no processor of the application handles."""


@dataclass(frozen=True, slots=True)
class ChannelLedger:
    """One channel as one group sees it. `oldest` is when its oldest unsettled entry entered (ms), 0 for
    none.
    """

    channel: str
    entered: int
    waiting: int
    pending: int
    oldest: int


@dataclass(frozen=True, slots=True)
class GroupLedger:
    """Where everything of one group is. `missing` is what has entered and is nowhere: 0 when the books
    balance.
    """

    group: str
    shard: int
    retired: bool
    """Whether it is known from the store only: no component of the application has this name."""
    entered: int
    settled: int
    expired: int
    discarded: int
    cut: int
    waiting: int
    pending: int
    repair: int
    """What workflow processors look at, or will; not among what is waiting and pending."""
    later: int
    failed: int
    archived: int
    held: int
    """What waits for the one before of its key."""
    missing: int
    channels: tuple[ChannelLedger, ...]


@dataclass(frozen=True, slots=True)
class Ledger:
    """The groups of all shards."""

    groups: tuple[GroupLedger, ...]

    @property
    def balanced(self) -> bool:
        """Whether nothing is nowhere.

        What a processor settled before its commands went to one with another name is counted under the old
        name; then the books
        balance when the groups do together.
        """
        off = [group.missing for group in self.groups]
        if any(group.retired for group in self.groups):
            return sum(off) == 0
        return not any(off)


@dataclass(slots=True)
class Layout:
    """The channels of one group: queues and topics, by channel name."""

    retired: bool = False
    queues: list[str] = field(default_factory=list)
    topics: list[str] = field(default_factory=list)

    @property
    def channels(self) -> list[str]:
        """All of them, queues first."""
        return [*self.queues, *self.topics]


async def ledger(store: Store, topology: Topology) -> Ledger:
    """Return the ledger, one consistent look per shard."""
    groups: list[GroupLedger] = []
    for shard in store.shards:
        layouts = await layout(shard, topology)
        groups += await _look(shard, layouts)
    return Ledger(tuple(groups))


async def layout(shard: Shard, topology: Topology) -> dict[str, Layout]:
    """Return the channels of each group: of the application's components, and what the store knows
    besides.
    """
    layouts = {
        name: Layout(
            queues=[f"own:{name}"], topics=[f"topic:{cls.type_name}" for cls in topology.topics_of(name)]
        )
        for name in topology.names
    }
    for name in (*topology.fronts, *topology.mediators):
        layouts[name].queues.append(f"event:{name}")
    for name, processor in topology.processors.items():
        layouts[name].queues += [f"command:{cls.type_name}" for cls in processor.commands]
    for name, fixer in topology.fixers.items():
        for failing in topology.repaired_by(fixer):
            layouts[failing].queues.append(f"repair:{name}/{failing}")
    orphaned = [
        cls.type_name for cls in topology.catalog if issubclass(cls, Command) and not topology.handler_of(cls)
    ]
    counters, groups = await shard.queries.hashes([shard.keys.counters, shard.keys.groups])
    _add_counted(layouts, map(bytes.decode, counters), orphaned)
    for mark in map(bytes.decode, groups):
        kind, _, rest = mark.partition(":")
        topic, _, group = rest.rpartition("|")
        if kind == "mark":
            found = _retired(layouts, group)
            if topic not in found.topics:
                found.topics.append(topic)
    return layouts


def _add_counted(layouts: dict[str, Layout], counters: Iterable[str], orphaned: Sequence[str]) -> None:
    """Add the groups and queues of which the store has counters, and the application no component."""
    covered = {queue for known in layouts.values() for queue in known.queues}
    nobodys = [f"command:{name}" for name in orphaned]
    for counter in sorted(counters):
        kind, _, what = counter.partition(":")
        if kind in ("settled", "failed"):
            _retired(layouts, what)
        elif kind == "entered" and what.startswith(("own:", "event:")):
            _add_queue(layouts, what.partition(":")[2], what)
        elif kind == "repairs":
            _add_queue(layouts, what.rpartition("/")[2], f"repair:{what}")
        elif kind == "entered" and what.startswith("command:") and what not in (*covered, *nobodys):
            nobodys.append(what)
    if nobodys:
        layouts[NOBODY] = Layout(retired=True, queues=nobodys)


def _add_queue(layouts: dict[str, Layout], group: str, queue: str) -> None:
    queues = _retired(layouts, group).queues
    queues += [queue] if queue not in queues else []


def _retired(layouts: dict[str, Layout], group: str) -> Layout:
    return layouts.setdefault(group, Layout(retired=True, queues=[f"own:{group}"]))


async def _look(shard: Shard, layouts: dict[str, Layout]) -> list[GroupLedger]:
    keys = [shard.keys.counters, shard.keys.groups]
    shape: list[Any] = []
    for name, found in layouts.items():
        keys += shard.keys.places(name)
        keys += [shard.keys.prefix + channel for channel in found.channels]
        shape.append([name, len(found.queues), len(found.topics), found.channels])
    rows = await shard.scripts.ledger(keys, QUEUE_GROUP, shape)
    return [_group(shard.number, layouts[row[0]], row) for row in rows]


def _group(shard: int, found: Layout, row: Sequence[Any]) -> GroupLedger:
    name, later, failed, archived, held, settled, expired, discarded, cut, rows = row
    channels = tuple(
        ChannelLedger(channel, entered, waiting, pending, int(oldest.partition("-")[0] or 0))
        for channel, entered, waiting, pending, oldest, _ in rows
    )
    repairing = [channel for channel in channels if channel.channel.startswith("repair:")]
    repair = sum(channel.waiting + channel.pending for channel in repairing)
    entered, waiting, pending = (
        sum(getattr(channel, what) for channel in channels if channel not in repairing)
        for what in ("entered", "waiting", "pending")
    )
    left = settled + expired + discarded + cut
    missing = entered - left - waiting - pending - repair - later - failed - archived - held
    return GroupLedger(
        name, shard, found.retired, entered, settled, expired, discarded, cut,
        waiting, pending, repair, later, failed, archived, held, missing, channels,
    )  # fmt: skip
