"""Happenings: what `hybrid tail` tells of, one line each. A broadcast, read from its topic, or a delivery,
read from the settle log; both as one record.

A delivery's data goes with its queue entry when it is settled, so only broadcasts have theirs. The log says
no class either, and a message need not have a key: those come from the record of the flow (see Origins).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hybrid.broker.log import CLASSIFIED, LogEntry, entries_of
from hybrid.broker.outputs import WAKE_UP
from hybrid.broker.shard import Shard
from hybrid.catalog import Catalog
from hybrid.cloudevents import attributes, described, finite, source, timestamp
from hybrid.codec import shown
from hybrid.envelope import Envelope, from_fields
from hybrid.errors import MessageError
from hybrid.inspect.shown import visible
from hybrid.streams.scripts import Entries

BROADCAST, UNDECODABLE = "broadcast", "undecodable"
"""What happened to a message on a topic; of a delivery it is the outcome that the settle log says."""
REMEMBERED = 20_000
"""Of how many initiating events the key and the class are remembered."""


@dataclass(frozen=True, slots=True)
class Happening:
    """A broadcast, or one attempt of a delivery that was settled. Times in ms since 1970, 0 for unknown."""

    order: tuple[int, ...]
    """Sorts happenings: time, shard, broadcasts before deliveries, place in the stream. (A delivery and what
    it broadcast are of one moment, and who listened may have settled within the same ms.)
    """
    what: str
    envelope: Envelope
    """The message's; of a delivery as far as the settle log says it."""
    component: str
    """Who sent the broadcast, or had the delivery."""
    entry: str
    """The stream entry that tells it."""
    channel: str
    key: str = ""
    event_class: str = ""
    """Of the initiating event that it comes from."""
    data: Any = None
    """Ready for JSON, secrets masked; None when it is not kept."""
    note: str = ""
    consumer: str = ""
    taken: int = 0

    @property
    def time(self) -> int:
        """When it was sent, or settled."""
        return self.order[0]

    @property
    def shard(self) -> int:
        """The number of the shard where it happened."""
        return self.order[1]

    @property
    def type(self) -> str:
        """The type of the message."""
        return self.envelope.type

    @property
    def flow(self) -> str:
        """The flow that it belongs to, or led to it: the id of the initiating event."""
        return self.envelope.flow or self.envelope.correlation

    @property
    def delivered(self) -> bool:
        """Whether it is a delivery."""
        return bool(self.consumer)

    def cloud_event(self, app: str) -> dict[str, Any]:
        """Return it as a CloudEvent: a broadcast as the message that it is, all else as an event of Hybrid's
        own, `hybrid.delivery.done`, which names the message in `messageid` and `messagetype`.
        """
        envelope = self.envelope._replace(class_=self.event_class)
        if self.what == BROADCAST:
            return described(envelope, self.data, app)
        kind, place = ("delivery", "log") if self.delivered else ("broadcast", self.channel)
        told = described(envelope._replace(key=self.key), None, app)
        own = attributes(
            id=f"{place}/{self.shard}/{self.entry}/{self.order[-1]}",
            type=f"hybrid.{kind}.{self.what.replace(' ', '-')}",
            source=source(app, self.component),
            time=timestamp(self.time),
            messageid=envelope.id,
            messagetype=envelope.type,
            channel=self.channel,
            consumer=self.consumer,
            takentime=timestamp(self.taken),
            note=self.note,
        )
        return told | own


