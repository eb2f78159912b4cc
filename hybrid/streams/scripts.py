"""The Lua scripts, each behind a typed name. With `connection.py` the only door to Redis.

Each script stands in lua/NAME.lua, with a contract at its head; a line `-- with NAME` in it puts
lua/shared/NAME.lua before it. A script that the server does not know (yet, or after a restart) is loaded and
called again: NOSCRIPT means that it has not run.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from hashlib import sha1
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, NamedTuple

import msgpack
import redis

from hybrid.codec import joined_for_script, pack_for_script
from hybrid.streams.connection import AT_ONCE, plain_errors
from hybrid.streams.link import Client
from hybrid.streams.transitions import Transition, packed


class Script(NamedTuple):
    """A script's text and its SHA-1, by which Redis knows it."""

    text: str
    sha: str


_LUA = files("hybrid.streams") / "lua"


def _load(file: Traversable) -> Script:
    text = file.read_text()
    for shared in re.findall(r"^-- with (\w+)$", text, re.MULTILINE):
        text = (_LUA / "shared" / f"{shared}.lua").read_text() + text
    return Script(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


SCRIPTS = {
    file.name.removesuffix(".lua"): _load(file) for file in _LUA.iterdir() if file.name.endswith(".lua")
}


class Send(NamedTuple):
    """A message on its way in: its id, the stream of its channel, and all that the script needs, packed: one
    object instead of many that the garbage collector would have to look at.
    """

    id: str
    stream: str
    packed: bytes

    @classmethod
    def of(
        cls, id: str, stream: str, counter: str, fields: list[Any], when: tuple[str, int] | None = None
    ) -> Send:
        """Pack a message: the counter of its channel, the entry's fields, and when it is sent if not now:
        ("at", ms since 1970) or ("after", ms).
        """
        return cls(id, stream, pack_for_script((id, stream, counter, fields, *(when or ()))))


class Moved(NamedTuple):
    """What a reset of a group does: how many deliveries come again, how many are passed over, its place."""

    again: int
    passed: int
    position: str


class Due(NamedTuple):
    """What is due: in how many ms the next thing is (-1 for nothing), how many ms were skipped (in a test
    store), and what is due in each schedule.
    """

    following: int
    skipped: int
    members: list[list[bytes]]


class KindRow(NamedTuple):
    """How many failures (`number`) are of a kind (b"" when that is not told), and when (ms) the first and the
    last of them failed.
    """

    kind: bytes
    number: int
    first: int
    last: int


class Removed(NamedTuple):
    """What a removal of a group came to: 1 done, 0 there is none, -1 a consumer lives, -2 it has something
    besides; how many entries were waiting and pending, and what it has besides.
    """

    code: int
    waiting: int
    pending: int
    besides: int


class GroupRow(NamedTuple):
    """A group of a topic as it stands in Redis; `mark` and `live` are empty when there are none."""

    group: str
    position: str
    waiting: int
    pending: int
    oldest: str
    mark: str
    live: str
    consumers: tuple[str, ...]


Entries = list[tuple[bytes, dict[bytes, bytes]]]


class Scripts:
    """The scripts on one client. Every method may raise ServerUnavailable or ServerError."""

    def __init__(self, client: Client, url: str) -> None:
        self._client = client
        self._url = url
        self._turn = asyncio.Semaphore(AT_ONCE // 2)

    async def settle(self, counters: str, transitions: Sequence[Transition]) -> list[int]:
        """Apply transitions; return for each 1 applied, 0 already handled, -1 a check failed."""
        keys, batch = packed(counters, transitions)
        return await self.settle_packed(keys, batch)

    async def settle_packed(self, keys: list[str], batch: bytes) -> list[int]:
        """Apply a batch that `packed` made."""
        return await self._call("settle", keys, batch)  # type: ignore[no-any-return]

    async def send(self, keys: list[str], window: tuple[int, int], sends: Sequence[Send]) -> list[int]:
        """Store messages from outside; return for each 1 stored, 0 its id was seen before.

        `keys` are the counters' hash, the two sets of seen ids, and what is scheduled; `window` how long (ms)
        and how many ids are kept.
        """
        streams = dict.fromkeys(send.stream for send in sends)
        batch = joined_for_script([send.packed for send in sends])
        return await self._call("send", [*keys, *streams], *window, batch)  # type: ignore[no-any-return]

    async def takeover(
        self, stream: str, lease: str, group: str, dead: str, me: str, most: int
    ) -> Entries | None:
        """Claim what a dead consumer left pending; None when it lives after all."""
        reply = await self._call("takeover", [stream, lease], group, dead, me, most)
        if reply is None:
            return None
        return [(entry[0], pairs(entry[1])) for entry in reply if entry and entry[1] is not None]

    async def due(self, counters: str, zsets: list[str], most: int) -> Due:
        """Look at what is due in these schedules, at most so many things in each."""
        following, skipped, *members = await self._call("due", [counters, *zsets], most)
        return Due(following, skipped, members)

    async def skip(self, store: str, counters: str, ms: int) -> bool:
        """Let time pass at once; False, and nothing is changed, when this is no test store."""
        return bool(await self._call("skip", [store, counters], ms))

    async def register(self, keys: list[str], group: str, channel: str, start: str) -> int:
        """Make sure that a group of a topic exists: 0 it did, 1 it is new, 2 it is re-created.

        `keys` are the topic, the groups' hash and the counters' hash; `channel` the topic's channel name.
        """
        return await self._call("register", keys, group, f"{channel}|{group}", start, f"entered:{channel}")  # type: ignore[no-any-return]

    async def reset(
        self, keys: list[str], group: str, channel: str, position: str, *, really: bool = True
    ) -> Moved | None:
        """Move a group of a topic to a position (0 the beginning, $ the end), or tell what that would do;
        None when there is no such group.

        `keys` are the topic, the groups' hash, the counters' hash, the starts' hash, and the group's gate,
        held and own.
        """
        field = f"{channel}|{group}"
        reply = await self._call("reset", keys, group, field, position, int(really))
        return Moved(reply[0], reply[1], reply[2].decode()) if reply else None

    async def remove(
        self,
        keys: list[str],
        group: str,
        channel: str,
        repairs: Sequence[str] = (),
        *,
        whole: bool,
        anyway: bool,
    ) -> Removed:
        """Delete a group of a topic; `whole` when its component goes with it, `anyway` with all that it has
        besides.

        `keys` are the topic, the groups' hash, the counters' hash, the starts' hash, the component's own
        queue, later, failed, archived, held and gate, its queues of repairs (`repairs` are their counters),
        and the leases of those whose life forbids it.
        """
        words = [group, f"{channel}|{group}", f"entered:{channel}", int(whole), int(anyway), *repairs]
        return Removed(*await self._call("remove", keys, *words))

    async def groups(self, groups: str, topics: dict[str, str]) -> dict[str, list[GroupRow]]:
        """Return the groups of topics, by channel name; `topics` are the keys by channel name, `groups` the
        groups' hash.
        """
        reply = await self._call("groups", [groups, *topics.values()], *topics)
        return {
            channel: [
                GroupRow(
                    name.decode(), position.decode(), waiting, pending, oldest.decode(), mark.decode(),
                    live.decode(), tuple(consumer.decode() for consumer in consumers),
                )
                for name, position, waiting, pending, oldest, mark, live, *consumers in rows
            ]
            for channel, rows in zip(topics, reply, strict=True)
        }  # fmt: skip

    async def kinds(
        self, failures: str, first: str, last: str, most: int, since: int
    ) -> tuple[str, list[KindRow]]:
        """Count a page of failures by kind, none from before `since` (ms); return the page's last id too, ""
        when no page follows.
        """
        reply = await self._call("kinds", [failures], first, last, most, since)
        return reply[0].decode(), [KindRow(*row) for row in reply[1:]]

    async def retain(
        self, keys: list[str], channel: str, limits: tuple[int, int, int, int], groups: list[str]
    ) -> tuple[int, int]:
        """Trim a topic to its limits (entries, bytes, ms, hard entries); return (removed, cut).

        `keys` are the topic, the groups' hash, the counters' hash, and of each group its gate, held and own.
        """
        removed, cut = await self._call("retain", keys, channel, *limits, *groups)
        return removed, cut

    async def forget(self, outcomes: str, flows: Sequence[tuple[bytes, bytes, str, str]]) -> int:
        """Delete ended flows, given as (entry in outcomes, run, record, history)."""
        keys = [outcomes, *(key for *_, record, history in flows for key in (record, history))]
        ended = (each for entry, run, *_ in flows for each in (entry, run))
        return await self._call("forget", keys, *ended)  # type: ignore[no-any-return]

    async def store(
        self, key: str, format: int, shards: int, id: str, *, test: bool = False
    ) -> tuple[int, int, str]:
        """Create the store, for tests where `test`, or read how it was created: (format, shards, id)."""
        reply = await self._call("store", [key], format, shards, id, int(test))
        return int(reply[0]), int(reply[1]), reply[2].decode()

    async def ledger(self, keys: list[str], group: str, layout: list[Any]) -> list[Any]:
        """Look at where everything is; see ledger.lua for the shapes."""
        reply = await self._call("ledger", keys, group, pack_for_script(layout))
        return msgpack.unpackb(reply)  # type: ignore[no-any-return]

    async def _call(self, name: str, keys: Sequence[str], *arguments: Any) -> Any:
        with plain_errors(self._url):
            async with self._turn:
                return await call_script(self._client, name, keys, *arguments)


async def call_script(client: Client, name: str, keys: Sequence[str], *arguments: Any) -> Any:
    """Call a script; load it first where the server does not know it."""
    script = SCRIPTS[name]
    try:
        return await client.raw("EVALSHA", script.sha, len(keys), *keys, *arguments)
    except redis.exceptions.NoScriptError:
        return await client.raw("EVAL", script.text, len(keys), *keys, *arguments)


def pairs(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return a flat list of names and values as a dict."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def entries_of(rows: Sequence[Any]) -> Entries:
    """Return stream entries with their fields as a dict. A pending entry that was trimmed has none."""
    return [(id, pairs(flat or ())) for id, flat in rows]
