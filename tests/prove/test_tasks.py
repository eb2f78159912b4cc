"""People's tasks whose workers are killed: each reminder, escalation, answer and timeout once."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from pathlib import Path

import pytest

from hybrid import Settings, TaskClosed, TaskEscalated, TaskOpened, TaskReminded
from hybrid.codec import unpack
from hybrid.errors import TaskOver
from tests.conftest import BINARIES
from tests.prove.approvals import TIMEOUT, Asked, Settled, application
from tests.prove.conftest import rounds, until
from tests.prove.fleet import Fleet
from tests.servers import spawn

pytestmark = pytest.mark.prove


async def told(store, event):
    """Return what was broadcast of a kind of event."""
    shard = store.shards[0]
    rows = await shard.queries.range(shard.keys.topic(event.type_name), most=100_000)
    return [event(**unpack(fields[b"data"])) for _, fields in rows]


async def test_each_timer_and_each_answer_counts_once(tmp_path: Path, dice) -> None:
    """Workers are killed again and again, while half of the tasks are answered by two people at once."""
    flows = [f"f-{n}" for n in range(rounds(60, 400))]
    binary = BINARIES[os.environ.get("HYBRID_TEST_SERVER", "valkey")]
    with spawn(binary, tmp_path / "server", extra_args=("--appendonly", "yes")) as server:
        settings = Settings.load(redis_url=server.url, lease_ms=1000, directory=tmp_path)
        environment = {
            "PROVE_APP": "tests.prove.approvals", "HYBRID_REDIS_URL": server.url, "HYBRID_LEASE_MS": "1000",
            "HYBRID_DIRECTORY": str(tmp_path),
        }  # fmt: skip
        fleet, app = Fleet(tmp_path, environment), application(settings)
        async with app.store() as store, app.client() as client:
            try:
                await fleet.start(count=3)
                await client.send_many([(Asked(id=id), id) for id in flows])
                answers = asyncio.create_task(answered(client, flows[::2]))
                end = time.monotonic() + TIMEOUT
                while time.monotonic() < end:
                    await asyncio.sleep(dice.uniform(0.2, 0.6))
                    dice.choice(fleet.living).kill9()
                    fleet.tend()
                said = await answers

                async def all_over() -> bool:
                    fleet.tend()
                    return len(await told(store, Settled)) == len(flows)

                await until("every flow has ended", all_over, within=rounds(60, 300))
                await check(store, flows, said)
            finally:
                fleet.close()


async def answered(client, flows) -> dict[str, str]:
    """Answer tasks, each by two people at once; return who was first, by flow."""
    left, said = set(flows), {}
    while left:
        for task in await client.tasks():
            if task.flow in left and task.escalates == 0:
                left.discard(task.flow)
                both = await asyncio.gather(*(says(client, task.id, by) for by in ("ann", "bob")))
                (said[task.flow],) = [by for by in both if by]
    return said


async def says(client, id: str, by: str) -> str:
    try:
        await client.answer(id, choice="yes", by=by)
    except TaskOver:
        return ""
    return by


async def check(store, flows, said) -> None:
    """Count what was told of each task."""
    shard = store.shards[0]
    assert Counter(event.flow for event in await told(store, TaskOpened)) == Counter(flows)
    assert Counter(event.flow for event in await told(store, TaskClosed)) == Counter(flows)
    assert Counter(event.flow for event in await told(store, TaskEscalated)) == Counter(flows)
    assert {e.id: e.by for e in await told(store, Settled)} == {id: said.get(id, "nobody") for id in flows}
    reminders: dict[str, list[int]] = {}
    for event in await told(store, TaskReminded):
        reminders.setdefault(event.flow, []).append(event.times)
    assert set(reminders) == set(flows)
    assert all(times == list(range(1, len(times) + 1)) for times in reminders.values())
    assert await shard.queries.size(shard.keys.tasks) == 0
    assert await shard.queries.size(shard.keys.timers) == 0
