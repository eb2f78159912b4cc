"""The proof can fail: take any guard out of a script, and the laws break in one of the hard schedules."""

import asyncio
import re
from hashlib import sha1
from random import Random

import pytest
import uvloop

from hybrid.ids import new_id
from hybrid.keys import Keys
from hybrid.streams.connection import Connections
from hybrid.streams.scripts import SCRIPTS, Script
from tests.conftest import swept
from tests.streams.schedules import HARD, play, play_hard
from tests.streams.world import World

MUTANTS = {
    "an entry is settled whoever else has": ("settle", r"(call\('XACK', .*?\)) == 0", r"\1 == -1"),
    "settled entries stay in queues": ("settle", r"if c\[5\] == 1 then", "if false then"),
    "the version is not checked": ("settle", r"return \(call\('HGET', .*? == c\[3\]", "return true"),
    "a result counts that nobody awaits": ("settle", r"= was\[2\] == ''", "= (was[2] or '') == ''"),
    "what is not awaited any more still counts": ("settle", r"if found\[result\] then", "if false then"),
    "a later result replaces the first": ("settle", r"if was\[2\] and not awaited then", "if false then"),
    "results of former runs count": ("settle", r"if was\[1\] ~= e\[4\]", "if false"),
    "an await does not see earlier results": ("settle", r"if found\[result\] == false then", "if false then"),
    "the last result wakes nobody up": ("settle", r"was\[3\] == '1' then", "false then"),
    "what was scheduled is taken twice": ("settle", r"return (call\('ZREM', .*?\)) == 1", r"return \1 < 2"),
    "a failure is taken twice": ("settle", r"return (call\('XDEL', .*?\)) == 1", r"return \1 < 2"),
    "effects without a claim": ("settle", r"if not mine then", "if false then"),
    "entries are not counted": ("settle", r"count\(e\[3\], 1\)", ""),
    "the living are taken from": ("takeover", r"if redis.call\('EXISTS', KEYS\[2\]\) == 1", "if false"),
    "dead consumers go with what they hold": ("takeover", "if #pending == 0 then", "if true then"),
    "empty dead consumers stay": ("takeover", r"redis.call\('XGROUP', 'DELCONSUMER', .*?\)", ""),
    "unsettled broadcasts are trimmed": ("retain", r"if safe and before\(safe, limit\)", "if false"),
    "the mark is what was delivered": ("retain", r"oldest and shift\(oldest, -1\) or last\)", "last)"),
    "a lost group begins at the end": ("register", r"local start = mark or", "local start = mark and '$' or"),
    "unfinished flows are forgotten": ("forget", r"if was\[1\] and .* then", "if true then"),
}  # fmt: skip


@pytest.fixture(scope="module")
def playing(server):
    """Play a schedule in a world of its own."""
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    client = Connections(server).commands()

    def one(schedule, *arguments):
        app = f"x{new_id()}"
        world = World(loop, client, Keys(app, "main", 0))
        try:
            schedule(world, *arguments)
        finally:
            world.close()
            swept(server, app)

    yield one
    loop.run_until_complete(client.aclose())
    loop.close()
    asyncio.set_event_loop(None)


@pytest.mark.parametrize("schedule", HARD, ids=lambda schedule: schedule.__name__)
def test_the_scripts_as_they_are_pass_what_is_hard(schedule, playing):
    playing(play_hard, schedule)


@pytest.mark.parametrize("seed", range(15))
def test_the_scripts_as_they_are_pass(seed, playing):
    playing(play, Random(seed), 80)


@pytest.mark.parametrize("name", MUTANTS)
def test_it_is_caught(name, playing, monkeypatch, record_property):
    script, old, new = MUTANTS[name]
    text, times = re.subn(old, new, SCRIPTS[script].text)
    assert times == 1, f"{script}.lua has changed: {old!r} is {times} times in it"
    monkeypatch.setitem(SCRIPTS, script, Script(text, sha1(text.encode()).hexdigest()))
    for schedule in HARD:
        try:
            playing(play_hard, schedule)
        except AssertionError as error:
            record_property("caught by", f"{schedule.__name__}: {error}")
            return
    pytest.fail(f"no schedule notices that {name}")
