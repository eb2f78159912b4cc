"""Processors: how handlers are registered, and what is said of those that can't be."""

from typing import TYPE_CHECKING

import pytest

from hybrid import Command, Context, Event, Processor, RetryPolicy
from hybrid.errors import ApplicationError
from tests.runtime.messages import Denied, Paid, Pay, Ship

if TYPE_CHECKING:
    from nowhere import Nothing


def test_a_handler_and_what_it_may_do():
    payment = Processor("payment")
    policy = RetryPolicy(attempts=7)

    @payment.on(Pay, concurrency=2, timeout=3.5, retry=policy)
    async def pay(command: Pay, context: Context, cache: dict[str, int]) -> Paid | Denied | None:
        raise NotImplementedError

    handler = payment.handlers[Pay]
    assert (handler.name, handler.component, handler.message) == ("payment.pay", "payment", Pay)
    assert (handler.concurrency, handler.timeout, handler.retry) == (2, 3.5, policy)
    assert handler.is_async
    assert handler.function is pay
    assert handler.parameters() == [("context", Context), ("cache", dict[str, int])]
    assert handler.replies() == [Paid, Denied]
    assert repr(payment) == "Processor('payment')"


def test_one_function_may_handle_several_classes():
    payment = Processor("payment")

    @payment.on(Pay | Ship | Paid)
    def handle(message: Pay | Ship | Paid):
        raise NotImplementedError

    assert payment.commands == [Pay, Ship]
    assert payment.events == [Paid]
    assert not payment.handlers[Ship].is_async
    assert payment.handlers[Ship].replies() == []


@pytest.mark.parametrize("name", ["Payment", "pay ment", "1st", "", "x" * 61, "pay_ment"])
def test_names_are_kebab_case(name):
    with pytest.raises(ApplicationError, match="is no name for a component: a-z, 0-9 and -, a letter first"):
        Processor(name)


def test_a_class_has_one_handler():
    payment = Processor("payment")
    payment.on(Pay)(lambda command: None)
    with pytest.raises(ApplicationError, match="payment has two handlers for Pay"):
        payment.on(Paid | Pay)(lambda message: None)


@pytest.mark.parametrize("thing", [str, "pay", Pay(order="o1"), Pay | str, None, Event, Command])
def test_only_messages_are_handled(thing):
    with pytest.raises(ApplicationError, match="is no Command or Event class"):
        Processor("payment").on(thing)(lambda message: None)


def handler_of(function):
    payment = Processor("payment")
    payment.on(Pay)(function)
    return payment.handlers[Pay]


def test_parameters_have_annotations():
    def nothing():
        raise NotImplementedError

    def bare(command, context):
        raise NotImplementedError

    def unknown(command: Pay, thing: "Nothing"):
        raise NotImplementedError

    with pytest.raises(
        ApplicationError, match="payment.nothing takes no message: its first parameter is the Pay"
    ):
        handler_of(nothing).parameters()
    with pytest.raises(
        ApplicationError, match="payment.bare: context has no annotation to tell what to hand it"
    ):
        handler_of(bare).parameters()
    with pytest.raises(ApplicationError, match=r"payment.unknown: .*'Nothing' is not defined"):
        handler_of(unknown).parameters()


def test_an_annotation_that_can_not_be_read_tells_no_replies():
    def unknown(command: Pay) -> "Nothing":
        raise NotImplementedError

    assert handler_of(unknown).replies() == []
