"""The public names are written down here: a name that comes or goes is a decision, seen in the change."""

import hybrid

EXPORTED = [
    "COMPLEX",
    "HARD",
    "SIMPLE",
    "Answer",
    "App",
    "ChildFailed",
    "Client",
    "Command",
    "CommandFailed",
    "Context",
    "Discard",
    "Event",
    "Failed",
    "Flow",
    "HybridError",
    "Mediator",
    "Outcome",
    "Processor",
    "Promote",
    "Receipt",
    "Refused",
    "RetryPolicy",
    "Secret",
    "Settings",
    "SimpleMediator",
    "StepTimeout",
    "TaskClosed",
    "TaskEscalated",
    "TaskOpened",
    "TaskReassigned",
    "TaskReminded",
    "Verdict",
    "WorkflowProcessor",
    "days",
    "hours",
    "minutes",
    "resource",
    "seconds",
    "upcast",
]


def order(name):
    """As ruff sorts `__all__`: CONSTANTS, Classes, functions."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def test_these_and_no_others_are_exported():
    assert sorted(hybrid.__all__) == sorted(EXPORTED)


def test_they_are_there():
    assert [name for name in hybrid.__all__ if not hasattr(hybrid, name)] == []


def test_they_are_sorted_and_stand_once():
    assert list(hybrid.__all__) == sorted(set(hybrid.__all__), key=order)
