"""Mending: which repair a failure goes to, and what goes back in its place.

Who has mended what along a chain stands in the field `mended` of a message's entry, a line FIXER, tab,
FINGERPRINT for each time. A failure that comes back under a fingerprint that the same fixer has mended is not
mended again; so a chain goes on only by ever new failures, and is cut off at MOST.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from hybrid.broker.failures import Failure
from hybrid.ids import derived_id
from hybrid.keys import Keys
from hybrid.messages import Message
from hybrid.processor import Handler
from hybrid.repair.mended import mended
from hybrid.streams.transitions import Item, add
from hybrid.topology import Topology

MENDED = b"mended"
"""The field of an entry that says by whom, and of what, the message was mended."""
FUNCTION = b"function"
"""The field of an entry in a repair queue that names the function to call."""
MOST = 10
"""How often a message is mended along one chain."""
LONGEST = 200
"""How much of a fingerprint is remembered, in characters."""


class Route(NamedTuple):
    """Where a failure goes: to a function that repairs it, or, without one, to the desk, with this note."""

    repair: Handler | None = None
    note: str = ""


def route(topology: Topology, failure: Failure, error: BaseException) -> Route:
    """Return where a failure goes."""
    envelope = failure.envelope
    repair = topology.repair_of(failure.component, envelope.type, error) if envelope else None
    if repair is None:
        return Route()
    chain, fixer = mendings(failure), repair.component
    if (fixer, _mark(failure)) in chain:
        return Route(note=f"{fixer} has mended it already, and it failed in the same way again")
    if len(chain) >= MOST:
        return Route(note=f"it was mended {len(chain)} times and fails still: the repairs loop")
    return Route(repair)


def mendings(failure: Failure) -> list[tuple[str, str]]:
    """Return who has mended it, and of what: (fixer, fingerprint) each, the first first."""
    lines = failure.fields.get(MENDED, b"").decode(errors="replace").splitlines()
    return [(fixer, mark) for fixer, _, mark in (line.partition("\t") for line in lines)]


def repair_output(keys: Keys, failure: Failure, repair: Handler) -> Item:
    """Return the effect that hands a failure to a workflow processor. It is its group's still, and counts as
    entered nowhere; by the counter the queue is found when the application has no such component any more.
    """
    queue = keys.repair(repair.component, failure.component)
    return add(queue, f"repairs:{keys.channel(queue)[7:]}", [*failure.packed(), FUNCTION, repair.name])


def repaired(
    failure: Failure, fixer: str, message: Message, limit: int, *, initiating: bool = False
) -> dict[bytes, bytes]:
    """Return the entry that goes back for what this workflow processor has mended; its data is at most so
    many bytes. An `initiating` event keeps its id, which is its flow's name. Raises as `mended`.
    """
    assert failure.envelope is not None, "only what has an envelope is repaired"
    was = failure.envelope.id
    id = was if initiating else derived_id(was, fixer, "repair", failure.fingerprint)
    chain = [*mendings(failure), (fixer, _mark(failure))]
    lines = "\n".join("\t".join(mending) for mending in chain)
    said = {MENDED: lines.encode()} if initiating else {MENDED: lines.encode(), b"source": fixer.encode()}
    return mended(failure, message, id, limit) | said


def noted(failure: Failure, note: str) -> Failure:
    """Return a failure with a note for the person who looks at it."""
    return replace(failure, note=note) if note else failure


def _mark(failure: Failure) -> str:
    """Return a failure's fingerprint as it stands in a line."""
    return " ".join(failure.fingerprint.split())[:LONGEST]
