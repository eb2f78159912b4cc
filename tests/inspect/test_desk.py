"""The desk: groups and selections, and what is done there: by one settle each, told as it is."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from decimal import Decimal

import pytest

from hybrid import HARD, App, Command, Event, Mediator, Processor, RetryPolicy, Secret, SimpleMediator
from hybrid.broker.failures import Failure, short_id
from hybrid.codec import pack, unpack
from hybrid.errors import FlowError, InvalidMessage, MessageError
from hybrid.inspect.actions import ALREADY, ARCHIVE, DISCARD, EDIT, RESTORE, RETRY, Desk, Order
from hybrid.inspect.desk import KINDS, Selection, count, groups, newest, selected
from hybrid.inspect.desk_log import Deed, desk_log
from hybrid.inspect.editing import changed, document, edited
from hybrid.inspect.failures import named, view
from hybrid.inspect.ledger import ledger
from hybrid.inspect.loose import loose_flows
from hybrid.inspect.stages import Plan, staged
from hybrid.streams.scripts import Scripts
from tests.runtime.world import World, until


class Start(Event, key="account"):
    account: str
    shares: str
    pin: Secret[str]


class Buy(Command, key="account"):
    account: str
    shares: str
    pin: Secret[str]


class Odd(Command):
    rows: list[dict[str, Secret[str]]]
    price: Decimal = Decimal(1)


class Bought(Event):
    shares: int


class Ended(Event):
    pass


PINS: list[str] = []
BROKEN: list[str] = []
front = SimpleMediator("front")
boss = Mediator("boss", handles=HARD)
exchange = Processor("exchange")


@front.classify(Start, HARD)
def by_habit(event: Start):
    if event.shares == "unclassified":
        raise ValueError("what is this")
    return HARD


@boss.flow(Start)
async def flow(event: Start, flow):
    if event.shares == "broken":
        raise ZeroDivisionError("the flow is broken")
    await flow.do(Buy(**dict(event)))
    return Ended()


@exchange.on(Buy, retry=RetryPolicy(attempts=1))
async def buy(command: Buy) -> Bought:
    PINS.append(command.pin.get_secret_value())
    if command.account in BROKEN:
        raise LookupError(f"{command.account} is not known")
    return Bought(shares=int(command.shares))


@exchange.on(Odd, retry=RetryPolicy(attempts=1))
async def odd(command: Odd) -> None:
    raise KeyError("odd")


@pytest.fixture
def app(fresh, settings):
    PINS.clear()
    BROKEN.clear()
    return App(fresh, [front, boss, exchange], settings=settings)


@pytest.fixture
def world(fresh, settings, raw):
    return World(fresh, settings, raw)


class Office:
    """A store with an application, and people at its desk."""

    def __init__(self, app, store, world):
        self.app, self.store, self.world = app, store, world

    def desk(self, action, who="ann", reason="because", topology=None):
        return Desk(self.store, topology or self.app.topology, Deed(who, action, reason))

    async def act(self, action, *views, **facts):
        return await self.desk(action, **facts).act([Order(view) for view in views])

    async def edit(self, view, **values):
        given = document(view)
        message = edited(self.app.topology, view, {**given, "data": {**given["data"], **values}})
        return (await self.desk(EDIT).act([Order(view, message)]))[0]

    async def all(self, **selection):
        return [found async for found in selected(self.store, self.app.topology, Selection(**selection))]

    async def one(self, **selection):
        """Wait for the one failure that is at the desk."""
        while not (found := await self.all(**selection)):
            await asyncio.sleep(0.01)
        (view,) = found
        return view

    async def groups(self, **selection):
        return await groups(self.store, self.app.topology, Selection(**selection))

    @asynccontextmanager
    async def started(self, shares="12 SHARES", account="A1"):
        """Run everything, start a flow, and give the client and the flow's id."""
        async with self.app.running() as client:
            receipt = await client.send(Start(account=account, shares=shares, pin="1234"))
            yield client, receipt.id

    def fill(self, many, error="ValueError", frame="app.work", type="buy", back=0):
        """Put failures at the desk."""
        key, raw = self.world.keys.failed("exchange"), self.world.raw
        for n in range(many):
            data = pack({"account": f"A{n}", "shares": "1", "pin": "1"})
            fields = {b"id": b"m%d" % n, b"type": type.encode(), b"data": data}
            fields |= {b"sent-back": b"%d" % back} if back else {}
            failure = Failure("", "exchange", f"command:{type}", "x.y", fields, error, "no", "tb", 3, frame)
            flat = failure.packed()
            raw.xadd(key, dict(zip(flat[::2], flat[1::2], strict=True)))
        raw.hincrby(self.world.keys.counters, f"entered:command:{type}", many)


