"""Workflow processors: how repairs are registered, and what is said of those that can't be."""

import pytest
from pydantic import ValidationError

from hybrid import Failed, WorkflowProcessor
from hybrid.envelope import Envelope
from hybrid.errors import ApplicationError, InvalidMessage
from tests.runtime.messages import Charge, Paid, Pay, Ship


def test_a_repair_and_what_it_repairs():
    fixer = WorkflowProcessor("fixer")

    @fixer.repairs(Pay | Ship, on=ValueError | KeyError, timeout=2)
    async def mend(failed: Failed, cache: dict[str, int]): ...

    handler = fixer.functions["fixer.mend"]
    assert (handler.name, handler.timeout, handler.function) == ("fixer.mend", 2, mend)
    assert handler.parameters() == [("cache", dict[str, int])]
    assert fixer.repaired == {
        (cls, error): handler for cls in (Pay, Ship) for error in (ValueError, KeyError)
    }
    assert repr(fixer) == "WorkflowProcessor('fixer')"


def test_without_on_it_is_for_every_error():
    fixer = WorkflowProcessor("fixer")
    fixer.repairs(Pay)(lambda failed: None)
    assert list(fixer.repaired) == [(Pay, Exception)]
    assert next(iter(fixer.functions.values())).timeout == 30


def test_what_does_not_validate_fails_with_a_validation_error():
    fixer = WorkflowProcessor("fixer")
    fixer.repairs(Pay, on=(ValidationError, InvalidMessage))(lambda failed: None)
    assert [error for _, error in fixer.repaired] == [ValidationError, InvalidMessage]


@pytest.mark.parametrize(
    "on", [str, "ValueError", ValueError("x"), (ValueError, int), KeyboardInterrupt, None]
)
def test_only_exceptions_are_repaired_on(on):
    fixer = WorkflowProcessor("fixer")
    with pytest.raises(ApplicationError, match="is no class of exceptions"):
        fixer.repairs(Pay, on=on)(lambda failed: None)


def test_what_can_not_be_registered():
    fixer = WorkflowProcessor("fixer")
    with pytest.raises(ApplicationError, match="is no name for a component"):
        WorkflowProcessor("Fix It")
    with pytest.raises(ApplicationError, match="is no Command or Event class"):
        fixer.repairs(str)(lambda failed: None)

    @fixer.repairs(Pay, on=ValueError)
    def mend(failed): ...

    with pytest.raises(ApplicationError, match="fixer has two repair functions called mend"):
        fixer.repairs(Ship)(mend)
    with pytest.raises(ApplicationError, match="fixer has two repair functions for Pay on ValueError"):
        fixer.repairs(Paid | Pay, on=ValueError)(lambda failed: None)


def test_secrets_are_not_shown():
    charge = Charge(order="o1", card="4242")
    failed = Failed(
        charge, {"card": "4242"}, b"4242", Envelope("i", "charge"), "ValueError", "no", "payment.charge", 1
    )
    assert "4242" not in repr(failed)
    assert failed.message is charge
