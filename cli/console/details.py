"""What a row shows when it is opened."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from cli.assignments import told
from cli.console.views import GROUP
from cli.console.waterfall import Waterfall
from cli.output import clean, clock, compact, span
from hybrid import App
from hybrid.broker.shard import Store
from hybrid.envelope import from_fields
from hybrid.inspect.shown import visible
from hybrid.inspect.snapshot import Snapshot
from hybrid.inspect.tasks import task
from hybrid.inspect.trace import Trace, Traced, trace

NEWEST = 50
"""So many entries of a channel are shown."""


async def detail(app: App, store: Store, snapshot: Snapshot, view: str, key: str) -> RenderableType:
    """Return what a row of a view shows when it is opened. Raises FlowError, ServerUnavailable."""
    if view == "channels":
        return await channel(app, store, key)
    if view == "processors":
        return component(snapshot, key)
    if view == "desk":
        return group(snapshot, key) if key.startswith(GROUP) else failure(snapshot, key)
    if view == "tasks":
        return Group(*told(await task(store, app.topology, key), snapshot.at))
    return message(await trace(store, app.topology, key))


def message(found: Trace) -> RenderableType:
    """Return a message: what it is, its data with secrets masked, and its waterfall."""
    one = _found(found.root, found.id) or found.root
    source = f" from {one.source}" if one.source else ""
    data = compact(one.data) if one.data is not None else "its data is kept no longer"
    said = _line((f"{one.kind} ", "dim"), (clean(one.type), "bold"), f"  {one.id}", (source, "dim"))
    return Group(said, Text(data, "" if one.data is not None else "dim"), Text(""), Waterfall(found))


def _found(traced: Traced, id: str) -> Traced | None:
    if traced.id == id:
        return traced
    inner = (_found(sent, id) for handling in traced.handlings for sent in handling.sent)
    return next((found for found in inner if found), None)


async def channel(app: App, store: Store, key: str) -> RenderableType:
    """Return the newest entries of a channel: envelopes, and data with secrets masked."""
    name, _, number = key.partition("|")
    shard = store.shards[int(number or 0)]
    entries = await shard.queries.newest(shard.keys.prefix + name, most=NEWEST)
    lines = [Text(f"{name}: the newest {len(entries)} entries", "bold"), Text("")]
    if not entries:
        lines.append(Text("it is empty", "dim"))
    for entry, fields in entries:
        type = fields.get(b"type", b"?").decode(errors="replace")
        try:
            envelope = from_fields(fields, entry)
        except (KeyError, ValueError):
            data = visible(app.topology.catalog, type, fields[b"data"]) if b"data" in fields else None
            lines.append(_line((entry.decode(), "dim"), "  ", (clean(type), "bold"), f"  {compact(data)}"))
            continue
        facts = {name: value for name, value in envelope._asdict().items() if value and name not in SHOWN}
        lines.append(_line((clock(envelope.time), "dim"), "  ", (clean(type), "bold"), f"  {envelope.id}"))
        lines.append(_line(" " * 14, (compact(facts), "dim")))
        if b"data" in fields:
            data = visible(app.topology.catalog, type, fields[b"data"], envelope.version)
            lines.append(_line(" " * 14, compact(data)))
    return Group(*lines)


SHOWN = ("id", "type", "time")


def component(snapshot: Snapshot, name: str) -> RenderableType:
    """Return who serves a component, and its newest deliveries."""
    lines = [Text(name, "bold"), Text("")]
    serving = [consumer for consumer in snapshot.consumers if name in consumer.components]
    for consumer in serving:
        alive = ("alive", "green") if consumer.alive else ("gone", "bold red")
        lines.append(_line(alive, f"  {consumer.name}  since {clock(consumer.since)}"))
    if not serving:
        lines.append(Text("no worker serves it: `hybrid run` starts one", "bold red"))
    lines.append(Text(""))
    for line in reversed(snapshot.deliveries):
        if line.component == name:
            took = span(max(line.settled - line.taken, 0))
            lines.append(
                _line(
                    (clock(line.settled), "dim"),
                    f"  {line.outcome:<10} {line.type}  {took}  {clean(line.note)}",
                )
            )
    return Group(*lines)


def group(snapshot: Snapshot, key: str) -> RenderableType:
    """Return a group of failures: what they have in common, the newest of them, and what can be done."""
    id = key.removeprefix(GROUP)
    found = next((group for group in snapshot.groups if group.id == id), None)
    if found is None:
        return Text("nothing of this group is at the desk any more", "dim")
    lines = [Text(clean(found.fingerprint), "bold"), Text("")]
    lines.append(Text(f"{found.count:,} at the desk, {found.failed_again:,} of them failed again"))
    lines.append(Text(f"{found.sent_back:,} sent back so far"))
    lines.append(Text(f"first {clock(found.first)}, last {clock(found.last)}"))
    lines += [Text(""), Text("the newest", "bold")]
    for each in snapshot.failures:
        if each.group == id:
            data = (compact(each.data), "dim")
            lines.append(_line((clock(each.failed), "dim"), f"  {each.id}  {clean(each.reason)}  ", data))
    hint = f"`hybrid desk retry --group {id} --stages 1,5,20,100` sends them back"
    return Group(*lines, Text(""), Text(hint, "dim"))


def failure(snapshot: Snapshot, id: str) -> RenderableType:
    """Return a failure, whole: what, why, the data, the traceback."""
    found = next((failure for failure in snapshot.failures if failure.id == id), None)
    if found is None:
        return Text("it is not among the newest failures any more", "dim")
    facts = {
        name: value for name, value in found.facts().items() if name not in ("traceback", "data") and value
    }
    lines = [_line((f"{name:>10}  ", "dim"), clean(value)) for name, value in facts.items()]
    lines += [Text(""), _line(("data  ", "dim"), compact(found.data)), Text("")]
    lines += [Text(clean(line)) for line in found.traceback.splitlines()]
    lines.append(_line(("R sends it back; `hybrid desk` mends it, gives it up or puts it away", "dim")))
    return Group(*lines)


def _line(*parts: str | tuple[str, str]) -> Text:
    return Text.assemble(*parts)