@pytest.fixture
def office(app, store, world):
    return Office(app, store, world)


class TestGroups:
    async def test_nothing(self, office):
        assert await office.groups() == []
        assert await newest(office.store, office.app.topology, Selection(), 5) == []

    async def test_by_cause_with_how_many_and_when(self, office):
        office.fill(3)
        office.fill(2, type="odd")
        office.fill(1, back=2)
        office.fill(1, error="KeyError", frame="")
        first, second = await office.groups()
        assert (first.id, first.fingerprint) == (short_id("ValueError in app.work"), "ValueError in app.work")
        assert (first.error, first.frame, first.types) == ("ValueError", "app.work", ("buy", "odd"))
        assert (first.count, first.failed_again, first.sent_back) == (6, 1, 0)
        assert 0 < first.first <= first.last
        assert (second.fingerprint, second.count, second.components) == ("KeyError", 1, ("exchange",))

    async def test_what_is_selected(self, office):
        office.fill(3)
        office.fill(2, error="KeyError", type="odd")
        (wanted,) = await office.groups(type="odd")
        for selection in ({"group": wanted.id}, {"group": wanted.fingerprint}, {"type": "odd"}):
            assert {found.error for found in await office.all(**selection)} == {"KeyError"}
            assert await count(office.store, office.app.topology, Selection(**selection)) == 2
        assert await office.all(component="boss") == await office.groups(component="boss") == []
        assert await office.all(since=1 << 45) == await office.groups(since=1 << 45) == []
        where = Selection(where=(("account", "A1"), ("shares", "1")))
        assert await count(office.store, office.app.topology, where) == 1  # of odd no such field is shown
        assert await office.all(where=(("account.inner", "A1"),)) == []
        assert await office.all(where=(("pin", "1"),)) == []

    async def test_what_was_written_by_an_older_version(self, office):
        office.fill(2)
        key, raw = office.world.keys.failed("exchange"), office.world.raw
        for entry, fields in raw.xrange(key):
            raw.xdel(key, entry)
            raw.xadd(key, {name: value for name, value in fields.items() if name != b"kind"})
        office.fill(1)
        (group,) = await office.groups()
        assert (group.count, group.types) == (3, ("buy",))

    async def test_it_is_counted_by_the_page_and_no_page_is_kept(self, office, monkeypatch):
        pages = []
        real = Scripts.kinds

        async def noted(self, failures, first, last, most, since):
            last, rows = await real(self, failures, first, last, most, since)
            if "exchange" in failures:
                pages.append((most, len(rows)))
            return last, rows

        monkeypatch.setattr(Scripts, "kinds", noted)
        office.fill(2 * KINDS + 1)
        (group,) = await office.groups()
        assert group.count == 2 * KINDS + 1
        assert pages == [(KINDS, 1)] * 3

    async def test_the_newest_are_read_without_the_rest(self, office, monkeypatch):
        office.fill(300)
        read = []
        queries = office.store.shards[0].queries
        real = queries.newest

        async def noted(stream, upto="+", most=1000):
            found = await real(stream, upto, most)
            read.extend(found)
            return found

        monkeypatch.setattr(queries, "newest", noted)
        found = await newest(office.store, office.app.topology, Selection(), 5)
        assert [view.message for view in found] == ["m299", "m298", "m297", "m296", "m295"]
        assert len(read) == 5


