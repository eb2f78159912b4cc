"""The tail: what happened in a store and what happens now, of all shards in the order of time.

It reads the topics and the settle log with XRANGE, XREVRANGE and XREAD: no group, nothing written. Clocks of
several Redis servers are taken as they are: what two of them say of the same moment may come in either order.
"""

from __future__ import annotations

import asyncio
import heapq
import json
import logging
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hybrid.broker.log import FAILED
from hybrid.broker.shard import Shard, Store
from hybrid.errors import ServerUnavailable
from hybrid.inspect.happenings import Happening, Lines, Origins
from hybrid.messages import Event
from hybrid.streams.connection import cancelled
from hybrid.streams.queries import Queries
from hybrid.streams.scripts import Entries
from hybrid.topology import Topology

PAGE = 200
"""Entries that one command reads of a stream."""
PACE = 0.1
"""Seconds between two reads of a shard, unless there is more: what comes meanwhile comes together."""
TURN = 0.25
"""Seconds that a happening waits for earlier ones of other shards. More than PACE."""
AHEAD = 100
"""Reads that may wait to be told."""
AGAIN = 0.5
"""Seconds between tries while the server can't be had."""
RELIST = 5.0
"""Seconds after which topics that the application does not know are looked for anew."""
NONE = "0-0"
_log = logging.getLogger("hybrid.tail")


