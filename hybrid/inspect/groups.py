"""The groups of topics: where each stands, and how one is moved or removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hybrid.broker.shard import Shard, Store
from hybrid.errors import ApplicationError
from hybrid.messages import Event
from hybrid.positions import History, Start, place, position
from hybrid.streams.scripts import GroupRow
from hybrid.topology import Topology

LIVE, REPLAYING, MISSING = "live", "replaying", "missing"


@dataclass(frozen=True, slots=True)
class GroupView:
    """A group of a topic, on one shard. `oldest` is when its oldest unsettled entry entered (ms), 0 for
    none.
    """

    topic: str
    group: str
    shard: int
    state: str
    """live; replaying, while it is given what is history to it; missing, when it is registered and gone."""
    waiting: int
    pending: int
    position: str
    """The last entry that it was given."""
    replayed_upto: str
    """The last entry that is history to it; empty when it has none before it."""
    oldest: int
    consumers: tuple[str, ...]
    """Those that live."""
    registered: bool
    """Whether retention waits for it, and the ledger counts it."""
    retired: bool
    """Whether no component of the application listens to the topic under this name."""

    @property
    def channel(self) -> str:
        """The topic's channel."""
        return f"topic:{self.topic}"


@dataclass(frozen=True, slots=True)
class Reset:
    """What a reset does, or would do, to a group of a topic on one shard."""

    topic: str
    group: str
    shard: int
    replayed: int
    """How many deliveries come again."""
    skipped: int
    """How many are passed over: counted as discarded."""
    position: str


@dataclass(frozen=True, slots=True)
class Removal:
    """What the removal of a group of a topic, on one shard, took away: entries that it had still to be given,
    that were in work, and what its component had besides (to be tried again, handed back, failed).
    """

    topic: str
    group: str
    shard: int
    waiting: int
    pending: int
    besides: int


async def groups(store: Store, topology: Topology) -> list[GroupView]:
    """Return all groups of topics, by topic, group and shard; one consistent look per shard."""
    found = [view for shard in store.shards for view in await _look(shard, topology)]
    return sorted(found, key=lambda view: (view.topic, view.group, view.shard))


async def chosen(store: Store, topology: Topology, group: str, topic: str = "") -> list[GroupView]:
    """Return a group, of all topics or of one. Raises ApplicationError when there is none."""
    everything = await groups(store, topology)
    found = [view for view in everything if view.group == group and topic in ("", view.topic)]
    if not found:
        names = dict.fromkeys(view.group for view in everything)
        topics = ", ".join(dict.fromkeys(view.topic for view in everything if view.group == group))
        there = f"it has {topics}" if topics else f"there are {', '.join(names) or 'none'}"
        of = f" of topic {topic}" if topic else ""
        raise ApplicationError(f"no group {group}{of}: {there} (`hybrid groups list`)")
    return found


async def reset(store: Store, views: Sequence[GroupView], to: Start, *, really: bool = True) -> list[Reset]:
    """Move groups, each in one step with its books; or only tell what that would do.

    What is in work behind the place comes again, and the outcome that is under way does not count. Raises
    ApplicationError for a group that is not there.
    """
    done = []
    for view in views:
        shard = store.shards[view.shard]
        keys = shard.keys
        names = [keys.topic(view.topic), keys.groups, keys.counters, keys.starts]
        names += [keys.gate(view.group), keys.held(view.group), keys.own(view.group)]
        where = position(to, await shard.queries.server_time())
        moved = await shard.scripts.reset(names, view.group, view.channel, where, really=really)
        if moved is None:
            raise ApplicationError(
                f"group {view.group} of topic {view.topic} is missing, though it is registered: its worker"
                " creates it anew when it starts; `hybrid groups remove` strikes it off"
            )
        done.append(Reset(view.topic, view.group, view.shard, *moved))
    return done


async def remove(
    store: Store, topology: Topology, views: Sequence[GroupView], *, force: bool = False
) -> list[Removal]:
    """Remove groups, with their marks and their part of the books.

    Raises ApplicationError, and removes nothing, while a living consumer serves one of them, or when a
    component that goes with its last group has something besides that would go, too; not with `force`.
    """
    if not force:
        _check_unserved(views)
    whole = {shard.number: await _is_last(shard, topology, views) for shard in store.shards}
    if not force:
        for number, last in whole.items():
            if last:
                await _check_nothing_besides(store.shards[number], views[0].group)
    done: list[Removal] = []
    for at, view in enumerate(views):
        last = whole[view.shard] and all(later.shard != view.shard for later in views[at + 1 :])
        done += await _remove(store.shards[view.shard], view, whole=last, force=force)
    return done