class TestActions:
    async def test_sent_back_and_done(self, office):
        BROKEN.append("A1")
        async with office.started("12") as (client, id):
            failed = await office.one()
            BROKEN.clear()
            (outcome,) = await office.act(RETRY, failed)
            assert (outcome.result, outcome.id, outcome.new) == ("sent back", failed.id, "")
            assert (await client.wait(id)).state == "completed"
        assert office.world.counter(f"sent-back:{failed.group}") == 1

    async def test_failed_again_is_told(self, office):
        BROKEN.append("A1")
        async with office.started("12"):
            for n in range(3):
                failed = await office.one()
                assert failed.sent_back == n
                await office.act(RETRY, failed)
            await office.one()
            (group,) = await office.groups()
        assert (group.count, group.failed_again, group.sent_back) == (1, 1, 3)

    async def test_of_two_people_one_wins_and_the_other_is_told(self, office):
        office.fill(300)
        async with office.app.store() as other:
            hers = [Order(view) for view in await office.all()]
            his = [Order(view) async for view in selected(other, office.app.topology, Selection())]
            discarding = office.desk(DISCARD, "ann").act(hers)
            archiving = Desk(other, office.app.topology, Deed("bob", ARCHIVE)).act(his)
            both = list(zip(*await asyncio.gather(discarding, archiving), strict=True))
        results = [{one.result, other.result} for one, other in both]
        won = [result == {"discarded", "already handled"} for result in results]
        assert all(result in ({"discarded", ALREADY}, {"archived", ALREADY}) for result in results)
        lines = await desk_log(office.store, most=1000)
        assert {line.message: line.who for line in lines} == {
            order.view.message: "ann" if hers_won else "bob"
            for order, hers_won in zip(hers, won, strict=True)
        }
        assert len(lines) == 300
        assert (await ledger(office.store, office.app.topology)).balanced

    async def test_what_is_gone_is_already_handled_whatever_its_flow_says(self, office):
        async with office.started() as (_, _):
            failed = await office.one()
            again = view(office.app.topology, *failed.source)
            assert (await office.act(DISCARD, failed))[0].result == "discarded"
            (outcome,) = await office.act(RETRY, again)
        assert outcome.result == "already handled"

    async def test_refused_when_its_flow_waits_no_longer(self, office):
        async with office.started() as (_, id):
            failed = await office.one()
            office.world.raw.hset(office.world.keys.flow(id), "ended", "1")
            (would,) = await office.desk(RETRY).would([Order(failed)])
            (outcome,) = await office.act(RETRY, failed)
        assert would == outcome
        assert outcome.result == "refused"
        assert f"its flow {id} awaits step 1 no longer" in outcome.why
        assert [found.id for found in await office.all()] == [failed.id]
        assert await desk_log(office.store) == []

    async def test_refused_when_its_component_exists_no_more(self, office):
        office.fill(1)
        (failed,) = await office.all()
        less = App("x", [front, boss], settings=office.app.settings).topology
        (outcome,) = await office.act(RETRY, failed, topology=less)
        assert outcome.result == "refused"
        assert outcome.why.startswith("there is no component exchange any more: start a program that has it")
        assert (await office.act(DISCARD, failed, topology=less))[0].result == "discarded"

    async def test_not_refused_while_some_other_program_serves_it(self, office):
        less = App("x", [front, boss], settings=office.app.settings).topology
        async with office.started():
            (outcome,) = await office.act(RETRY, await office.one(), topology=less)
        assert outcome.result == "sent back"

    @pytest.mark.parametrize(
        ("type", "data", "why"),
        [
            ("gone", {"account": "A", "shares": "1", "pin": "1"}, "exchange handles no gone (any more)"),
            ("buy", {"account": "A"}, "buy is not valid: shares: Field required"),
        ],
    )
    async def test_refused_when_nobody_could_handle_it(self, office, type, data, why):
        fields = [b"id", b"m", b"type", type.encode(), b"data", pack(data)]
        failure = Failure("", "exchange", "c", "h", dict(zip(fields[::2], fields[1::2], strict=True)), "E")
        flat = failure.packed()
        office.world.raw.xadd(
            office.world.keys.failed("exchange"), dict(zip(flat[::2], flat[1::2], strict=True))
        )
        (outcome,) = await office.act(RETRY, await office.one())
        assert outcome.result == "refused"
        assert why in outcome.why

    async def test_refused_when_it_has_expired(self, office, app):
        await office.world.tell(Buy(account="A1", shares="x", pin="1"), expires=1 << 45)
        async with app.running():
            failed = await office.one()
        failed.source[1].fields[b"expires"] = b"1000"
        (outcome,) = await office.act(RETRY, failed)
        assert outcome.result == "refused"
        assert "expired" in outcome.why

    async def test_discarded_the_flow_sees_it_and_the_books_balance(self, office):
        async with office.started() as (client, id):
            failed = await office.one()
            (outcome,) = await office.act(DISCARD, failed, reason="the shop is closed")
            assert outcome.result == "discarded"
            with suppress(FlowError):
                await client.wait(id)
            await until(lambda: "CommandFailed" in office.world.flow(id).facts.get("error", ""))
        assert (await ledger(office.store, office.app.topology)).balanced
        (line,) = await desk_log(office.store)
        assert (line.who, line.action, line.reason) == ("ann", "discard", "the shop is closed")
        assert line.before == {"account": "A1", "shares": "12 SHARES", "pin": "**********"}

    async def test_archived_and_restored(self, office):
        async with office.started() as (_, _):
            failed = await office.one()
            assert (await office.act(ARCHIVE, failed))[0].result == "archived"
            assert await office.all() == await office.groups() == []
            (away,) = await office.all(archived=True)
            assert (await office.groups(archived=True))[0].count == 1
            assert (away.message, away.failed, away.archived) == (failed.message, failed.failed, True)
            assert await named(office.store, office.app.topology, failed.message) == [away]
            books = await ledger(office.store, office.app.topology)
            assert books.balanced
            assert {g.group: g.archived for g in books.groups}["exchange"] == 1
            assert await loose_flows(office.store, office.app.topology) == []
            (outcome,) = await office.act(ARCHIVE, away)
            assert (outcome.result, outcome.why) == ("refused", "it is archived already")
            assert (await office.act(RESTORE, away))[0].result == "restored"
            back = await office.one()
            assert (back.message, back.failed, back.traceback) == (
                failed.message,
                failed.failed,
                failed.traceback,
            )
            assert (await office.act(RESTORE, back))[0].why == "it is not archived: it is at the desk"
        assert (await ledger(office.store, office.app.topology)).balanced

    async def test_the_log_by_message(self, office):
        office.fill(3)
        await office.act(ARCHIVE, *await office.all())
        assert [line.message for line in await desk_log(office.store)] == ["m2", "m1", "m0"]
        assert [line.message for line in await desk_log(office.store, most=1)] == ["m2"]
        (line,) = await desk_log(office.store, "m1")
        assert line.failure.startswith("exchange/")


