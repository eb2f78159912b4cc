"""The known answers that stand with the demo's events, and what differs from them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from hybrid.broker.shard import Store
from hybrid.inspect.flows import summaries
from hybrid.inspect.loose import loose_flows
from hybrid.inspect.pulse import Pulse
from hybrid.inspect.query import Query
from hybrid.inspect.status import status
from hybrid.topology import Topology
from processors.summary import summary

MOST = 10
"""So many differences are told of one check."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One thing that was checked, and what is wrong with it; nothing when it is fine."""

    what: str
    wrong: tuple[str, ...]


def events() -> list[dict[str, Any]]:
    """Return the demo's events: {"type", "id", "data"} each."""
    text = (files("cli") / "demo_data" / "events.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def expected() -> dict[str, Any]:
    """Return the known answers."""
    text = (files("cli") / "demo_data" / "expected.json").read_text(encoding="utf-8")
    return json.loads(text)  # type: ignore[no-any-return]


async def judge(store: Store, topology: Topology, pulse: Pulse, answers: dict[str, Any]) -> list[Verdict]:
    """Return what is checked at the end of the demo."""
    messages = {
        "outcomes": dict(pulse.outcomes),
        "broadcasts": pulse.messages("topic"),
        "commands": pulse.messages("command"),
        "retries": pulse.retried,
    }
    known = {name: answers[name] for name in messages}
    books = await status(store, topology)
    loose = await loose_flows(store, topology)
    unfinished = [f"{pulse.unfinished} unfinished"] if pulse.unfinished else []
    return [
        _verdict("outcomes and messages equal the known answers", differences(known, messages)),
        _verdict("the rows in the database agree", differences(answers["database"], summary(store.settings))),
        _verdict("no flow is unfinished", unfinished + [f"{flow.flow}: {flow.missing}" for flow in loose]),
        _verdict("the ledger balances", [] if books.ledger.balanced else books.problems),
    ]


def differences(expected: Any, found: Any, place: str = "") -> list[str]:
    """Return where two values differ: `place: expected …, found …`."""
    if isinstance(expected, dict) and isinstance(found, dict):
        keys = sorted({*expected, *found})
        return [
            text
            for key in keys
            for text in differences(
                expected.get(key), found.get(key), f"{place}.{key}" if place else str(key)
            )
        ]
    return [] if expected == found else [f"{place}: expected {expected}, found {found}"]


async def order_times(store: Store, topology: Topology, type: str) -> list[int]:
    """Return how long (ms) each flow of this type took, from sent to ended."""
    found = await summaries(store, topology, Query(type=type, ended=True), most=100_000)
    return [flow.ended - flow.sent for flow in found if flow.ended]


def percentiles(values: list[int]) -> tuple[int, int]:
    """Return the median and the 99th percentile; 0 when there are no values."""
    ordered = sorted(values) or [0]
    return ordered[len(ordered) // 2], ordered[min(len(ordered) * 99 // 100, len(ordered) - 1)]


def _verdict(what: str, wrong: list[str]) -> Verdict:
    more = [f"… and {len(wrong) - MOST} more"] if len(wrong) > MOST else []
    return Verdict(what, tuple(wrong[:MOST] + more))
