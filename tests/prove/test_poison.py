"""Messages that kill the process that handles them."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.prove.conftest import World, rounds, until
from tests.prove.shop import BombSent

pytestmark = pytest.mark.prove


async def test_a_message_that_kills_its_workers(world: World) -> None:
    """It ends among the failures after some starts, and takes nobody else with it."""
    await world.fleet.start(count=2)
    await world.load.send(20)
    world.load.begin(batch=2)
    bombs = world.audit.bombs
    for n in range(rounds(2, 6)):
        bombs.append(f"b-{n}")
        await world.client.send(BombSent(bomb=f"b-{n}", how="exit" if n % 2 else "segv"), id=f"b-{n}")

    async def all_failed() -> bool:
        world.fleet.tend()
        return len(await world.audit.failures("bombs")) == len(bombs)

    await until("the bombs are among the failures", all_failed, within=rounds(90, 300))
    world.fleet.tend()
    await world.load.end()
    await world.audit.clean()
    explosions = Counter((world.app.settings.directory / "explosions").read_text().split())
    starts = world.app.settings.poison_starts
    assert set(explosions) == set(bombs)
    assert all(starts <= times <= starts + 1 for times in explosions.values()), explosions
