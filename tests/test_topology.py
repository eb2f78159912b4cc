"""The topology: components that fit together, and what is said of those that do not."""

import pytest

from hybrid import COMPLEX, HARD, SIMPLE, Event, Flow, Mediator, Processor, SimpleMediator, WorkflowProcessor
from hybrid.errors import ApplicationError
from hybrid.topology import Topology
from tests.runtime.messages import Cancelled, Completed, Denied, Noted, Paid, Pay, Place, Renamed


async def place(event: Place, flow: Flow) -> Completed | Cancelled:
    raise NotImplementedError


def payment(name="payment"):
    processor = Processor(name)

    @processor.on(Pay)
    async def pay(command: Pay) -> Paid | Denied:
        raise NotImplementedError

    return processor


def front(name="front", *classes):
    front = SimpleMediator(name)

    @front.classify(Place, *(classes or (HARD,)))
    def by_total(event):
        raise NotImplementedError

    return front


def orders(name="orders", handles=HARD):
    mediator = Mediator(name, handles=handles)
    mediator.flow(Place)(place)
    return mediator


def test_who_handles_and_who_listens():
    mail = Processor("mail")

    @mail.on(Paid | Completed)
    async def tell(event: Paid | Completed) -> Noted:
        raise NotImplementedError

    topology = Topology([front(), orders(), payment(), mail])
    assert topology.names == ["front", "orders", "payment", "mail"]
    assert topology.handler_of(Pay).name == "payment.pay"
    assert topology.handler_of(Noted) is None
    assert [handler.name for handler in topology.listeners(Paid)] == ["mail.tell"]
    assert topology.front_of(Place).name == "front"
    assert topology.mediator_of(Place, HARD).name == "orders"
    assert topology.mediator_of(Place, COMPLEX) is None
    assert topology.initiating() == [Place]


def test_every_message_that_is_mentioned_is_known():
    topology = Topology([front(), orders(), payment()])
    names = {cls.type_name for cls in topology.catalog}
    assert {"place", "pay", "paid", "denied", "completed", "cancelled"} <= names
    assert "renamed" in names  # stands in the module of a function
    assert not {"event", "command", "message"} & names


def two_fronts():
    return [front(), front("door"), orders()]


def two_mediators():
    return [front(), orders(), orders("also")]


def simple_unhandled():
    return [front("front", SIMPLE, HARD), orders()]


def no_mediator():
    return [front("front", HARD, COMPLEX), orders()]


def no_flow():
    return [front(), Mediator("orders", handles=HARD)]


@pytest.mark.parametrize(
    ("components", "text"),
    [
        (lambda: [payment(), payment()], "two components are called payment"),
        (lambda: [payment("orders"), orders()], "two components are called orders"),
        (
            lambda: [payment(), payment("bank")],
            "Pay is handled by payment.pay and bank.pay: a command has one processor",
        ),
        (two_fronts, "Place enters by both front and door; choose one"),
        (two_mediators, "Place of class hard has two mediators: orders and also"),
        (
            simple_unhandled,
            r"rule by_total of front may call Place simple, but there is no @front.on\(Place\) to handle it",
        ),
        (
            no_mediator,
            "rule by_total of front may call Place complex, but no mediator handles COMPLEX with a flow",
        ),
        (
            no_flow,
            "rule by_total of front may call Place hard, but no mediator handles HARD with a flow for it",
        ),
    ],
)
def test_what_does_not_fit_is_told(components, text):
    with pytest.raises(ApplicationError, match=text):
        Topology(components())


def test_an_event_that_does_not_enter_is_told_with_those_that_do():
    with pytest.raises(ApplicationError, match="paid is no initiating event; those are: place"):
        Topology([front(), orders()]).front_of(Paid)
    with pytest.raises(ApplicationError, match="those are: none"):
        Topology([payment()]).front_of(Paid)


def test_a_simple_event_without_a_rule_is_simple():
    door = SimpleMediator("door")

    @door.on(Renamed)
    def renamed(event):
        return None

    topology = Topology([door])
    assert topology.front_of(Renamed) is door
    assert door.rule_for(Renamed).name == "renamed"
    assert door.rule_for(Renamed).verdict(Renamed(customer="c")).event_class is SIMPLE


def test_two_classes_of_one_name_are_told():
    class Paid(Event):
        pass

    late = Processor("late")

    @late.on(Paid)
    async def hear(event):
        raise NotImplementedError

    with pytest.raises(ApplicationError, match="two message classes are called paid"):
        Topology([payment(), late])


def fixing(name="fixer", message=Pay, on=ValueError):
    fixer = WorkflowProcessor(name)
    fixer.repairs(message, on=on)(lambda failed: None)
    return fixer


def test_who_repairs_what():
    mail, fixer = Processor("mail"), fixing(message=Pay | Paid)

    @mail.on(Paid | Completed)
    async def tell(event: Paid | Completed):
        raise NotImplementedError

    everything = fixing("everything", message=Paid, on=Exception)
    topology = Topology([payment(), mail, fixer, everything])
    assert topology.names == ["payment", "mail", "fixer", "everything"]
    assert topology.repaired_by(fixer) == ["payment", "mail"]
    assert topology.repaired_by(everything) == ["mail"]
    assert topology.repair_of("payment", "pay", UnicodeError()).component == "fixer"
    assert topology.repair_of("payment", "pay", KeyError()) is None
    assert topology.repair_of("mail", "paid", UnicodeError()).component == "fixer"  # the nearest
    assert topology.repair_of("mail", "paid", KeyError()).component == "everything"
    assert topology.repair_of("mail", "pay", ValueError()) is None  # mail has no such message
    assert topology.repair_of("nobody", "pay", ValueError()) is None


def test_what_fails_at_the_front_door_is_repaired_and_what_fails_in_a_flow_is_not():
    fixer = fixing(message=Place)
    topology = Topology([front(), orders(), fixer])
    assert topology.repaired_by(fixer) == ["front"]
    assert topology.repair_of("front", "place", ValueError()).component == "fixer"
    assert topology.repair_of("orders", "place", ValueError()) is None


def test_a_failure_has_one_repair():
    with pytest.raises(
        ApplicationError, match="Pay that failed with ValueError is repaired by both one.*two"
    ):
        Topology([payment(), fixing("one"), fixing("two")])
    with pytest.raises(ApplicationError, match="two components are called payment"):
        Topology([payment(), fixing("payment")])


def test_a_message_that_only_a_repair_mentions_is_known():
    assert "noted" in Topology([fixing(message=Noted)]).catalog
