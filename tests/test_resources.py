"""Resources: opened in the order of their needs, given by type, closed in reverse."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest

from hybrid import Processor, Settings, resource
from hybrid.errors import ApplicationError
from hybrid.resources import open_resources, shown_type
from tests.runtime.messages import Paid, Pay
from tests.runtime.world import World, until


class Database:
    pass


class Bank:
    pass


class Mailer:
    pass


@pytest.fixture
def told():
    """What happened, in order."""
    return []


@pytest.fixture
def resources(told):
    """A bank that needs a mailer and a database; a mailer that needs the database; in no good order."""

    @resource
    async def bank(mailer: Mailer, database: Database) -> AsyncIterator[Bank]:
        told.append("bank opened")
        yield Bank()
        told.append("bank closed")

    @resource
    async def mailer(database: Database, settings: Settings) -> Mailer:
        told.append(f"mailer opened in {settings.domain}")
        return Mailer()

    @resource
    def database() -> Iterator[Database]:
        told.append("database opened")
        yield Database()
        told.append("database closed")

    @resource
    def number() -> int:
        return 42

    return [bank, mailer, database, number]


async def test_opened_as_needed_and_closed_in_reverse(told, resources):
    async with AsyncExitStack() as stack:
        opened = await open_resources(resources, {Settings: Settings()}, stack)
        assert told == ["database opened", "mailer opened in main", "bank opened"]
        assert opened[int] == 42
        assert {type(opened[kind]) for kind in (Bank, Mailer, Database)} == {Bank, Mailer, Database}
    assert told[3:] == ["bank closed", "database closed"]


async def opening(*resources):
    async with AsyncExitStack() as stack:
        return await open_resources(list(resources), {}, stack)


async def test_what_nobody_gives_is_told():
    @resource
    def bank(database: Database) -> Bank:
        raise NotImplementedError

    with pytest.raises(ApplicationError, match="resource bank needs Database, which no resource gives"):
        await opening(bank)


async def test_a_circle_is_told():
    @resource
    def bank(mailer: Mailer) -> Bank:
        raise NotImplementedError

    @resource
    def mailer(bank: Bank) -> Mailer:
        raise NotImplementedError

    with pytest.raises(ApplicationError, match="resource bank needs Mailer"):
        await opening(bank, mailer)


async def test_two_of_one_type_are_told():
    @resource
    def one() -> Bank:
        return Bank()

    @resource
    def two() -> Bank:
        return Bank()

    with pytest.raises(ApplicationError, match="two resources give Bank: handlers could not tell them apart"):
        await opening(one, two)


async def test_one_that_says_nothing_is_told():
    @resource
    def bank():
        raise NotImplementedError

    @resource
    def mailer(bank) -> Mailer:
        raise NotImplementedError

    with pytest.raises(
        ApplicationError, match="resource bank does not say what it gives: annotate what it returns"
    ):
        await opening(bank)
    with pytest.raises(ApplicationError, match="resource mailer: bank has no annotation"):
        await opening(mailer)


def test_types_are_shown_as_people_write_them():
    assert shown_type(Bank) == "Bank"
    assert shown_type(dict[str, int]) == "dict[str, int]"


async def test_handlers_are_given_them_by_type(fresh, settings, raw, told, resources):
    world = World(fresh, settings, raw)
    payment = Processor("payment")

    @payment.on(Pay)
    async def pay(command: Pay, bank: Bank, number: int, settings: Settings):
        told.append((type(bank), number, settings.domain))

    @payment.on(Paid)
    def note(event: Paid, bank: Bank):
        told.append(type(bank))

    await world.tell(Pay(order="o1"))
    async with world.running(payment, resources=resources, shards=2) as client:
        await client.publish(Paid(order="o1"))
        await until(lambda: Bank in told)
        if world.keys.prefix:
            await until(lambda: (Bank, 42, "main") in told)
    assert told.count("database opened") == told.count("database closed") == 1
