"""The plugin for pytest: a fixture `bed`, on a fixture `app`.

    async def test_an_order_is_shipped(bed):
        order = await bed.send(OrderPlaced(...))
        await bed.settled()
        assert bed.outcome(order).state == "completed"

It needs no plugin for asyncio, and goes along with those that there are: the bed is open while the test runs,
on the event loop of the test, whoever runs that. Loaded by pytest alone, which is no dependency of Hybrid.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from hybrid import discovery
from hybrid.app import App
from hybrid.settings import Settings
from hybrid.testing.bed import TestBed

Test = Callable[..., Coroutine[Any, Any, Any]]
OPTION = "hybrid_app"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the application be named in pytest's configuration."""
    parser.addini(
        OPTION, "The application of the fixture `app`, as HYBRID_APP: a package, module:attribute, file."
    )


@pytest.fixture(scope="session")
def app(pytestconfig: pytest.Config) -> App:
    """The application under test: the one that `hybrid_app` of pytest's configuration names, or that the
    command line finds. Override it to test another one.
    """
    root = str(pytestconfig.rootpath)
    if root not in sys.path:
        sys.path.insert(0, root)
    return discovery.load(pytestconfig.getini(OPTION) or Settings.load().app)


@pytest.fixture
def bed(app: App) -> TestBed:
    """A test bed of the application, open while the test runs, which is a coroutine."""
    return TestBed(app)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Let the bed of a test be open while it runs."""
    found = getattr(item, "funcargs", {}).get("bed")
    if isinstance(item, pytest.Function) and isinstance(found, TestBed):
        if not inspect.iscoroutinefunction(item.obj):
            pytest.fail(f"{item.name} uses the fixture `bed`: write it as `async def`", pytrace=False)
        item.obj = _on(found, item.obj)


@pytest.hookimpl
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object:
    """Run a test with a bed that no plugin for asyncio has taken."""
    test = pyfuncitem.obj
    if "bed" not in pyfuncitem.funcargs or not inspect.iscoroutinefunction(test):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    asyncio.run(test(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


def _on(bed: TestBed, test: Test) -> Test:
    @functools.wraps(test)
    async def run(*arguments: Any, **fixtures: Any) -> None:
        __tracebackhide__ = True
        async with bed:
            await test(*arguments, **fixtures)

    return run
