"""What happens after a handler has run: `decide` is a table."""

import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid import Event, RetryPolicy
from hybrid.errors import (
    ApplicationError,
    HandlerError,
    HandlerTimeout,
    InvalidMessage,
    MessageTooLarge,
    UndecodableMessage,
)
from hybrid.policy import LONGEST, Done, Raised, Repair, Retry, Succeeded, decide

OTHER = ValueError("x")
LATE = HandlerTimeout("p.h", 1.0)


class Said(Event):
    pass


def test_pauses_grow_up_to_a_limit():
    policy = RetryPolicy(attempts=9, first_ms=100, factor=3.0, most_ms=2000)
    assert [policy.after(n) for n in (1, 2, 3, 4, 5)] == [100, 300, 900, 2000, 2000]
    assert RetryPolicy().after(10_000) == RetryPolicy().most_ms


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 0},
        {"attempts": 1.5},
        {"attempts": True},
        {"attempts": None},
        {"attempts": 10**30},
        {"first_ms": -1},
        {"first_ms": 0.5},
        {"most_ms": -1},
        {"most_ms": 10**400},
        {"factor": -0.1},
        {"factor": math.nan},
        {"factor": math.inf},
        {"factor": 1e300},
        {"factor": "2"},
    ],
)
def test_what_can_not_be_is_refused(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ApplicationError, match=f"{name} is a") as refused:
        RetryPolicy(**wrong)
    assert f"RetryPolicy({name}={value!r})" in str(refused.value)


@pytest.mark.parametrize(
    "policy", [RetryPolicy(), RetryPolicy(1, 0, 0, 0), RetryPolicy(10**9, LONGEST, 1.2345678901, LONGEST)]
)
def test_an_envelope_carries_it(policy):
    assert RetryPolicy.read(policy.written()) == policy
    assert policy.after(10**9) <= LONGEST


@given(st.text() | st.from_regex(r"-?[0-9]{0,9} -?[0-9e]{0,9} -?[0-9.e]{0,9} -?[0-9]{0,9}", fullmatch=True))
def test_any_text_is_a_policy_or_one_error(text):
    with suppress(UndecodableMessage):
        assert RetryPolicy.read(text).after(99) >= 0


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
