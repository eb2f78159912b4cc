"""Mediators: how flows are registered."""

from typing import TYPE_CHECKING

import pytest

from hybrid import COMPLEX, HARD, Flow, Mediator
from hybrid.errors import ApplicationError
from tests.runtime.messages import Cancelled, Completed, Place, Renamed

if TYPE_CHECKING:
    from nowhere import Nothing


async def place(event: Place, flow: Flow) -> Completed | Cancelled:
    raise NotImplementedError


def test_flows_have_versions_and_the_newest_starts():
    orders = Mediator("orders", handles=[HARD, COMPLEX])
    orders.flow(Place)(place)
    orders.flow(Place | Renamed, version=3)(place)
    assert orders.handles == (HARD, COMPLEX)
    assert orders.newest(Place) == orders.newest(Renamed) == 3
    assert set(orders.ends()) == {Completed, Cancelled}
    assert repr(orders) == "Mediator('orders')"


def test_a_version_is_registered_once():
    orders = Mediator("orders", handles=HARD)
    orders.flow(Place, version=2)(place)
    with pytest.raises(ApplicationError, match="orders has two flows for Place, version 2"):
        orders.flow(Place, version=2)(place)


def test_a_flow_is_async():
    with pytest.raises(ApplicationError, match="orders: the flow plain is not `async def`"):

        @Mediator("orders", handles=HARD).flow(Place)
        def plain(event, flow):
            raise NotImplementedError


def test_its_name_is_kebab_case():
    with pytest.raises(ApplicationError, match="'Orders' is no name for a component"):
        Mediator("Orders", handles=HARD)


def test_a_flow_with_an_annotation_that_can_not_be_read_names_no_ends():
    orders = Mediator("orders", handles=HARD)

    @orders.flow(Place)
    async def unknown(event: Place, flow: Flow) -> "Nothing":
        raise NotImplementedError

    assert orders.ends() == []
