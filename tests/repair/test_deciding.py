"""What becomes of a failure after a repair function has run."""

import pytest

from hybrid import Discard
from hybrid.policy import Raised
from hybrid.repair.deciding import Answered, GivenUp, Mended, ToDesk, decide
from tests.runtime.messages import Pay, Ship


@pytest.mark.parametrize(
    ("outcome", "decision"),
    [
        (Answered(Pay(order="o1")), Mended(Pay(order="o1"))),
        (Answered(Discard("no such order")), GivenUp("no such order")),
        (Answered(None), ToDesk("fixer can't tell what is wrong with it")),
        (Answered(Ship(order="o1")), ToDesk("fixer mended it to a ship: a message stays what it is, pay")),
        (Raised(KeyError("o1")), ToDesk("fixer: KeyError: 'o1'")),
    ],
)
def test_each_outcome_has_its_decision(outcome, decision):
    assert decide(outcome, "fixer", "pay", late=False) == decision


def test_what_is_late_does_not_go_back():
    decision = decide(Answered(Pay(order="o1")), "fixer", "pay", late=True)
    assert decision == ToDesk(
        "fixer mended it, but its time is over: nobody waits for it any more", awaited=False
    )
    assert decide(Answered(Discard("no")), "fixer", "pay", late=True) == GivenUp("no")
