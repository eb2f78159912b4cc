"""FastStream's Redis stream subscriber at the work of floor/broker.py, and at one idle hop.

Modes:
- `message`: typed handler for each message, in a consumer group: consume, publish the follow-up event,
  XACK.
- `batch`: FastStream's batch subscriber: the handler gets a list of events, publishes the follow-ups in one
  pipeline (`broker.publish(..., pipeline=...)`, as documented), one XACK for the whole batch.
- `idle`: one event at a time through an idle system, from the call of `publish` to the entry of the
  handler; publisher and subscriber share the process, the broker and its pool, with 5 ms of rest before
  each event.

Settings, the fastest that we found on two cores (tried: max_workers 1 to 90, max_records 100 to 1,000,
RESP2 and RESP3): uvloop, hiredis, orjson where installed (FastStream takes it by itself), no logger (it
logs every message otherwise), `PydanticSerializer(use_fastdepends_errors=False)`, one worker process;
`message`: max_workers=8, max_records=100; `batch`: max_records=500; `idle`: max_workers=1. Pool: redis-py's
own ConnectionPool with its default limit (100 connections); the modes use at most 8 of them. Messages are
acknowledged after the handler and its publisher are through, FastStream's default for streams; so they are
at-least-once, without retries, take-over, trimming or settle log.

Clock of `message` and `batch`: from the entry of the first handler until nothing is pending and all
follow-ups are stored.

Usage: python -m benchmarks.rivals.faststream_streams URL N [message|batch|idle]
Prints one JSON line. Empties the database!
"""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable

import redis.asyncio as redis
import uvloop
from fast_depends.pydantic import PydanticSerializer
from faststream.redis import RedisBroker, StreamSub
from pydantic import BaseModel

IN, OUT, GROUP = "rival:order-created", "rival:email-sent", "notification"
WORKERS, RECORDS, BATCH = 8, 100, 500
POLL_MS = 1000
WARM_UP = 20
REST_S = 0.005

Result = dict[str, str | float]


class OrderCreated(BaseModel):
    """The event that is consumed, as in floor/broker.py."""

    order_id: str
    customer: str
    amount: float
    items: list[str]


class EmailSent(BaseModel):
    """The follow-up event."""

    order_id: str
    customer: str


ORDER = OrderCreated(order_id="o-123456", customer="c-1", amount=12.5, items=["a", "b", "c"])


class Progress:
    """Counts handled events; `started` is when the first handler was entered, in seconds."""

    def __init__(self, expected: int) -> None:
        self.expected, self.seen, self.started = expected, 0, 0.0
        self.all_seen = asyncio.Event()

    def add(self, events: int) -> None:
        """Note that a handler was entered with so many events."""
        self.started = self.started or time.perf_counter()
        self.seen += events
        if self.seen >= self.expected:
            self.all_seen.set()


async def preload(broker: RedisBroker, client: redis.Redis, messages: int) -> None:
    """Put the events into the stream, in FastStream's own format, and create the group at its beginning."""
    for start in range(0, messages, 500):
        pipe = client.pipeline(transaction=False)
        for i in range(start, min(start + 500, messages)):
            await broker.publish(ORDER, stream=IN, correlation_id=f"f-{i}", pipeline=pipe)
        await pipe.execute()
    await client.xgroup_create(IN, GROUP, id="0", mkstream=True)


def subscribe_each(broker: RedisBroker, progress: Progress) -> None:
    """A handler for each message; what it returns is published by FastStream."""
    sub = StreamSub(IN, group=GROUP, consumer="c1", max_records=RECORDS, polling_interval=POLL_MS)

    @broker.publisher(stream=OUT)
    @broker.subscriber(stream=sub, max_workers=WORKERS)
    async def handle(event: OrderCreated) -> EmailSent:
        progress.add(1)
        return EmailSent(order_id=event.order_id, customer=event.customer)


def subscribe_batch(broker: RedisBroker, client: redis.Redis, progress: Progress) -> None:
    """A handler for a list of messages that publishes its follow-ups in one pipeline."""
    sub = StreamSub(IN, group=GROUP, consumer="c1", batch=True, max_records=BATCH, polling_interval=POLL_MS)

    @broker.subscriber(stream=sub)
    async def handle(events: list[OrderCreated]) -> None:
        progress.add(len(events))
        pipe = client.pipeline(transaction=False)
        for event in events:
            await broker.publish(
                EmailSent(order_id=event.order_id, customer=event.customer), stream=OUT, pipeline=pipe
            )
        await pipe.execute()


async def settled(client: redis.Redis, messages: int) -> None:
    """Wait until all follow-ups are stored and nothing is pending."""
    while await client.xlen(OUT) < messages or (await client.xpending(IN, GROUP))["pending"]:
        await asyncio.sleep(0.002)


async def consume(broker: RedisBroker, client: redis.Redis, mode: str, messages: int) -> Result:
    """Messages per second, and microseconds of CPU for each, of one of the two ways to consume."""
    progress = Progress(messages)
    await preload(broker, client, messages)
    if mode == "batch":
        subscribe_batch(broker, client, progress)
    else:
        subscribe_each(broker, progress)
    cpu = time.process_time()
    await broker.start()
    await progress.all_seen.wait()
    await settled(client, messages)
    wall, used = time.perf_counter() - progress.started, time.process_time() - cpu
    settings = f"max_records={BATCH}" if mode == "batch" else f"max_workers={WORKERS}, max_records={RECORDS}"
    return {"per_s": round(messages / wall), "cpu_us": round(1e6 * used / messages, 1), "settings": settings}


async def idle(broker: RedisBroker, client: redis.Redis, _: str, events: int) -> Result:
    """Milliseconds from the call of `publish` to the entry of the handler, one event at a time."""
    await client.xgroup_create(IN, GROUP, id="0", mkstream=True)
    entered: asyncio.Queue[float] = asyncio.Queue()

    @broker.subscriber(
        stream=StreamSub(IN, group=GROUP, consumer="c1", max_records=RECORDS, polling_interval=POLL_MS)
    )
    async def handle(event: OrderCreated) -> None:
        entered.put_nowait(time.perf_counter())

    await broker.start()
    times = []
    for _i in range(events + WARM_UP):
        await asyncio.sleep(REST_S)
        sent = time.perf_counter()
        await broker.publish(ORDER, stream=IN)
        times.append(1e3 * (await entered.get() - sent))
    times = sorted(times[WARM_UP:])
    p99 = times[int(0.99 * len(times))]
    return {
        "p50_ms": round(statistics.median(times), 3),
        "p99_ms": round(p99, 3),
        "settings": f"max_workers=1, max_records={RECORDS}",
    }


Measure = Callable[[RedisBroker, redis.Redis, str, int], Awaitable[Result]]
MODES: dict[str, Measure] = {"message": consume, "batch": consume, "idle": idle}


async def run(url: str, number: int, mode: str) -> Result:
    """One mode on an empty database."""
    broker = RedisBroker(url, logger=None, serializer=PydanticSerializer(use_fastdepends_errors=False))
    client = redis.from_url(url)
    await client.flushdb()
    pool = (await broker.connect()).connection_pool
    result = await MODES[mode](broker, client, mode, number)
    await broker.stop()
    await client.aclose()
    return (
        {"rival": f"faststream {mode}"}
        | result
        | {"pool": f"{type(pool).__name__}, max_connections={pool.max_connections}"}
    )


if __name__ == "__main__":
    print(
        json.dumps(
            uvloop.run(run(sys.argv[1], int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "message"))
        )
    )
