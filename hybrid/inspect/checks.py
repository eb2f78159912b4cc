"""Checks of an application's code against recorded flows: how many fit, and where the others differ."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hybrid.mediator.checking import Difference, differs
from hybrid.mediator.record import FlowRecord
from hybrid.topology import Topology

EXAMPLES = 3
"""So many flows are named for each kind of difference."""


@dataclass(slots=True)
class Differing:
    """Flows that differ from the code in one way. `difference` is the first one's, `flows` how many they
    are.
    """

    mediator: str
    type: str
    version: int
    difference: Difference
    flows: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Check:
    """What came of checking flows one by one against an application."""

    topology: Topology
    fit: int = 0
    kinds: dict[tuple[object, ...], Differing] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    """How many could not be checked, by the reason."""

    @property
    def differing(self) -> list[Differing]:
        """The ways in which flows differ, those with most flows first."""
        return sorted(self.kinds.values(), key=lambda kind: -kind.flows)

    @property
    def checked(self) -> int:
        """How many flows were checked."""
        return self.fit + sum(kind.flows for kind in self.kinds.values())

    def take(self, record: FlowRecord) -> None:
        """Check a flow."""
        facts = record.facts
        name, type, code = facts.get("mediator", ""), facts.get("type", ""), int(facts.get("code", 0))
        mediator = self.topology.mediators.get(name)
        versions = {cls.type_name: flows for cls, flows in mediator.flows.items()} if mediator else {}
        function = versions.get(type, {}).get(code)
        if not code:
            self.left_out["they have not begun, and run on the newest version"] += 1
        elif function:
            found = differs(function, record, self.topology.catalog)
            self._count(name, type, code, found, record.id)
        elif record.ended or record.ending:
            self.left_out[f"they ended on version {code} of {name}'s flow for {type}, which is gone"] += 1
        else:
            self._count(name, type, code, Difference(0, f"version {code}", "not registered"), record.id)

    def _count(self, mediator: str, type: str, code: int, found: Difference | None, flow: str) -> None:
        if found is None:
            self.fit += 1
            return
        what = found.now.partition(":")[0]  # of an error its class: its text may be each flow's own
        kind = mediator, type, code, found.step, found.was, what
        differing = self.kinds.setdefault(kind, Differing(mediator, type, code, found))
        differing.flows += 1
        if len(differing.examples) < EXAMPLES:
            differing.examples.append(flow)
