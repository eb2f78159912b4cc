"""The desk's log: who did what with which failure, when and why, with the data before and after (secrets
masked). A line is written by the same settle that does it.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Any, NamedTuple

from hybrid.broker.shard import Store
from hybrid.codec import pack, unpack
from hybrid.keys import Keys
from hybrid.streams.transitions import Item, add

PAGE = 500
LONG = 500
"""Characters that a reason, and a name, may have; the rest is cut."""


class Deed(NamedTuple):
    """What a person does at the desk, and why."""

    who: str
    action: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class LogLine:
    """Something that was done. `when` in ms."""

    when: int
    who: str
    action: str
    reason: str
    failure: str
    """The failure's handle, as it was then."""
    type: str
    message: str
    """The id of the message, and the id that it has since it was mended, "" when it was not."""
    new: str
    group: str
    before: Any = None
    after: Any = None


def logged(keys: Keys, deed: Deed, line: LogLine) -> Item:
    """Return the effect that writes a line into the log; who, what and why are the deed's, and the entry's id
    tells when.
    """
    said = (deed.who[:LONG], deed.action, deed.reason[:LONG])
    facts = (line.failure, line.type, line.message, line.new, line.group, line.before, line.after)
    return add(keys.desk_log, "", ["e", pack([*said, *facts])])


async def desk_log(store: Store, id: str = "", most: int = 100) -> list[LogLine]:
    """Return the newest lines, newest first: all, or those of a failure or a message, under its id before or
    after it was mended.
    """
    found: list[LogLine] = []
    for shard in store.shards:
        mine: list[LogLine] = []
        upto = "+"
        while len(mine) < most and (
            entries := await shard.queries.newest(shard.keys.desk_log, upto, min(PAGE, most))
        ):
            lines = [_line(entry, fields[b"e"]) for entry, fields in entries]
            mine += [line for line in lines if id in ("", line.failure, line.message, line.new)]
            upto = f"({entries[-1][0].decode()}"
        found = heapq.nlargest(most, [*found, *mine[:most]], key=lambda line: line.when)
    return found


def _line(entry: bytes, packed: bytes) -> LogLine:
    return LogLine(int(entry.partition(b"-")[0]), *unpack(packed))