class Period(NamedTuple):
    """From when to when (stream ids, or ms since 1970), both included; empty for open."""

    first: str = ""
    last: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which happenings to tell; what is left empty lets all pass."""

    types: frozenset[str] = frozenset()
    key: str = ""
    flow: str = ""
    event_class: str = ""
    failed: bool = False
    text: re.Pattern[str] | None = None
    """Found in what is told of it, or in its data as JSON."""

    def topic(self, type: str) -> bool:
        """Tell whether broadcasts of a type may be wanted."""
        return not self.failed and (not self.types or type in self.types)

    def at_first(self, each: Happening) -> bool:
        """Tell whether it may be wanted, by what its own stream says."""
        if self.types and each.type not in self.types:
            return False
        if self.failed and each.what != FAILED:
            return False
        return self.flow in ("", each.flow, each.envelope.correlation, each.envelope.id)

    def at_last(self, each: Happening) -> bool:
        """Tell whether it is wanted, when its key and class are known."""
        if self.key not in ("", each.key) or self.event_class not in ("", each.event_class):
            return False
        return self.text is None or bool(self.text.search(_text(each)))


ALL, EVERYTHING = Wanted(), Period()
Coming = asyncio.Queue[list[Happening] | BaseException]


@dataclass(slots=True)
class Place:
    """One shard, its streams, and up to where each has been read."""

    shard: Shard
    lines: Lines
    origins: Origins
    read: dict[str, str] = field(default_factory=dict)
    """Per stream the last entry that was read; at first, where history ends and live begins."""
    topics: dict[str, str] = field(default_factory=dict)
    """The types of the streams that are topics."""
    behind: tuple[int, ...] = ()
    """Up to when (ms) it is read while there is more to read; empty when there is not."""


class Tail:
    """Reads the happenings that are wanted. Every method may raise ServerUnavailable or ServerError."""

    def __init__(self, store: Store, topology: Topology, wanted: Wanted = ALL) -> None:
        self._topology = topology
        self._wanted = wanted
        self._block = store.settings.block_ms
        self._places = [
            Place(shard, Lines(shard, topology.catalog), Origins(shard)) for shard in store.shards
        ]

    async def begin(self) -> None:
        """Find the streams, and remember where each of them ends now. Raises UnknownMessage for a wanted type
        that neither the application nor the store knows.
        """
        for place in self._places:
            await self._list(place)
            newest = await asyncio.gather(
                *(place.shard.queries.newest(stream, most=1) for stream in place.read)
            )
            for stream, entries in zip(place.read, newest, strict=True):
                place.read[stream] = entries[0][0].decode() if entries else NONE
            if self._wanted.event_class:
                await place.origins.look_back()
        stored = {type for place in self._places for type in place.topics.values()}
        for type in self._wanted.types - stored:
            if type not in self._topology.catalog and not await self._logged(type):
                self._topology.catalog.named(type)  # raises, and names similar ones

    async def newest(self, most: int, period: Period = EVERYTHING) -> list[Happening]:
        """Return the newest happenings until `begin`, oldest first."""
        found: list[Happening] = []
        async with aclosing(self._merged(period, backwards=True)) as happenings:
            while len(found) < most and (each := await anext(happenings, None)):
                found.append(each)
        return found[::-1]

    async def history(self, period: Period = EVERYTHING) -> AsyncGenerator[list[Happening], None]:
        """Yield the happenings until `begin`, oldest first, some at a time."""
        some: list[Happening] = []
        async with aclosing(self._merged(period, backwards=False)) as happenings:
            async for each in happenings:
                some.append(each)
                if len(some) == PAGE:
                    yield some
                    some = []
        if some:
            yield some

    async def live(self) -> AsyncGenerator[list[Happening], None]:
        """Yield the happenings since `begin`, without gap and without end, also past a restart of the
        server. An empty list tells that nothing came for a while.
        """
        coming: Coming = asyncio.Queue()
        clients = [place.shard.connections.blocking(self._block) for place in self._places]
        tasks = [
            asyncio.create_task(self._follow(place, Queries(client, place.shard.connections.url), coming))
            for place, client in zip(self._places, clients, strict=True)
        ]
        try:
            held = _taken(await coming.get())
            while True:
                horizon = max((each.order for each in held), default=())
                if len(tasks) > 1 and held:
                    await asyncio.sleep(TURN)
                    while not coming.empty():
                        held += _taken(coming.get_nowait())
                    horizon = min([horizon, *(place.behind for place in self._places if place.behind)])
                yield sorted((each for each in held if each.order <= horizon), key=_order)
                held = [each for each in held if each.order > horizon]
                if not held:
                    held = _taken(await coming.get())
        finally:
            await cancelled(tasks)
            for client in clients:
                await client.aclose()

    async def _follow(self, place: Place, queries: Queries, coming: Coming) -> None:
        """Follow the streams of one shard, and tell what comes, or what went wrong for good."""
        clock, listed, lost = asyncio.get_running_loop().time, 0.0, False
        try:
            while True:
                if coming.qsize() > AHEAD:  # nobody takes what was read: a slow terminal, a full pipe
                    await asyncio.sleep(PACE)
                    continue
                try:
                    if clock() - listed > RELIST:
                        await self._list(place)
                        listed = clock()
                    found = await self._next(place, queries)
                except ServerUnavailable as error:
                    if not lost:
                        _log.warning("%s; waiting for it", error)
                    lost, place.behind = True, ()  # the other shards need not wait for it
                    await asyncio.sleep(AGAIN)
                    continue
                if lost:
                    _log.warning("the server is back")
                lost = False
                coming.put_nowait(found)
                await asyncio.sleep(0 if place.behind else PACE)
        except Exception as error:
            coming.put_nowait(error)

    async def _next(self, place: Place, queries: Queries) -> list[Happening]:
        """Return what came next on one shard; the streams count as read up to there when it is known whole.

        Of a stream that has more than a page the rest is still to come: the others are read up to the same
        moment, and go on from there.
        """
        came = await queries.follow(place.read, self._block, PAGE)
        horizon = min(
            (_ms(entries[-1][0]) for entries in came.values() if len(entries) == PAGE), default=None
        )
        read, found = {}, []
        for stream, entries in came.items():
            now = entries if horizon is None else [e for e in entries if _ms(e[0]) <= horizon]
            if now:
                read[stream] = now[-1][0].decode()
                found += await self._told(place, stream, now)
        place.read.update(read)
        place.behind = () if horizon is None else (horizon,)
        return sorted(found, key=_order)

    async def _merged(self, period: Period, *, backwards: bool) -> AsyncGenerator[Happening, None]:
        """Yield the happenings of all streams until `begin`, in the order of time."""
        sources = [
            self._stream(place, stream, Period(period.first, _earlier(period.last, end)), backwards)
            for place in self._places
            for stream, end in place.read.items()
            if end != NONE
        ]
        heap: list[tuple[tuple[int, ...], int, Happening]] = []

        async def advance(number: int) -> None:
            if each := await anext(sources[number], None):
                order = tuple(-part for part in each.order) if backwards else each.order
                heapq.heappush(heap, (order, number, each))

        try:
            await asyncio.gather(*map(advance, range(len(sources))))
            while heap:
                _, number, each = heapq.heappop(heap)
                yield each
                await advance(number)
        finally:
            for source in sources:
                await source.aclose()

    async def _stream(
        self, place: Place, stream: str, period: Period, backwards: bool
    ) -> AsyncGenerator[Happening, None]:
        """Yield the happenings of one stream, a page at a time."""
        queries, first, last = place.shard.queries, period.first or "-", period.last
        while True:
            if backwards:
                entries = await queries.newest(stream, last, PAGE)
                page = [entry for entry in entries if _id(entry[0].decode()) >= _id(period.first or NONE)]
                last = f"({entries[-1][0].decode()}" if entries else last
            else:
                entries = page = await queries.range(stream, first, last, PAGE)
                first = f"({entries[-1][0].decode()}" if entries else first
            told = await self._told(place, stream, page)
            for each in sorted(told, key=_order, reverse=backwards):
                yield each
            if len(page) < PAGE:
                return

    async def _told(self, place: Place, stream: str, entries: Entries) -> list[Happening]:
        """Return the happenings of a stream's entries that are wanted."""
        if stream in place.topics:
            found = place.lines.of_topic(place.topics[stream], entries)
        else:
            found = place.lines.of_log(entries)
            place.origins.learn(found)
        some = await place.origins.told([each for each in found if self._wanted.at_first(each)])
        return [each for each in some if self._wanted.at_last(each)]

    async def _list(self, place: Place) -> None:
        """Find the streams of a shard: its log, and the topics that are wanted; a new one is unread."""
        place.read.setdefault(place.shard.keys.log, NONE)
        counters = await place.shard.queries.hash(place.shard.keys.counters)
        stored = {name[14:].decode() for name in counters if name.startswith(b"entered:topic:")}
        known = {cls.type_name for cls in self._topology.catalog if issubclass(cls, Event)}
        for type in sorted(stored | known):
            if self._wanted.topic(type):
                place.topics[place.shard.keys.topic(type)] = type
                place.read.setdefault(place.shard.keys.topic(type), NONE)

    async def _logged(self, type: str) -> bool:
        """Tell whether the newest of the settle log knows a type."""
        pages = [
            place.lines.of_log(await place.shard.queries.newest(place.shard.keys.log, most=PAGE))
            for place in self._places
        ]
        return any(each.type == type for page in pages for each in page)


def _taken(came: list[Happening] | BaseException) -> list[Happening]:
    if isinstance(came, BaseException):
        raise came
    return came


def _order(each: Happening) -> tuple[int, ...]:
    return each.order


def _ms(entry: bytes) -> int:
    return int(entry.partition(b"-")[0])


def _id(text: str) -> tuple[int, int]:
    ms, _, number = text.partition("-")
    return int(ms), int(number or 0)


def _earlier(last: str, end: str) -> str:
    """Return the earlier of a period's end, which may be empty or whole ms, and a stream's."""
    if not last:
        return end
    whole = last if "-" in last else f"{last}-{2**64 - 1}"
    return min(whole, end, key=_id)


def _text(each: Happening) -> str:
    envelope = each.envelope
    told: Sequence[Any] = (
        each.what, each.type, each.component, each.flow, each.key, each.event_class, each.channel,
        envelope.id, envelope.cause, each.consumer, each.note,
    )  # fmt: skip
    data = json.dumps(each.data, ensure_ascii=False) if each.data is not None else ""
    return " ".join([*filter(None, told), data])
