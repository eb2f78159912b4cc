"""Runs that wait, kept in memory until their results come: a cache, and nothing more.

The record alone is the truth. A kept run goes on only if the record still is the one that it was left at; in
every other case (another mediator went on with the flow, the run had to make room, the process died) the
function is run again from the record. The idea is Temporal's sticky execution.
"""

from __future__ import annotations

from typing import NamedTuple

from hybrid.envelope import Envelope
from hybrid.mediator.replay import Run

MOST = 1_000
"""How many runs one mediator keeps; those that have waited longest make room."""


class Kept(NamedTuple):
    """A run that waits, and the envelope of its initiating event."""

    run: Run
    envelope: Envelope

    def wanted(self) -> list[str]:
        """Return the fields of the record that are needed to go on."""
        return ["version", "started", *(f"result:{n}" for n in sorted(self.run.flow.record.outstanding))]

    def fits(self, fields: dict[bytes, bytes]) -> bool:
        """Tell whether the record (its wanted fields) is the one that the run was left at."""
        facts = self.run.flow.record.facts
        return all(fields.get(name) == facts[name.decode()].encode() for name in (b"version", b"started"))


class KeptRuns:
    """The runs that one mediator keeps, by flow."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: dict[str, Kept] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, flow: str, kept: Kept) -> None:
        """Keep a run until it is taken, or has to make room."""
        self.drop(flow)
        self._kept[flow] = kept
        if len(self._kept) > self._most:
            self.drop(next(iter(self._kept)))

    def take(self, flow: str) -> Kept | None:
        """Hand out a flow's run, if it is kept."""
        return self._kept.pop(flow, None)

    def close(self) -> None:
        """End all runs, and keep none any more."""
        self._most = 0
        for flow in list(self._kept):
            self.drop(flow)

    def drop(self, flow: str) -> None:
        """End a flow's run, if it is kept."""
        if kept := self._kept.pop(flow, None):
            kept.run.close()
