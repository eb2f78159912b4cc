"""What happens after a handler has run: `decide` is a table."""

import pytest

from hybrid import Event, RetryPolicy
from hybrid.errors import HandlerError, HandlerTimeout, InvalidMessage, MessageTooLarge
from hybrid.policy import Done, Raised, Repair, Retry, Succeeded, decide

OTHER = ValueError("x")
LATE = HandlerTimeout("p.h", 1.0)


class Said(Event):
    pass


def test_pauses_grow_up_to_a_limit():
    policy = RetryPolicy(attempts=9, first_ms=100, factor=3.0, most_ms=2000)
    assert [policy.after(n) for n in (1, 2, 3, 4, 5)] == [100, 300, 900, 2000, 2000]
    assert RetryPolicy().after(10_000) == RetryPolicy().most_ms


def test_success_is_done():
    reply, other = Said(), Said()
    assert decide(Succeeded(reply, [other]), 1, RetryPolicy()) == Done(reply, [other])
    assert decide(Succeeded(), 99, RetryPolicy()) == Done()


@pytest.mark.parametrize(
    ("error", "attempt", "decision"),
    [
        (OTHER, 1, Retry(200, OTHER)),
        (OTHER, 2, Retry(800, OTHER)),
        (OTHER, 3, Repair(OTHER)),
        (OTHER, 4, Repair(OTHER)),
        (LATE, 1, Retry(200, LATE)),
        (LATE, 3, Repair(LATE)),
    ],
)
def test_an_error_is_tried_again_until_it_is_enough(error, attempt, decision):
    assert decide(Raised(error), attempt, RetryPolicy(attempts=3, first_ms=200, factor=4.0)) == decision


@pytest.mark.parametrize(
    "error", [HandlerError("x"), InvalidMessage("t", [("f", "r")]), MessageTooLarge("t", 2, 1)]
)
def test_what_would_fail_again_just_the_same_is_not_tried_again(error):
    assert decide(Raised(error), 1, RetryPolicy(attempts=10)) == Repair(error)
