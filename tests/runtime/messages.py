"""The messages of tests: a shop as small as can be."""

from hybrid import Command, Event, Secret


class Place(Event, key="order"):
    order: str
    total: int = 10


class Renamed(Event):
    customer: str


class Pay(Command, key="order"):
    order: str
    amount: int = 10


class Ship(Command):
    order: str


class Charge(Command):
    order: str
    card: Secret[str]


class Paid(Event, key="order"):
    order: str
    receipt: str = "r"


class Denied(Event):
    order: str


class Shipped(Event):
    order: str


class Noted(Event):
    text: str = ""


class Completed(Event):
    order: str


class Cancelled(Event):
    order: str
    reason: str = ""
