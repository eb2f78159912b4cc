"""Histories: the records of flows, as a store or an exported file has them, for code to be checked against.

A file has a line of JSON for each flow: what it is, and the fields of its record, each in Base64. Fields that
no function sees, as its signals' history and what went wrong, are left out.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any, NamedTuple

from hybrid.broker.shard import Shard, Store
from hybrid.catalog import Catalog
from hybrid.codec import pack
from hybrid.errors import FlowError
from hybrid.inspect.flows import summary
from hybrid.inspect.masking import masked
from hybrid.mediator.checking import MASKED
from hybrid.mediator.record import FlowRecord

FORMAT = 1
"""The format of a line."""
PAGE = 200
_FACTS = frozenset((
    "type", "class", "rule", "reason", "key", "corr", "trace", "sent", "started", "ended", "event", "schema",
    "mediator", "code", "version", "run", "state", "need", "parent", "ending", "asked", "outcome",
))  # fmt: skip
_NUMBERED = frozenset(("step", "result", "value", "patch"))


class History(NamedTuple):
    """A flow's record: its id, and the fields of its hash."""

    id: str
    fields: dict[bytes, bytes]

    @property
    def record(self) -> FlowRecord:
        """What the fields say."""
        return FlowRecord.read(self.id, self.fields)


async def histories(
    store: Store, *, state: str = "", type: str = "", most: int = 0
) -> AsyncIterator[History]:
    """Yield flows, newest first, unfinished ones before those that ended; those of a state or an event type
    only, at most so many (0: all).
    """
    found = 0
    for shard in store.shards:
        seen: set[str] = set()
        async for ids in _ids(shard):
            new = [id for id in dict.fromkeys(ids) if id not in seen]
            seen.update(new)
            hashes = await shard.queries.hashes([shard.keys.flow(id) for id in new]) if new else []
            for id, fields in zip(new, hashes, strict=True):
                history = History(id, fields)
                if b"code" in fields and _wanted(history.record, state, type):
                    yield history
                    found += 1
                    if found == most:
                        return


def exported(history: History, catalog: Catalog, *, secrets: bool = False) -> str:
    """Return the line of a flow. Secrets are masked unless they are asked for.

    Raises MessageError when they can't be.
    """
    fields = {
        name: value
        for name, value in history.fields.items()
        if name.decode() in _FACTS or name.partition(b":")[0].decode() in _NUMBERED
    }
    hidden = [] if secrets else list(_hidden(history.record, catalog))
    fields |= dict(hidden)
    record = history.record
    facts = {name: record.facts.get(name, "") for name in ("mediator", "type", "code", "state")}
    told = {"format": FORMAT, "id": history.id, **facts, MASKED: bool(hidden)}
    return json.dumps({**told, "record": {k.decode(): b64encode(v).decode() for k, v in fields.items()}})


def imported(lines: Iterable[str]) -> Iterator[History]:
    """Yield the flows of a file's lines. Raises FlowError, which names the line, for what is no such file."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield _read(json.loads(line))
        except Exception as error:  # whatever stands in a file
            why = f"{type(error).__name__}: {error}"[:200]
            raise FlowError(f"line {number} is no flow that `hybrid flows export` wrote ({why})") from error


def _read(told: Any) -> History:
    if told["format"] != FORMAT:
        raise ValueError(f"format {told['format']!r}, this program knows {FORMAT}")
    fields = {name.encode(): b64decode(value, validate=True) for name, value in told["record"].items()}
    if told[MASKED]:
        fields[MASKED.encode()] = b"1"
    history = History(str(told["id"]), fields)
    record = history.record
    if not record.begun or not record.facts["mediator"]:
        raise ValueError("its record is not whole")
    _ = record.schema, record.version, int(record.facts["code"]), int(record.facts.get("need", 0))
    return history


def _hidden(record: FlowRecord, catalog: Catalog) -> Iterator[tuple[bytes, bytes]]:
    """Yield the fields with secrets in them, masked."""
    if found := masked(catalog, record.facts["type"], record.event, record.schema):
        yield b"schema", str(found[0]).encode()
        yield b"event", found[1]
    for number, result in record.results.items():
        if result.type and (found := masked(catalog, result.type, result.data, result.schema)):
            yield b"result:%d" % number, result._replace(schema=found[0], data=found[1]).packed()
    if record.outcome:
        name, schema, data = record.outcome
        if found := masked(catalog, name, data, schema):
            yield b"outcome", pack([name, *found])


def _wanted(record: FlowRecord, state: str, type: str) -> bool:
    return type in ("", record.facts.get("type")) and state in ("", record.state, summary(record).state)


async def _ids(shard: Shard) -> AsyncIterator[list[str]]:
    """Yield ids in pages: of unfinished flows, then of ended ones."""
    keys, queries, start = shard.keys, shard.queries, 0
    unfinished = [id for id, _ in await queries.scored(keys.flows, 1_000_000, newest=True)]
    while page := unfinished[start : start + PAGE]:
        yield page
        start += PAGE
    last = "+"
    while entries := await queries.newest(keys.outcomes, last, PAGE):
        yield [fields[b"flow"].decode() for _, fields in entries]
        last = f"({entries[-1][0].decode()}"
