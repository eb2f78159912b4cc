"""The inbox: a second execution of a message returns the stored reply, and its body does not run."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import pytest
from sqlalchemy import create_engine, func, select, text
from sqlalchemy.ext.asyncio import create_async_engine

from hybrid import Context, Processor, RetryPolicy, resource
from hybrid.codec import unpack
from hybrid.inbox import Database, inbox
from tests.runtime.messages import Noted, Paid, Pay
from tests.runtime.world import World, until

QUICK = RetryPolicy(attempts=2, first_ms=1)


@pytest.fixture
def world(fresh, settings, raw):
    return World(fresh, settings, raw)


@pytest.fixture
def engine(tmp_path):
    """A database with one table of payments."""
    engine = create_engine(f"sqlite:///{tmp_path}/shop.db")
    with engine.begin() as connection:
        connection.execute(text("create table payments (order_id text)"))
    yield engine
    engine.dispose()


@pytest.fixture(params=["def", "async"])
def payment(request, engine):
    """A processor that pays in a transaction, and its resource. `runs` counts its body's."""
    payment = Processor("payment")
    payment.runs = []

    def body(command, context):
        payment.runs.append(command.order)
        context.publish(Noted(text=f"note of run {len(payment.runs)}"))

    def end(command):
        if command.order.startswith("bad"):
            raise ValueError("after the insert")
        if command.order == "nothing":
            return None
        if command.order == "wrong":
            return "text"
        return Paid(order=command.order, receipt=f"run {len(payment.runs)}")

    if request.param == "def":

        @payment.on(Pay, retry=QUICK)
        def pay(command: Pay, context: Context) -> Paid | None:
            with context.transaction() as session:
                body(command, context)
                session.execute(text("insert into payments values (:id)"), {"id": command.order})
                if command.order == "bad inside":
                    raise ValueError("inside")
            return end(command)

        @resource
        def database() -> Iterator[Database]:
            database = Database(engine)
            database.create()
            yield database
    else:

        @payment.on(Pay, retry=QUICK)
        async def pay(command: Pay, context: Context) -> Paid | None:
            async with context.transaction() as session:
                body(command, context)
                await session.execute(text("insert into payments values (:id)"), {"id": command.order})
                if command.order == "bad inside":
                    raise ValueError("inside")
            return end(command)

        @resource
        async def database() -> AsyncIterator[Database]:
            other = create_async_engine(f"sqlite+aiosqlite:///{engine.url.database}")
            database = Database(other)
            await database.acreate()
            yield database
            await other.dispose()

    payment.database = database
    return payment


def rows(engine):
    with engine.connect() as connection:
        return sorted(connection.execute(text("select order_id from payments")).scalars())


def handled(engine):
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(inbox)).scalar_one()


async def test_a_second_execution_returns_the_stored_reply(world, engine, payment):
    await world.tell(Pay(order="o1"), Pay(order="nothing"))
    await world.tell(
        Pay(order="o1"), Pay(order="nothing")
    )  # the same ids: as after a crash before the settle
    async with world.running(payment, resources=[payment.database]):
        await until(lambda: world.counter("settled:payment") == 4)
    assert sorted(payment.runs) == rows(engine) == ["nothing", "o1"]
    assert handled(engine) == 2
    replies = [unpack(fields[b"data"]) for _, fields in world.raw.xrange(world.keys.topic("paid"))]
    assert len(replies) == 2
    assert replies[0] == replies[1]
    ids = [envelope.id for envelope in world.broadcasts(Paid)]
    assert ids[0] == ids[1]  # whoever hears it twice can tell
    notes = world.broadcasts(Noted)
    assert len(notes) == 4
    assert len({envelope.id for envelope in notes}) == 2


@pytest.mark.parametrize("order", ["bad inside", "bad after"])
async def test_what_fails_leaves_nothing_and_is_tried_again(world, engine, payment, order):
    await world.tell(Pay(order=order))
    async with world.running(payment, resources=[payment.database]):
        failure = await world.failure("payment")
    assert (failure.error, failure.attempts) == ("ValueError", 2)
    assert payment.runs == [order, order]
    assert rows(engine) == []
    assert handled(engine) == 0
    assert world.broadcasts(Noted) == []


