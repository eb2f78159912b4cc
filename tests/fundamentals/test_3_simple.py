"""Every initiating event enters by a simple mediator. What is simple is handled right there."""

import asyncio

from hybrid import Command, Event, Processor, SimpleMediator


class AddressChanged(Event):
    customer: str
    address: str


class UpdateAddress(Command):
    customer: str
    address: str


class AddressUpdated(Event):
    customer: str


async def test_a_simple_event_leads_to_a_command(make_app):
    addresses, updated = {}, asyncio.Event()
    front, customers = SimpleMediator("front"), Processor("customers")

    @front.on(AddressChanged)
    def address_changed(event: AddressChanged):
        return UpdateAddress(customer=event.customer, address=event.address)

    @customers.on(UpdateAddress)
    async def update(command: UpdateAddress) -> AddressUpdated:
        addresses[command.customer] = command.address
        return AddressUpdated(customer=command.customer)

    @customers.on(AddressUpdated)
    async def end(event: AddressUpdated):
        updated.set()

    async with make_app(front, customers).running() as client:
        receipt = await client.send(AddressChanged(customer="Ann", address="Bath"))
        outcome = await client.wait(receipt.id)  # it is handled: its command is on the way
        await asyncio.wait_for(updated.wait(), 10)
    assert outcome.state == "completed"
    assert addresses["Ann"] == "Bath"


async def test_the_same_id_is_taken_once(make_app):
    front = SimpleMediator("front")

    @front.on(AddressChanged)
    def address_changed(event: AddressChanged):
        return None

    async with make_app(front).running() as client:
        change = AddressChanged(customer="Ann", address="Bath")
        assert not (await client.send(change, id="change-1")).duplicate
        assert (await client.send(change, id="change-1")).duplicate
