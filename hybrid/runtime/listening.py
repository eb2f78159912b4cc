"""Listening as an instance: each process hears each event of a topic from when it started, at most once.

There is no group behind it: nothing is settled, counted, retried or waited for by retention, and nothing is
left behind. What comes while the process is away, or is trimmed before it was read, is not heard.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from types import NoneType
from typing import Any, get_type_hints

from hybrid.broker.shard import Shard
from hybrid.context import Context
from hybrid.envelope import Envelope, from_fields
from hybrid.errors import ApplicationError, HandlerError, ServerError
from hybrid.messages import Event
from hybrid.processor import Handler
from hybrid.runtime.invoke import Bound
from hybrid.runtime.workplace import Workplace
from hybrid.streams.queries import Queries

MOST = 100
"""The most that is read of a topic at once."""
_log = logging.getLogger("hybrid.listening")


class Ear:
    """A handler of every instance, in this one. It runs for so many events at the same time; while it can't
    take more, the shard's other ears wait, too.
    """

    def __init__(self, handler: Handler, workplace: Workplace) -> None:
        self.handler = handler
        self.bound = Bound(handler, workplace)
        self.room = asyncio.Semaphore(handler.concurrency or workplace.settings.concurrency)
        returned = get_type_hints(handler.function).get("return", NoneType)
        if returned is not NoneType:
            raise ApplicationError(
                f"{handler.name} returns something, and every instance would broadcast it: with"
                " every_instance=True a handler returns None"
            )


class Overheard(Context):
    """The context of an event that every instance hears."""

    def publish(self, event: Event) -> None:
        """Raise HandlerError: each instance would broadcast it."""
        raise HandlerError(f"{self.handler} publishes, and every instance would: only a group's handler may")

    def transaction(self) -> Any:
        """Raise HandlerError: there is no group, and so no inbox."""
        raise HandlerError(f"{self.handler} asks for a transaction: only a group's handler has an inbox")


class Listening:
    """Hears the topics of one shard for the ears of this process."""

    def __init__(self, shard: Shard, ears: Sequence[Ear], workplace: Workplace) -> None:
        self._shard = shard
        self._catalog = workplace.topology.catalog
        self._block = workplace.settings.block_ms
        self._client = shard.connections.blocking(self._block)
        self._queries = Queries(self._client, shard.connections.url)
        self._ears: dict[str, list[Ear]] = {}
        for ear in ears:
            self._ears.setdefault(shard.keys.topic(ear.handler.message.type_name), []).append(ear)
        self._last: dict[str, str] = {}
        self.running: set[asyncio.Task[None]] = set()
        """What is being handled now."""

    async def start(self) -> None:
        """Begin behind the newest event of each topic. Raises ServerUnavailable."""
        for topic in self._ears:
            newest = await self._shard.queries.newest(topic, most=1)
            self._last[topic] = newest[0][0].decode() if newest else "0-0"

    async def run(self) -> None:
        """Hear for ever; where the server was away, go on behind what was heard last."""
        while True:
            try:
                read = await self._queries.follow(self._last, self._block, MOST)
            except ServerError as error:
                _log.warning("listening again: %s", error)
                await asyncio.sleep(0.2)
                continue
            for topic, entries in read.items():
                for entry, fields in entries:
                    self._last[topic] = entry.decode()
                    await self._hear(topic, entry, fields)

    async def has_heard_all(self) -> bool:
        """Tell whether everything that is on the topics by now was heard, and is handled."""
        for topic, last in self._last.items():
            newest = await self._shard.queries.newest(topic, most=1)
            if newest and newest[0][0].decode() != last:
                return False
        return not self.running

    async def close(self) -> None:
        """Close the connection."""
        await self._client.aclose()

    async def _hear(self, topic: str, entry: bytes, fields: dict[bytes, bytes]) -> None:
        try:
            envelope = from_fields(fields, entry)
            event = self._catalog.decode(envelope.type, fields.get(b"data", b""), envelope.version)
        except Exception as error:  # whatever is wrong with a message, the next one goes on
            _log.error("entry %s of %s is not heard: %s", entry.decode(), topic, error)
            return
        for ear in self._ears[topic]:
            await ear.room.acquire()
            task = asyncio.create_task(_handle(ear, envelope, event))
            self.running.add(task)
            task.add_done_callback(self.running.discard)


async def _handle(ear: Ear, envelope: Envelope, event: Any) -> None:
    context = Overheard(envelope, ear.bound.name) if ear.bound.wants_context else None
    try:
        reply = await ear.bound.call(event, context)
    except Exception as error:
        _log.error("%s failed for %s, which is not tried again", ear.bound.name, envelope.id, exc_info=error)
    else:
        if reply is not None:
            _log.error("%s returned a %s, which goes nowhere", ear.bound.name, type(reply).__name__)
    finally:
        ear.room.release()
