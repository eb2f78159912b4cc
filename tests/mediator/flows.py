"""What the tests of flows share: a front door, a mediator for one function, a flow that fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hybrid import HARD, Mediator, SimpleMediator
from hybrid.broker.failures import Failure
from tests.runtime.messages import Place
from tests.runtime.world import World


def front_door() -> SimpleMediator:
    """Return a front door by which orders enter."""
    front = SimpleMediator("front")

    @front.classify(Place, HARD)
    def by_kind(event: Place) -> Any:
        return HARD.because("it is an order")

    return front


def orders(function: Callable[..., Any], **options: Any) -> Mediator:
    """Return a mediator that carries out orders by this function."""
    mediator = Mediator("orders", handles=HARD)
    mediator.flow(Place, **options)(function)
    return mediator


async def failed(world: World, *components: Any, **options: Any) -> Failure:
    """Run a flow into its failure; return that."""
    async with world.running(*components, **options) as client:
        await client.send(Place(order="o1"), id="f1")
        outcome = await client.wait("f1", timeout=10)
        assert outcome.state == "failed"
        failure = await world.failure("orders")
    assert f"{failure.error}: {failure.message}"[:500] == outcome.reason
    return failure
