"""Recorded flows in tests: they are run again on the code as it is now, and must do what they did."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Protocol

from hybrid.inspect.checks import Check, Differing
from hybrid.inspect.histories import imported
from hybrid.mediator.record import FlowRecord
from hybrid.topology import Topology

Recorded = str | PathLike[str] | Iterable[FlowRecord]
"""The path of a file that `hybrid flows export` wrote, or records."""


class Code(Protocol):
    """What flows are run again on: an App."""

    @property
    def topology(self) -> Topology:
        """The components, checked."""


def replay(app: Code, flows: Recorded) -> int:
    """Run recorded flows again on an application's functions; return how many were checked.

    Raises AssertionError, which names the first step that differs, when one does something else than it did,
    and when there was none to check; FlowError for a file that is none of these, OSError.
    """
    check = Check(app.topology)
    if isinstance(flows, str | PathLike):
        with Path(flows).open(encoding="utf-8") as lines:
            for history in imported(lines):
                check.take(history.record)
    else:
        for record in flows:
            check.take(record)
    if check.differing:
        raise AssertionError("recorded flows differ from the code:" + "".join(map(_told, check.differing)))
    if not check.checked:
        why = "; ".join(f"{number}: {reason}" for reason, number in check.left_out.items())
        raise AssertionError(f"there is no recorded flow to check{f' ({why})' if why else ''}")
    return check.checked


def _told(kind: Differing) -> str:
    flows = ", ".join(kind.examples) + (", …" if kind.flows > len(kind.examples) else "")
    where = f"{kind.mediator}, {kind.type}, version {kind.version}"
    return f"\n  {where}: {kind.difference}; {kind.flows} ({flows})"
