"""Simple mediators: rules and handlers, and what is said of those that can't be."""

import pytest

from hybrid import COMPLEX, HARD, SIMPLE, SimpleMediator
from hybrid.errors import ApplicationError, HandlerError
from hybrid.mediator.classes import Verdict
from tests.runtime.messages import Noted, Pay, Place, Renamed


def by_total(event):
    return HARD.because("over 100") if event.total > 100 else SIMPLE


@pytest.fixture
def front():
    front = SimpleMediator("front")
    front.classify(Place, SIMPLE, HARD)(by_total)
    return front


def test_a_rule_gives_a_class_and_a_reason(front):
    rule = front.rule_for(Place)
    assert (rule.name, rule.classes) == ("by_total", (SIMPLE, HARD))
    assert rule.verdict(Place(order="o1", total=200)) == Verdict(HARD, "over 100")
    assert rule.verdict(Place(order="o1", total=20)) == Verdict(SIMPLE, "")


def test_a_class_that_was_not_declared_is_told():
    front = SimpleMediator("front")
    front.classify(Place, COMPLEX)(by_total)
    with pytest.raises(HandlerError, match="rule by_total gave .*, it declares COMPLEX"):
        front.rule_for(Place).verdict(Place(order="o1"))


def test_what_can_not_be_registered_is_told(front):
    with pytest.raises(
        ApplicationError, match="front: a rule declares the classes that it may give, as HARD"
    ):
        front.classify(Place)
    with pytest.raises(ApplicationError, match="front has two rules for Place"):
        front.classify(Place, HARD)(by_total)
    with pytest.raises(ApplicationError, match="front: Pay is no Event; only events enter a simple mediator"):
        front.on(Pay)(lambda event: None)
    with pytest.raises(ApplicationError, match="is no Command or Event class"):
        front.on("place")(lambda event: None)
    front.on(Renamed)(lambda event: None)
    with pytest.raises(ApplicationError, match="front handles Renamed twice"):
        front.on(Renamed)(lambda event: None)


def test_events_enter_by_a_rule_or_a_handler(front):
    front.on(Renamed | Place)(lambda event: [])
    assert front.events == [Place, Renamed]
    assert repr(front) == "SimpleMediator('front')"


@pytest.mark.parametrize(
    ("given", "messages"),
    [
        (None, []),
        (Noted(), [Noted()]),
        ([Noted(), Pay(order="o")], [Noted(), Pay(order="o")]),
        ((n for n in [Noted()]), [Noted()]),
    ],
)
def test_a_simple_event_leads_to_messages(front, given, messages):
    front.on(Renamed)(lambda event: given)
    assert front.handle(Renamed(customer="c")) == messages


def test_and_to_nothing_else(front):
    front.on(Renamed)(lambda event: ["text"])
    with pytest.raises(HandlerError, match="front: Renamed led to a str, no message"):
        front.handle(Renamed(customer="c"))