async def test_a_reply_that_is_no_event_leaves_nothing(world, engine, payment):
    await world.tell(Pay(order="wrong"))
    async with world.running(payment, resources=[payment.database]):
        failure = await world.failure("payment")
    assert failure.message == "payment.pay returned a str: a handler returns one Event, or None"
    assert (failure.attempts, rows(engine), handled(engine)) == (1, [], 0)


async def test_each_component_has_an_inbox_of_its_own(world, engine):
    heard = []
    mail, points = Processor("mail"), Processor("points")

    @resource
    def database() -> Database:
        database = Database(engine)
        database.create()
        return database

    @mail.on(Paid)
    @points.on(Paid)
    def note(event: Paid, context: Context):
        with context.transaction():
            heard.append(context.handler)

    async with world.running(mail, points, resources=[database]) as client:
        await client.publish(Paid(order="o1"))
        await until(lambda: world.counter("settled:mail") and world.counter("settled:points"))
    assert sorted(heard) == ["mail.note", "points.note"]
    assert handled(engine) == 2


async def test_a_handler_that_catches_everything_does_not_run_twice(world, engine):
    runs = []
    payment = Processor("payment")

    @resource
    def database() -> Database:
        database = Database(engine)
        database.create()
        return database

    @payment.on(Pay)
    def pay(command: Pay, context: Context) -> Paid:
        try:
            with context.transaction():
                runs.append(command.order)
                return Paid(order=command.order, receipt="of the first run")
        except Exception:
            return Paid(order=command.order, receipt="made up")

    await world.tell(Pay(order="o1"))
    await world.tell(Pay(order="o1"))
    async with world.running(payment, resources=[database]):
        await until(lambda: world.counter("settled:payment") == 2)
    replies = [unpack(fields[b"data"])["receipt"] for _, fields in world.raw.xrange(world.keys.topic("paid"))]
    assert replies == ["of the first run", "of the first run"]
    assert runs == ["o1"]


async def test_without_a_database_there_is_no_transaction(world):
    payment = Processor("payment")

    @payment.on(Pay, retry=RetryPolicy(attempts=1))
    def pay(command: Pay, context: Context):
        with context.transaction():
            raise NotImplementedError

    await world.tell(Pay(order="o1"))
    async with world.running(payment):
        failure = await world.failure("payment")
    assert (
        "payment.pay asks for a transaction, but no resource gives a hybrid.inbox.Database" in failure.message
    )


async def test_the_kind_of_engine_must_fit_the_handler(world, engine):
    payment = Processor("payment")

    @resource
    def database() -> Database:
        return Database(engine)

    @payment.on(Pay, retry=RetryPolicy(attempts=1))
    async def pay(command: Pay, context: Context):
        async with context.transaction():
            raise NotImplementedError

    await world.tell(Pay(order="o1"))
    async with world.running(payment, resources=[database]):
        assert "a synchronous engine needs `with`" in (await world.failure("payment")).message


async def test_a_missing_table_is_the_handlers_error(world, payment, engine, monkeypatch):
    async def acreate(self):
        return None

    monkeypatch.setattr(Database, "create", lambda self: None)
    monkeypatch.setattr(Database, "acreate", acreate)
    await world.tell(Pay(order="o1"))
    async with world.running(payment, resources=[payment.database]):
        assert "no such table: hybrid_inbox" in (await world.failure("payment")).message
    assert payment.runs == []


async def test_a_delivery_has_one_transaction(world, engine):
    payment = Processor("payment")

    @resource
    def database() -> Database:
        database = Database(engine)
        database.create()
        return database

    @payment.on(Pay)
    def pay(command: Pay, context: Context):
        with context.transaction() as session:
            session.execute(text("insert into payments values ('o1')"))
        with context.transaction():
            raise NotImplementedError

    await world.tell(Pay(order="o1"))
    async with world.running(payment, resources=[database]):
        failure = await world.failure("payment")
    assert failure.message == "payment.pay asks for a second transaction; a delivery has one"
    assert rows(engine) == []


async def test_old_rows_are_forgotten(world, engine, payment):
    await world.tell(Pay(order="o1"))
    async with world.running(payment, resources=[payment.database]):
        await until(lambda: world.counter("settled:payment") == 1)
    database = Database(engine)
    assert await asyncio.to_thread(database.forget, timedelta(hours=1)) == 0
    assert await asyncio.to_thread(database.forget, timedelta(seconds=-60)) == 1
    assert handled(engine) == 0