class Lines:
    """Makes happenings of the stream entries of one shard."""

    def __init__(self, shard: Shard, catalog: Catalog) -> None:
        self._shard = shard
        self._catalog = catalog

    def of_log(self, entries: Entries) -> list[Happening]:
        """Return the deliveries that entries of the settle log tell of."""
        return [
            self._delivery(entry.decode(), place, said)
            for entry, fields in entries
            for place, said in enumerate(entries_of(fields))
        ]

    def of_topic(self, type: str, entries: Entries) -> list[Happening]:
        """Return the broadcasts of a topic; an entry that is none of ours is told as undecodable."""
        return [self._broadcast(type, entry, fields) for entry, fields in entries]

    def _delivery(self, entry: str, place: int, said: LogEntry) -> Happening:
        envelope = Envelope(
            said.id,
            said.type or WAKE_UP,
            correlation=said.correlation,
            cause=said.cause,
            attempt=said.attempt,
            flow=said.flow,
            step=said.step,
        )
        return Happening(
            (*self._begin(entry, 1), place), said.outcome, envelope, said.component, entry, said.channel,
            key=said.key, note=said.note, consumer=said.consumer, taken=said.taken,
        )  # fmt: skip

    def _broadcast(self, type: str, raw: bytes, fields: dict[bytes, bytes]) -> Happening:
        entry, channel = raw.decode(), f"topic:{type}"
        order = (*self._begin(entry, 0), 0)
        try:
            envelope = from_fields(fields, raw)
        except (ValueError, KeyError) as error:
            note = f"no envelope: {error}"
            return Happening(order, UNDECODABLE, Envelope("", type), "", entry, channel, note=note)
        data, note = self._data(envelope, fields.get(b"data", b""))
        if not note:  # the data is told as that of the class we have
            envelope = envelope._replace(version=self._catalog.named(envelope.type).type_version)
        return Happening(
            order, BROADCAST, envelope, envelope.source, entry, channel,
            key=envelope.key, event_class=envelope.class_, data=data, note=note,
        )  # fmt: skip

    def _data(self, envelope: Envelope, data: bytes) -> tuple[Any, str]:
        """Return what people may see of the data, and what is wrong with it."""
        type, version = envelope.type, envelope.version
        try:
            return finite(shown(self._catalog.decode(type, data, version))), ""
        except MessageError as error:
            return finite(visible(self._catalog, type, data, version)), str(error)

    def _begin(self, entry: str, rank: int) -> tuple[int, int, int, int]:
        ms, _, number = entry.partition("-")
        return int(ms), self._shard.number, rank, int(number)


class Origins:
    """What the happenings of one shard come from: the keys and classes of initiating events.

    Both are known of what has a flow (its record says them), and the class of a simple event while the store
    remembers its end.
    """

    def __init__(self, shard: Shard) -> None:
        self._shard = shard
        self._known: dict[str, tuple[str, str]] = {}
        self._classes: dict[str, str] = {}

    async def look_back(self) -> None:
        """Learn the classes of events that have ended. Raises ServerUnavailable."""
        ended = await self._shard.queries.newest(self._shard.keys.outcomes, most=REMEMBERED)
        for _, fields in reversed(ended):
            if b"class" in fields:
                self._classes[fields[b"flow"].decode()] = fields[b"class"].decode()

    def learn(self, happenings: Iterable[Happening]) -> None:
        """Learn the classes of the events that were classified just now."""
        for each in happenings:
            if each.what == CLASSIFIED:
                self._classes[each.envelope.id] = each.note.partition(" by ")[0]

    async def told(self, happenings: Sequence[Happening]) -> list[Happening]:
        """Return happenings with their key, unless they have one, and their class. Raises
        ServerUnavailable.
        """
        flows = list(dict.fromkeys(each.flow for each in happenings if each.flow not in self._known))
        keys = [self._shard.keys.flow(flow) for flow in flows]
        records = await self._shard.queries.hashes(keys, [["key", "class"]] * len(keys)) if keys else []
        for flow, fields in zip(flows, records, strict=True):
            if fields:
                key, kind = fields.get(b"key", b""), fields.get(b"class", b"")
                self._known[flow] = key.decode(), kind.decode()
        found = [self._with_origin(each) for each in happenings]
        _forget(self._known)
        _forget(self._classes)
        return found

    def _with_origin(self, each: Happening) -> Happening:
        key, kind = self._known.get(each.flow, ("", ""))
        kind = each.event_class or kind or self._classes.get(each.flow, "")
        return replace(each, key=each.key or key, event_class=kind)


def _forget(memory: dict[str, Any]) -> None:
    """Forget what was learned first, when it is too much."""
    for old in list(memory)[:-REMEMBERED] if len(memory) > REMEMBERED else ():
        del memory[old]
