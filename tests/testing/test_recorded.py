"""Recorded flows are run again in tests: of the bed itself, and of a file."""

import pytest

from hybrid import HARD, App, Flow, Mediator, hours
from hybrid.errors import FlowError
from hybrid.inspect.histories import exported, histories
from hybrid.testing import TestBed, replay
from tests.testing import shop
from tests.testing.shop import Approved, Ordered, Pay, Ship, Shipped, app


@pytest.fixture(autouse=True)
def same_server(server, monkeypatch):
    """The beds work on the session's server."""
    monkeypatch.setenv("HYBRID_TEST_REDIS_URL", server)


@pytest.fixture
async def exports(tmp_path):
    """A file with two flows: one that is over, one that sleeps."""
    file = tmp_path / "flows.jsonl"
    async with TestBed(app) as bed:
        await bed.send(Ordered(order="o1", nights=1), id="f1")
        await bed.send(Ordered(order="o2", nights=2), id="f2")
        await bed.skip(hours=12)
        assert [bed.outcome(id).state for id in ("f1", "f2")] == ["completed", "running"]
        store = bed.client._store
        file.write_text("\n".join([exported(each, app.topology.catalog) async for each in histories(store)]))
    return file


def changed(function):
    """The shop with another function."""
    orders = Mediator("orders", handles=HARD)
    orders.flow(Ordered)(function)
    return App("shop", [shop.front, orders, shop.payment, shop.shipping, shop.mail])


async def hasty(event: Ordered, flow: Flow) -> Shipped:
    """Ship without waiting for the night."""
    await flow.do(Pay(order=event.order), timeout=hours(24))
    return await flow.do(Ship(order=event.order, time=flow.now().isoformat()))


async def test_the_flows_of_a_bed_fit():
    async with TestBed(app, shards=2) as bed:
        with pytest.raises(AssertionError, match="there is no recorded flow to check"):
            bed.replay()
        for n in range(6):
            await bed.send(Ordered(order=f"o{n}", nights=n % 3))
        await bed.send(Approved(order="simple"))
        await bed.skip(hours=12)
        assert bed.replay() == 6


def test_a_file_fits_its_code_and_names_what_differs_from_other_code(exports):
    assert replay(app, exports) == TestBed(app).replay(str(exports)) == 2
    with pytest.raises(AssertionError) as told:
        replay(changed(hasty), exports)
    first, *kinds = str(told.value).splitlines()
    assert first == "recorded flows differ from the code:"
    where = "  orders, ordered, version 1: step 2: was sleep 12 h, is now ship"
    assert kinds == [f"{where}; 2 (f2, f1)"]


def test_what_is_no_such_file(tmp_path):
    file = tmp_path / "flows.jsonl"
    with pytest.raises(FileNotFoundError):
        replay(app, file)
    file.write_text("{}")
    with pytest.raises(FlowError, match="line 1 is no flow"):
        replay(app, file)
    file.write_text("\n")
    with pytest.raises(AssertionError, match="there is no recorded flow to check"):
        replay(app, file)
