"""The audit: when all is done, counts everything and finds what happened twice or not at all."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from typing import Any

from sqlalchemy import func, select

from hybrid import App
from hybrid.broker.log import entries_of
from hybrid.broker.shard import Store
from hybrid.codec import unpack
from hybrid.errors import ServerError
from hybrid.inbox import inbox
from hybrid.inspect.ledger import layout, ledger
from hybrid.inspect.loose import loose_flows
from hybrid.keys import QUEUE_GROUP
from hybrid.mediator.record import FlowRecord
from tests.prove.fleet import Fleet, Proc
from tests.prove.load import Load, Order
from tests.prove.shop import open_engine, tables

SEEN = ["payment-applied", "payment-denied", "order-completed", "order-refused"]
SUBSCRIPTIONS = [("loyalty", ["payment-applied"]), ("analytics", SEEN)]
ALL = 10**7


class Audit:
    """Looks at the store, the database and the outcomes of a load."""

    def __init__(self, app: App, store: Store, load: Load, fleet: Fleet) -> None:
        self._app = app
        self._store = store
        self._load = load
        self._fleet = fleet
        (self._shard,) = store.shards
        self._keys, self._queries = self._shard.keys, self._shard.queries
        self.bombs: list[str] = []
        """What must stand among the failures: messages that killed their workers."""

    async def clean(self, within: float = 60.0, struck_off: bool = True) -> None:
        """Wait until there is nothing more to do, then check everything.

        `struck_off`: also that the dead are forgotten, which takes as long as a lease.
        """
        await self.quiet(within)
        found = [
            *await self._outcomes(),
            *await self._histories(),
            *self._rows(),
            *await self._broadcasts(),
            *await self._settled_once(),
            *await self._books(),
            *await self._left_over(struck_off),
        ]
        assert not found, "\n".join([*found[:40], await self.account()])

    async def quiet(self, within: float = 60.0) -> None:
        """Wait until every flow has ended and every delivery is settled."""
        deadline, left = time.monotonic() + within, ["it was not looked at"]
        while left:
            if time.monotonic() > deadline:
                raise AssertionError(f"not done within {within} s: {left}\n{await self.account()}")
            await asyncio.sleep(0.1)
            try:
                left = await self._unfinished()
            except ServerError as error:
                left = [str(error)]

    async def ended(self, within: float = 60.0) -> None:
        """Wait until every order that was sent has ended, whatever else there is to do."""
        deadline = time.monotonic() + within
        while missing := [id for id, times in (await self._endings()).items() if not times]:
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"{len(missing)} not ended within {within} s\n{await self.account(missing)}"
                )
            await asyncio.sleep(0.1)

    async def pending_of(self, proc: Proc) -> int:
        """Return how many deliveries a process holds, under all its names."""
        held = 0
        for _, stream, group in await self._channels():
            for name, pending in await self._queries.consumers(stream, group):
                held += pending if pid_of(name) == proc.pid else 0
        return held

    async def tally(self) -> list[Any]:
        """Return what there is of everything: the same before and after when nothing was changed."""
        counters = await self._queries.hash(self._keys.counters)
        topics = [self._keys.topic(cls.type_name) for cls in self._app.topology.catalog]
        lengths = await self._queries.lengths([self._keys.outcomes, self._keys.log, *topics])
        engine = open_engine(self._app.settings.directory)
        with engine.connect() as connection:
            rows = [connection.execute(select(func.count()).select_from(t)).scalar() for t in tables.values()]
        engine.dispose()
        return [counters, lengths, rows]

    async def consumers(self) -> dict[str, int]:
        """Return the consumers that say they serve, with their process ids."""
        rows = await self._queries.hash(self._keys.consumers)
        return {name.decode(): unpack(facts)[1] for name, facts in rows.items()}

    async def failures(self, component: str) -> list[Any]:
        """Return the entries among a component's failures."""
        return await self._queries.range(self._keys.failed(component))

    async def _endings(self) -> dict[str, list[str]]:
        """Return in which states each order and address change ended, in the outcomes' stream."""
        found: dict[str, list[str]] = {
            id: [] for id in [o.id for o in self._load.orders] + self._load.addresses
        }
        for _, fields in await self._queries.range(self._keys.outcomes, most=ALL):
            found.setdefault(fields[b"flow"].decode(), []).append(fields[b"state"].decode())
        return found

    async def _unfinished(self) -> list[str]:
        left = [f"flow {id}" for id in map(bytes.decode, await self._queries.members(self._keys.flows, 10))]
        left += ["timers"] * bool(await self._queries.size(self._keys.timers))
        for group in (await ledger(self._store, self._app.topology)).groups:
            here = {
                what: getattr(group, what) for what in ("waiting", "pending", "later") if getattr(group, what)
            }
            if here:
                left.append(f"{group.group} {here}")
        return left

    async def _channels(self) -> list[tuple[str, str, str]]:
        """Return (component, stream, group) of everything that is read."""
        found = []
        for name, known in (await layout(self._shard, self._app.topology)).items():
            found += [(name, self._keys.prefix + queue, QUEUE_GROUP) for queue in known.queues]
            found += [(name, self._keys.prefix + topic, name) for topic in known.topics]
        return found

    async def _outcomes(self) -> list[str]:
        """Every order and every simple event ends exactly once, as it must."""
        expected = {order.id: [order.state] for order in self._load.orders}
        expected |= {id: ["completed"] for id in self._load.addresses}
        endings = await self._endings()
        found = [
            f"{id} ended {states}, not {expected.get(id)}"
            for id, states in endings.items()
            if states != expected.get(id) and id not in self.bombs
        ]
        for order in self._load.orders:
            record = await self._record(order.id)
            if record.state != order.state or not record.ended:
                found.append(f"{order.id}: its record says {record.state}, not {order.state}")
        return found

    async def _histories(self) -> list[str]:
        """Every advance is in the history once, and every step was issued once."""
        found = []
        for order in self._load.orders:
            record = await self._record(order.id)
            history = [
                unpack(entry) for entry in await self._queries.whole_list(self._keys.history(order.id))
            ]
            steps = Counter(number for _, _, issued in history for number, _ in issued)
            if len(history) != record.version:
                found.append(f"{order.id}: version {record.version}, but {len(history)} entries of history")
            if set(steps) != set(record.steps) or max(steps.values(), default=1) > 1:
                found.append(f"{order.id}: steps issued {dict(steps)}, on record {sorted(record.steps)}")
        return found

    def _rows(self) -> list[str]:
        """Every row is there exactly once, each card charged exactly once."""
        expected: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
        for order in self._load.orders:
            for table, what in _rows_of(order):
                expected[table][order.id, what] += 1
        expected["addresses"] = Counter((id, "changed") for id in self._load.addresses)
        found = []
        engine = open_engine(self._app.settings.directory)
        with engine.connect() as connection:
            for name, table in tables.items():
                rows = connection.execute(select(table.c.subject, table.c.what)).all()
                real = Counter(
                    (subject, "shipped" if name == "shipments" else what) for subject, what in rows
                )
                found += _difference(f"rows of {name}", expected[name], real)
        engine.dispose()
        return found

    async def _broadcasts(self) -> list[str]:
        """Every broadcast is in its topic exactly once by its id, and there is one for each fact."""
        expected: dict[str, Counter[str]] = defaultdict(Counter)
        for order in self._load.orders:
            for type in _broadcasts_of(order):
                expected[type][order.id] += 1
        expected["address-noted"] = Counter(self._load.addresses)
        found = []
        for cls in self._app.topology.catalog:
            type = cls.type_name
            real, ids = await self._topic(type)
            found += [f"broadcast {id} is {n} times in topic {type}" for id, n in ids.items() if n > 1]
            if type == "carrier-found":  # who answers too late may, or may not, have been heard
                late = {subject for subject, n in real.items() if n > 1}
                found += [f"carrier-found twice for {late}"] * bool(late)
            else:
                found += _difference(f"broadcasts of {type}", expected[type], real)
        return found

    async def _topic(self, type: str) -> tuple[Counter[str], Counter[str]]:
        """Return what a topic's broadcasts are about, and their ids."""
        about: Counter[str] = Counter()
        ids: Counter[str] = Counter()
        for _, fields in await self._queries.range(self._keys.topic(type), most=ALL):
            ids[fields[b"id"].decode()] += 1
            about[next(iter(unpack(fields[b"data"]).values()))] += 1
        return about, ids

    async def _settled_once(self) -> list[str]:
        """The settle log has each message done once per component, and so have the subscribers' inboxes."""
        done: Counter[tuple[str, str]] = Counter()
        entries = await self._queries.range(self._keys.log, most=ALL)
        for entry in (said for _, fields in entries for said in entries_of(fields)):
            if entry.id and entry.outcome in ("done", "classified", "ended", "started"):
                done[entry.component, entry.id] += 1
        found = [f"{id} was settled {n} times by {who}" for (who, id), n in done.items() if n > 1]
        engine = open_engine(self._app.settings.directory)
        with engine.connect() as connection:
            rows = set(map(tuple, connection.execute(select(inbox.c.component, inbox.c.message_id))))
        engine.dispose()
        for who, types in SUBSCRIPTIONS:
            ids = {id for type in types for id in (await self._topic(type))[1]}
            settled = {id for component, id in done if component == who}
            handled = {id for component, id in rows if component == who}
            found += [f"{who}: broadcasts and settled ones differ: {ids ^ settled}"] * (ids != settled)
            found += [f"{who}: broadcasts and inbox rows differ: {ids ^ handled}"] * (ids != handled)
        return found

    async def _books(self) -> list[str]:
        """The ledger balances, and nothing is lost on the way."""
        found = []
        for group in (await ledger(self._store, self._app.topology)).groups:
            if group.missing:
                found.append(f"the ledger of {group.group!r} is off by {group.missing:+}: {group}")
            if group.cut or group.discarded:
                found.append(f"{group.group}: cut {group.cut}, discarded {group.discarded}")
            if group.failed != (len(self.bombs) if group.group == "bombs" else 0):
                found.append(f"{group.group}: {group.failed} failures")
        return found

    async def _left_over(self, struck_off: bool) -> list[str]:
        """Nothing of the dead stays behind: no pending entries, no starts, no consumers, no leases."""
        found = []
        deadline = time.monotonic() + 20
        while struck_off and (left := await self._of_the_dead()):
            if time.monotonic() > deadline:
                found += [f"left of the dead: {left}"]
                break
            await asyncio.sleep(0.2)
        if starts := await self._queries.hash(self._keys.starts):
            found.append(f"left among the starts: {starts}")
        return found

    async def _of_the_dead(self) -> list[str]:
        pids = {proc.pid for proc in self._fleet.living}
        left = [f"{name} is enrolled" for name, pid in (await self.consumers()).items() if pid not in pids]
        for _, stream, group in await self._channels():
            for name, pending in await self._queries.consumers(stream, group):
                if pid_of(name) not in pids or pending:
                    left.append(f"{name} in {stream}, {pending} pending")
        return left

    async def _record(self, id: str) -> FlowRecord:
        return FlowRecord.read(id, await self._queries.hash(self._keys.flow(id)))

    async def account(self, suspects: list[str] | None = None) -> str:
        """Tell what is where: the books, unfinished flows with their messages, the processes' last words."""
        lines = ["", "===== account ====="]
        lines += map(repr, (await ledger(self._store, self._app.topology)).groups)
        lines.append(f"loose: {await loose_flows(self._store, self._app.topology)}")
        lines.append(f"starts: {await self._queries.hash(self._keys.starts)}")
        lines.append(f"consumers: {await self.consumers()}")
        for component, stream, group in await self._channels():
            for row in await self._shard._client.plain.xpending_range(stream, group, "-", "+", 10):
                lines.append(f"pending for {component} in {stream}: {row}")
        unfinished = [id.decode() for id in await self._queries.members(self._keys.flows, 5)]
        for id in (suspects or unfinished)[:5]:
            lines += await self._account_of(id)
        await self._fleet.tell()
        return "\n".join([*lines, self._fleet.said()])

    async def _account_of(self, id: str) -> list[str]:
        lines = [f"--- flow {id}: {await self._record(id)}"]
        lines += [
            f"history {unpack(entry)}" for entry in await self._queries.whole_list(self._keys.history(id))
        ]
        for component, stream, group in await self._channels():
            for entry, fields in await self._queries.range(stream, most=ALL):
                about = [fields.get(name, b"").decode() for name in (b"flow", b"id", b"corr")]
                if id in about and not stream.startswith(self._keys.prefix + "topic:"):
                    row = await self._shard._client.plain.xpending_range(stream, group, entry, entry, 1)
                    lines.append(f"in {stream} for {component}: {entry!r} {fields} pending: {row}")
        for name in self._app.topology.names:
            later = await self._queries.members(self._keys.later(name), 1000)
            lines += [f"later of {name}: {member!r}" for member in later if id.encode() in member]
        timers = await self._queries.members(self._keys.timers, ALL)
        lines += [f"timer {unpack(member)}" for member in timers if unpack(member)[0] == id]
        entries = await self._queries.range(self._keys.log, most=ALL)
        for entry in (said for _, fields in entries for said in entries_of(fields)):
            if id in (entry.flow, entry.id, entry.correlation):
                lines.append(f"log {entry}")
        return lines


