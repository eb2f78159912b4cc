"""The reader: one loop per shard and group, which reads new deliveries into their lanes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from hybrid.errors import ServerError, ServerUnavailable
from hybrid.positions import History, Place, place
from hybrid.runtime.delivery import MOST, Delivery, Lane
from hybrid.runtime.workplace import Workplace
from hybrid.streams.reads import GroupReader, Ordered, OrderedReader, Read

AT_ONCE = 200
"""The most that is read at once: while the server settles one such batch, the worker handles the next."""
LOOK = 1.0
"""After so many seconds a reader looks again what is replayed, if somebody asks and something comes."""
TURNS = 2
"""How often the others get their turn before the next read is sent: so what was read is handled, and its
settle is on its way, first.
"""
_log = logging.getLogger("hybrid.reader")


class Reader:
    """Reads the lanes of one group on one shard until it is stopped. Either all of them are of one component
    and keep an order, or none does.
    """

    def __init__(
        self, group: str, lanes: list[Lane], workplace: Workplace, restore: Callable[[], Awaitable[None]]
    ) -> None:
        self.group = group
        self.lanes = {lane.stream: lane for lane in lanes}
        self.last_read = time.monotonic()
        """When a read came back last; a reader that does not come back does not consume."""
        self.unstarted: list[Delivery] = []
        """What came in while the worker was stopping."""
        self._workplace = workplace
        self._restore = restore
        self._source = self._new_source()
        self._room = asyncio.Event()
        self._busy = False
        self._turns = 0
        self._recover = True
        self._stopped = False
        for lane in lanes:
            lane.on_room = self._on_room
            lane.on_given_again = self.recover
        self._asked = {lane.stream: lane for lane in lanes if lane.asked}
        self._newest: dict[str, Place] = {}
        """Per lane that is asked, the last entry that was read."""
        self._looked = 0.0
        """When we looked last (monotonic) which entries are replayed."""

    async def run(self) -> None:
        """Read until `stop`. Survives the server's absence and lost groups."""
        pause = 0.05
        while not self._stopped:
            try:
                if self._recover:
                    await self._read_history()
                    await self._read_own_pending()
                read = await self._read()
                if self._asked and self._is_doubtful(read):
                    await self._read_history()
                self._dispatch(read)
                for _ in range(TURNS):
                    await asyncio.sleep(0)
                pause = 0.05
            except ServerUnavailable as error:
                pause = await self._again(error, pause)
            except ServerError as error:
                pause = await self._again(error, pause)
                await self._restored()
            self.last_read = time.monotonic()

    async def stop(self) -> None:
        """End the loop after the present read."""
        self._stopped = True
        self._room.set()
        try:
            await self._source.unblock()
        except ServerError as error:
            _log.debug("could not unblock: %s", error)

    def recover(self) -> None:
        """Read the own pending entries again before the next read."""
        self._recover = True

    async def read_left_over(self) -> None:
        """Take what we were given and never saw; after the loop has ended, so that nothing stays behind."""
        try:
            await self._read_own_pending()
        except ServerError as error:
            _log.debug("could not look for what is left: %s", error)

    async def close(self) -> None:
        """Close the connections."""
        await self._source.close()

    async def renew(self) -> None:
        """Go on under the workplace's new consumer name, after a lost lease."""
        old, self._source = self._source, self._new_source()
        await old.close()

    def _new_source(self) -> GroupReader:
        lane = next(iter(self.lanes.values()))
        block = self._workplace.settings.block_ms
        reads = lane.shard.connections, self.group, self._workplace.consumer, block
        if not lane.ordered:
            return GroupReader(*reads)
        ordered = {
            each.stream: Ordered(each.channel, each.queue, each.ordered) for each in self.lanes.values()
        }
        keys = lane.shard.keys
        return OrderedReader(
            reads, [keys.gate(lane.component), keys.held(lane.component), keys.groups], ordered
        )

    async def _read(self) -> Read:
        """Read without waiting where there was more than asked for, else wait for the next."""
        rooms = {stream: lane.room for stream, lane in self.lanes.items() if lane.open}
        for stream, lane in self.lanes.items():
            lane.left_out = stream not in rooms
        if self._stopped:
            return []
        if not rooms or self._workplace.stopping:
            self._room.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await self._room.wait()
            return []
        least = min(rooms.values())
        if self._busy and (taking := self._turn(rooms)):
            read = await self._source.take(taking, AT_ONCE)
            self._busy = self._is_busy(read, taking)
            return read
        read = await self._source.wait(list(rooms), least)
        self._busy = self._is_busy(read, dict.fromkeys(rooms, least))
        return read

    def _is_busy(self, read: Read, asked: dict[str, int]) -> bool:
        """Tell whether there may be more than was read."""
        numbers = {stream: len(entries) for stream, entries in read}
        return sum(numbers.values()) >= AT_ONCE or any(n >= asked[stream] for stream, n in numbers.items())

    def _turn(self, rooms: dict[str, int]) -> dict[str, int]:
        """Let another stream come first at each read, so that none starves.

        What is under way comes before what is new, and keeps it out while there is enough of it: a burst of
        new events does not slow down the flows that run.
        """
        self._turns += 1
        streams = list(rooms)
        first = self._turns % len(streams)
        turned = sorted(streams[first:] + streams[:first], key=lambda stream: self.lanes[stream].is_new)
        enough = sum(len(lane.in_work) for lane in self.lanes.values()) >= 2 * AT_ONCE
        return {stream: rooms[stream] for stream in turned if not (enough and self.lanes[stream].is_new)}

    def _dispatch(self, read: Read) -> None:
        taken = self._workplace.clock.now()
        for stream, entries in read:
            deliveries = self.lanes[stream].accept(entries, taken)
            if len(deliveries) < len(entries):
                self.lanes[stream].note_given_again(entries, deliveries)
            if self._workplace.stopping:
                self.unstarted += deliveries
            elif deliveries:
                self.lanes[stream].runner.take(deliveries)

    def _is_doubtful(self, read: Read) -> bool:
        """Tell whether the group may have been reset since we looked: it goes backwards, or that was long
        ago.

        What comes within LOOK after a reset, and behind what this worker has read itself, passes as new.
        """
        doubtful = False
        for stream, entries in read:
            if stream in self._asked:
                first, newest = place(entries[0][0].decode()), self._newest.get(stream)
                doubtful |= newest is not None and first <= newest
                doubtful |= time.monotonic() - self._looked > LOOK
                self._newest[stream] = place(entries[-1][0].decode())
        return doubtful

    async def _read_history(self) -> None:
        """Look up what is replayed, where somebody asks."""
        if not self._asked:
            return
        self._looked = time.monotonic()
        shard = next(iter(self._asked.values())).shard
        fields = {lane: f"live:{lane.channel}|{lane.group}" for lane in self._asked.values()}
        found = (await shard.queries.hashes([shard.keys.groups], [list(fields.values())]))[0]
        for lane, field in fields.items():
            text = found.get(field.encode())
            lane.history = History.read(text.decode()) if text else None

    async def _read_own_pending(self) -> None:
        """Read what we were given and did not see: replies get lost when connections do."""
        self._recover = False
        for stream, lane in self.lanes.items():
            after = b"0"
            while entries := await self._source.own_pending(stream, after, MOST):
                after = entries[-1][0]
                deliveries = lane.accept(entries, self._workplace.clock.now())
                if deliveries:
                    lane.runner.take(deliveries)

    def _on_room(self) -> None:
        self._room.set()
        asyncio.get_running_loop().create_task(self._nudge())

    async def _nudge(self) -> None:
        try:
            await self._source.unblock()
        except ServerError as error:
            _log.debug("could not unblock: %s", error)

    async def _again(self, error: ServerError, pause: float) -> float:
        _log.warning("reading for %s again in %.2f s: %s", self.group, pause, error)
        self._recover = True
        await asyncio.sleep(pause)
        await self._source.reconnect()
        return min(pause * 2, 1.0)

    async def _restored(self) -> None:
        try:
            await self._restore()
        except ServerError as error:
            _log.warning("groups could not be restored: %s", error)