async def _look(shard: Shard, topology: Topology) -> list[GroupView]:
    keys = shard.keys
    marks = [name.decode() for name in await shard.queries.hash(keys.groups)]
    registered = [
        tuple(name.removeprefix("mark:").rpartition("|")[::2]) for name in marks if name.startswith("mark:")
    ]
    channels = [f"topic:{cls.type_name}" for cls in topology.catalog if issubclass(cls, Event)]
    topics = {
        name: keys.prefix + name for name in dict.fromkeys([*channels, *(name for name, _ in registered)])
    }
    found = await shard.scripts.groups(keys.groups, topics)
    names = list({name for rows in found.values() for row in rows for name in row.consumers})
    alive = await shard.queries.exist([keys.lease(name) for name in names]) if names else []
    living = {name for name, lives in zip(names, alive, strict=True) if lives}
    views = [_view(shard, topology, channel, row, living) for channel, rows in found.items() for row in rows]
    there = {(view.channel, view.group) for view in views}
    missing = [GroupRow(group, "", 0, 0, "", "?", "", ()) for _, group in registered]
    return views + [
        _view(shard, topology, channel, row, living)
        for (channel, group), row in zip(registered, missing, strict=True)
        if (channel, group) not in there
    ]


def _view(shard: Shard, topology: Topology, channel: str, row: GroupRow, living: set[str]) -> GroupView:
    topic = channel.removeprefix("topic:")
    listens = topic in [event.type_name for event in topology.topics_of(row.group)]
    history = History.read(row.live) if row.live else None
    behind = bool(row.position and history and place(row.position) < history.upto)
    return GroupView(
        topic,
        row.group,
        shard.number,
        MISSING if not row.position else REPLAYING if behind else LIVE,
        row.waiting,
        row.pending,
        row.position,
        row.live.partition(" ")[2] if behind else "",
        place(row.oldest)[0] if row.oldest else 0,
        tuple(name for name in row.consumers if name in living),
        bool(row.mark),
        not listens,
    )


def _check_unserved(views: Sequence[GroupView]) -> None:
    for view in views:
        if view.consumers:
            raise ApplicationError(
                f"group {view.group} of topic {view.topic} is served by {', '.join(view.consumers)}: stop"
                " that first. With --force it is removed, and a worker that has it begins it anew"
            )


async def _is_last(shard: Shard, topology: Topology, views: Sequence[GroupView]) -> bool:
    """Tell whether a component that the application does not have keeps nothing on a shard but these
    groups.
    """
    group = views[0].group
    if group in topology.names or not any(view.shard == shard.number for view in views):
        return False
    marks, counters = await shard.queries.hashes([shard.keys.groups, shard.keys.counters])
    going = {f"mark:{view.channel}|{group}".encode() for view in views if view.shard == shard.number}
    others = [mark for mark in marks if mark.startswith(b"mark:") and mark not in going]
    a_mediator = {f"entered:{kind}:{group}".encode() for kind in ("event", "own")} & counters.keys()
    return not a_mediator and not any(mark.endswith(f"|{group}".encode()) for mark in others)


async def _check_nothing_besides(shard: Shard, group: str) -> None:
    keys = shard.keys
    own, failed, archived = await shard.queries.lengths(
        [keys.own(group), keys.failed(group), keys.archived(group)]
    )
    later, held = [await shard.queries.size(key) for key in (keys.later(group), keys.held(group))]
    repair = sum(await shard.queries.lengths([keys.stream(queue) for queue in await _repairs(shard, group)]))
    if own + failed + archived + later + held + repair:
        raise ApplicationError(
            f"{group} has {failed + archived:,} failed deliveries, {repair:,} in repair, {later:,} to be"
            f" tried again, {held:,} held and {own:,} on its own queue, which would go with it: see"
            " `hybrid desk list`; --force throws them away"
        )


async def _repairs(shard: Shard, group: str) -> list[str]:
    """Return the queues (channels) in which a group's failures are, or were, in repair."""
    counters = [name.decode() for name in await shard.queries.hash(shard.keys.counters)]
    kinds = [name for name in counters if name.startswith("repairs:") and name.endswith(f"/{group}")]
    return [f"repair:{name.partition(':')[2]}" for name in kinds]


async def _remove(shard: Shard, view: GroupView, *, whole: bool, force: bool) -> list[Removal]:
    keys, group = shard.keys, view.group
    names = [keys.topic(view.topic), keys.groups, keys.counters, keys.starts]
    repairs = await _repairs(shard, group)
    names += [keys.own(group), *keys.places(group), keys.gate(group)]
    names += [keys.stream(queue) for queue in repairs]
    if not force:
        rows = await shard.queries.consumers(keys.topic(view.topic), group)
        names += [keys.lease(name) for name, _ in rows]
    done = await shard.scripts.remove(
        names, group, view.channel, [f"repairs{r[6:]}" for r in repairs], whole=whole, anyway=force
    )
    if done.code < 0:
        raise ApplicationError(
            f"group {group} of topic {view.topic} has come to life again while it was being removed: nothing"
            " was changed there; look again (`hybrid groups list`)"
        )
    if done.code == 0:
        return []
    return [Removal(view.topic, group, view.shard, done.waiting, done.pending, done.besides)]