class TestEdits:
    async def test_the_mended_message_goes_on_in_its_place(self, office):
        async with office.started() as (client, id):
            failed = await office.one()
            outcome = await office.edit(failed, shares="12")
            assert outcome.result == "sent back"
            assert (await client.wait(id)).state == "completed"
        assert PINS == ["1234", "1234"]
        (bought,) = office.world.broadcasts(Bought)
        assert bought.cause == outcome.new != failed.message
        (line,) = await desk_log(office.store, outcome.new)
        assert (line.action, line.message, line.new) == ("edit", failed.message, outcome.new)
        assert (line.before["shares"], line.after["shares"]) == ("12 SHARES", "12")
        assert line.before["pin"] == line.after["pin"] == "**********"

    async def test_one_that_fails_again_names_where_it_comes_from(self, office):
        BROKEN.append("A1")
        async with office.started():
            failed = await office.one()
            outcome = await office.edit(failed, shares="12")
            again = await office.one()
            envelope = again.source[1].envelope
            assert (again.message, again.sent_back, again.step) == (outcome.new, 1, 1)
            assert (envelope.origin, envelope.cause) == (failed.message, failed.message)
            twice = await office.edit(again, shares="13")
            third = (await office.one()).source[1].envelope
            assert (third.id, third.origin, third.cause) == (twice.new, failed.message, outcome.new)

    async def test_an_initiating_event_keeps_its_id_at_the_front(self, office):
        async with office.started("unclassified") as (_, id):
            failed = await office.one(component="front")
            outcome = await office.edit(failed, shares="12")
            assert (outcome.result, outcome.new) == ("sent back", "")
            await until(lambda: office.world.flow(id).ended)
        assert office.world.flow(id).state == "completed"

    async def test_a_flow_runs_from_the_event_that_was_mended(self, office):
        async with office.started("broken") as (_, id):
            failed = await office.one(component="boss")
            assert (await office.edit(failed, shares="12")).result == "sent back"
            await until(lambda: office.world.flow(id).ended)
        assert office.world.flow(id).state == "completed"
        assert unpack(office.world.flow(id).event)["shares"] == "12"

    async def test_one_that_is_too_large_is_refused(self, office):
        office.fill(1)
        (failed,) = await office.all()
        outcome = await office.edit(failed, shares="1" * office.store.settings.max_message_bytes)
        assert outcome.result == "refused"
        assert "HYBRID_MAX_MESSAGE_BYTES" in outcome.why
        assert len(await office.all()) == 1

    async def test_what_a_flow_has_gone_on_from_can_not_be_mended(self, office):
        async with office.started("broken") as (_, id):
            failed = await office.one(component="boss")
            office.world.raw.hset(office.world.keys.flow(id), "value:1", pack([1, 0]))
            outcome = await office.edit(failed, shares="12")
        assert outcome.result == "refused"
        assert f"its flow {id} has gone on from what it began with" in outcome.why

    async def test_a_type_can_not_be_changed(self, office):
        office.fill(1)
        (failed,) = await office.all()
        with pytest.raises(MessageError, match="its type can't be changed, from buy to odd"):
            edited(office.app.topology, failed, {**document(failed), "type": "odd"})

    @pytest.mark.parametrize(
        ("values", "why"),
        [
            ({"shares": 12}, "shares: Input should be a valid string"),
            ({"more": 1}, "more: there is no such field"),
            ({"shares": "**********"}, "shares: a mask stands here for no secret"),
        ],
    )
    async def test_what_is_not_valid_is_not_sent(self, office, values, why):
        office.fill(1)
        (failed,) = await office.all()
        with pytest.raises(MessageError, match=why):
            await office.edit(failed, **values)
        assert len(await office.all()) == 1

    async def test_what_is_no_document(self, office):
        office.fill(1)
        (failed,) = await office.all()
        for given in ([], {"type": "buy"}, {"type": "buy", "data": []}):
            with pytest.raises(MessageError, match="an edited message is"):
                edited(office.app.topology, failed, given)

    def odd_one(self, office, **values):
        fields = {b"id": b"m", b"type": b"odd", b"data": pack(values)}
        failure = Failure("1-0", "exchange", "c", "h", fields, "E")
        return view(office.app.topology, office.store.shards[0], failure)

    async def test_a_secret_can_be_given_anew_and_is_not_shown(self, office):
        office.fill(1)
        (failed,) = await office.all()
        given = document(failed)
        message = edited(office.app.topology, failed, {**given, "data": {**given["data"], "pin": "new"}})
        assert message.pin.get_secret_value() == "new"
        assert changed(failed, message) == [("pin", "**********", "********** (another secret)")]

    async def test_secrets_in_a_list_stay_with_their_places(self, office):
        failed = self.odd_one(office, rows=[{"a": "1"}, {"b": "2"}, {"a": "3"}], price=Decimal("1.10"))
        given = document(failed)

        def rows(*wanted):
            message = edited(
                office.app.topology, failed, {**given, "data": {"rows": [*wanted], "price": "1.10"}}
            )
            return [{name: secret.get_secret_value() for name, secret in row.items()} for row in message.rows]

        a, b = {"a": "**********"}, {"b": "**********"}
        assert rows(a, b, {"a": "4"}) == [{"a": "1"}, {"b": "2"}, {"a": "4"}]
        assert rows({"a": "5"}) == [{"a": "5"}]
        for moved in ((b, a, a), (b, a), (a, b, a, a)):
            with pytest.raises(MessageError, match="rows: in a list that is reordered"):
                rows(*moved)

    async def test_what_is_left_alone_keeps_its_exact_value(self, office):
        failed = self.odd_one(office, rows=[], price=Decimal("1.10"))
        given = document(failed)
        assert given["data"]["price"] == "1.10"
        message = edited(
            office.app.topology, failed, {**given, "data": {**given["data"], "rows": [{"a": "1"}]}}
        )
        assert (message.price, str(message.price)) == (Decimal("1.1"), "1.10")
        assert changed(failed, message)[0][0] == "rows"

    async def test_a_default_that_is_shown_and_not_there(self, office):
        failed = self.odd_one(office, rows=[])
        given = document(failed)
        message = edited(office.app.topology, failed, {**given, "data": {**given["data"], "rows": [{}]}})
        assert message.price == 1

    async def test_what_has_no_data(self, office):
        fields = {b"type": b"wake-up", b"flow": b"f"}
        failed = view(office.app.topology, office.store.shards[0], Failure("1-0", "boss", "c", "h", fields))
        with pytest.raises(MessageError, match="it carries no data of its own"):
            document(failed)

    async def test_unknown_fields_of_the_message_must_go(self, office):
        failed = self.odd_one(office, rows=[], more=1)
        with pytest.raises(InvalidMessage):
            edited(office.app.topology, failed, {"type": "odd", "data": {"rows": [], "more": 1}})


