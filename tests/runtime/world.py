"""A world for tests of running applications: makes them on a store of the test's own, and looks at what they
did there.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgpack

from hybrid import App, Client, Settings
from hybrid.broker.failures import Failure
from hybrid.broker.log import LogEntry, entries_of
from hybrid.codec import pack
from hybrid.envelope import Envelope, from_fields, to_fields
from hybrid.keys import Keys
from hybrid.mediator.record import FlowRecord
from hybrid.messages import Command, Event
from hybrid.repair.ways import sent_back
from hybrid.runtime.worker import Worker

PATIENCE = 15.0
"""Seconds after which a condition that has not come is given up."""


async def until(condition: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Wait until the condition (a function, async or not) holds; return what it gave."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return found
        assert time.monotonic() < deadline, (
            f"has not come within {seconds:g} s: {inspect.getsource(condition)}"
        )
        await asyncio.sleep(0.01)


class World:
    """The store of one test. `raw` is a plain Redis client, `keys` are those of shard 0."""

    def __init__(self, name: str, settings: Settings, raw: Any) -> None:
        self.name, self.settings, self.raw = name, settings, raw
        self.keys = Keys(name, settings.domain, 0)

    def app(self, *components: Any, resources: Any = (), messages: Any = (), **changes: Any) -> App:
        """Return an application of these components on this store, with these changes of the settings."""
        settings = Settings.load(**{**self.settings.model_dump(), **changes})
        return App(self.name, components, resources=resources, messages=messages, settings=settings)

    @asynccontextmanager
    async def running(self, *components: Any, **options: Any) -> AsyncIterator[Client]:
        """Run all components in one worker, and give a client."""
        async with self.app(*components, **options).running() as client:
            yield client

    async def tell(self, *commands: Command, **facts: Any) -> None:
        """Put commands on their queues, as no flow's."""
        for n, command in enumerate(commands):
            key = self.keys.command(command.type_name)
            envelope = Envelope(f"c{n}", command.type_name, key=command.message_key())._replace(**facts)
            flat = to_fields(envelope, pack(command.__dict__))
            self.raw.xadd(key, dict(zip(flat[::2], flat[1::2], strict=True)))

    async def broadcast(self, app: App, *events: Event) -> None:
        """Put events on their topics."""
        async with app.client() as client:
            for event in events:
                await client.publish(event)

    def failures(self, component: str) -> list[Failure]:
        """Return the failures of a component, oldest first."""
        rows = self.raw.xrange(self.keys.failed(component))
        return [Failure.read(component, entry, fields) for entry, fields in rows]

    async def failure(self, component: str) -> Failure:
        """Wait for a failure of a component; return the oldest."""
        return (await until(lambda: self.failures(component)))[0]

    async def send_back(self, app: App, failure: Failure) -> int:
        """Send a failure back to the group where it failed; return the code of the settle."""
        async with app.store() as store:
            shard = store.shards[0]
            return (await shard.scripts.settle(shard.keys.counters, [sent_back(shard.keys, failure)]))[0]

    def broadcasts(self, event: type[Event]) -> list[Envelope]:
        """Return the envelopes on an event's topic, oldest first."""
        return [
            from_fields(fields, entry) for entry, fields in self.raw.xrange(self.keys.topic(event.type_name))
        ]

    def log(self) -> list[LogEntry]:
        """Return the settle log, oldest first."""
        return [said for _, fields in self.raw.xrange(self.keys.log) for said in entries_of(fields)]

    def outcomes(self, component: str) -> list[str]:
        """Return what the deliveries of a component came to, oldest first."""
        return [entry.outcome for entry in self.log() if entry.component == component]

    def counters(self) -> dict[str, int]:
        """Return the counters."""
        return {name.decode(): int(value) for name, value in self.raw.hgetall(self.keys.counters).items()}

    def counter(self, name: str) -> int:
        """Return one counter."""
        return self.counters().get(name, 0)

    def flow(self, id: str) -> FlowRecord:
        """Return a flow's record; an empty one when there is none."""
        return FlowRecord.read(id, self.raw.hgetall(self.keys.flow(id)))

    def pending(self, stream: str, group: str = "hybrid") -> int:
        """Return how many entries of a group are read and not settled."""
        return int(self.raw.xpending(stream, group)["pending"])

    def check_versions(self) -> None:
        """Check that every flow that a function carries on is counted on its version, and nothing else is."""
        expected: Counter[str] = Counter()
        for id in self.raw.zrange(self.keys.flows, 0, -1):
            record = self.flow(id.decode())
            if record.begun and not record.ended and not record.ending and "code" in record.facts:
                facts = record.facts
                expected[f"running:{facts['mediator']}/{facts['type']}/{facts['code']}"] += 1
        found = {name: n for name, n in self.counters().items() if name.startswith("running:") and n}
        assert found == dict(expected)

    def consumers(self) -> dict[str, list[Any]]:
        """Return what consumers say of themselves."""
        rows = self.raw.hgetall(self.keys.consumers)
        return {name.decode(): msgpack.unpackb(value) for name, value in rows.items()}


@asynccontextmanager
async def working(app: App, *names: str) -> AsyncIterator[Worker]:
    """Run a worker of an application; names as for `App.worker`."""
    async with app.worker(names) as worker:
        yield worker