def pid_of(consumer: str) -> int:
    """Return the process that a consumer's name tells."""
    return int(consumer.rsplit("-", 2)[1])


def _rows_of(order: Order) -> list[tuple[str, str]]:
    """Return (table, what) of the rows that an order leaves."""
    found = [("orders", "created"), ("stock", "taken")]
    if order.declined:
        return [
            *found,
            ("stock", "released"),
            ("sightings", "payment-denied"),
            ("sightings", "order-refused"),
        ]
    found += [("charges", "charged"), ("shipments", "shipped"), ("points", "added")]
    return [*found, ("sightings", "payment-applied"), ("sightings", "order-completed")]


def _broadcasts_of(order: Order) -> list[str]:
    """Return the types of the broadcasts that an order leads to."""
    if order.declined:
        return ["order-created", "stock-adjusted", "payment-denied", "stock-released", "order-refused"]
    paid = ["payment-applied", "booked", "points-added"]
    return ["order-created", "stock-adjusted", *paid, "order-shipped", "order-completed"]


def _difference(what: str, expected: Counter[Any], real: Counter[Any]) -> list[str]:
    missing, extra = expected - real, real - expected
    found = [f"{what}: missing {dict(list(missing.items())[:5])} ({missing.total()} in all)"] * bool(missing)
    return found + [f"{what}: too many {dict(list(extra.items())[:5])} ({extra.total()} in all)"] * bool(
        extra
    )