class TestStages:
    async def stages(self, office, *sizes, **plan):
        desk = office.desk(RETRY)

        async def orders():
            async for found in selected(office.store, office.app.topology, Selection()):
                yield Order(found)

        return [stage async for stage in staged(desk, orders(), Plan(sizes, **plan))]

    async def test_they_grow_and_each_waits_for_its_messages(self, office, app):
        office.fill(10)
        async with app.running():
            stages = await self.stages(office, 1, 3, 4)
        assert [len(stage.outcomes) for stage in stages] == [1, 3, 4, 2]
        assert {outcome.result for stage in stages for outcome in stage.outcomes} == {"done"}
        assert await office.all() == []

    async def test_they_stop_when_it_fails_again(self, office, app):
        BROKEN.append("A2")
        office.fill(10)
        async with app.running():
            stages = await self.stages(office, 1, 3, 20)
            assert [len(stage.outcomes) for stage in stages] == [1, 3]
            assert [stage.stopped for stage in stages] == ["", "1 failed again"]
            results = sorted(outcome.result for outcome in stages[1].outcomes)
            assert results == ["done", "done", "failed again (1)"]
            assert len(await office.all()) == 7

    async def test_some_may_fail_again(self, office, app):
        BROKEN.append("A2")
        office.fill(6)
        async with app.running():
            stages = await self.stages(office, 3, stop_on=2, rate=1000)
        assert [stage.stopped for stage in stages] == ["", ""]

    async def test_it_waits_no_longer_than_its_patience(self, office):
        office.fill(3)
        (stage,) = await self.stages(office, 2, patience=0)
        assert [outcome.result for outcome in stage.outcomes] == ["not ended", "not ended"]
        assert stage.stopped == "2 had not ended after 0 s"
        assert len(await office.all()) == 1

    async def test_what_fails_again_is_not_met_twice(self, office, app):
        BROKEN.extend(["A0", "A1"])
        office.fill(2)
        async with app.running():
            stages = await self.stages(office, 1, stop_on=5)
        assert [outcome.result for stage in stages for outcome in stage.outcomes] == ["failed again (1)"] * 2

    async def test_a_flow_of_its_own(self, office):
        async with office.started("broken"):
            await office.one(component="boss")
            (stage,) = await self.stages(office, 1)
        assert [outcome.result for outcome in stage.outcomes] == ["failed again (1)"]


async def test_several_shards(fresh, settings, world):
    app = App(fresh, [front, boss, exchange], settings=settings.model_copy(update={"shards": 3}))
    BROKEN.extend(f"A{n}" for n in range(9))
    async with app.running() as client, app.store() as store:
        await client.send_many([Start(account=f"A{n}", shares="1", pin="1") for n in range(9)])
        selection = Selection(component="exchange")
        while await count(store, app.topology, selection) < 9:
            await asyncio.sleep(0.01)
        (group,) = await groups(store, app.topology)
        assert group.count == 9
        views = [found async for found in selected(store, app.topology, selection)]
        assert len({found.id.count("/") for found in views}) == 2
        for found in views:
            assert await named(store, app.topology, found.id) == [found]
        assert len(await newest(store, app.topology, selection, 5)) == 5
        outcomes = await Desk(store, app.topology, Deed("ann", RETRY)).act([Order(each) for each in views])
        assert {outcome.result for outcome in outcomes} == {"sent back"}
        assert len(await desk_log(store)) == 9


async def test_a_failure_by_its_handle_is_not_searched(office, monkeypatch):
    office.fill(2)
    handles = [view.id for view in await office.all()]
    monkeypatch.setattr("hybrid.inspect.failures.failures", None)
    for handle in handles:
        (found,) = await named(office.store, office.app.topology, handle)
        assert found.id == handle
    assert await named(office.store, office.app.topology, "exchange/1-1") == []
    assert await named(office.store, office.app.topology, "exchange/1-1/7") == []
