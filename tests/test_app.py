"""Applications: made of components, run and sent to."""

import pytest

from hybrid import App, Client, Event, Processor, Settings, SimpleMediator
from hybrid.app import server
from hybrid.errors import ApplicationError, SettingsError


class Asked(Event):
    question: str


def front():
    front = SimpleMediator("front")

    @front.on(Asked)
    def asked(event):
        return None

    return front


def test_its_name_is_kebab_case():
    with pytest.raises(ApplicationError, match="'My App' is no name for a component: a-z, 0-9 and -"):
        App("My App", [])


def test_components_are_checked_when_it_is_used(settings):
    app = App("shop", [Processor("a"), Processor("a")], settings=settings)
    with pytest.raises(ApplicationError, match="two components are called a"):
        _ = app.topology


def test_messages_may_be_named_that_no_component_mentions(settings):
    class Rare(Event):
        pass

    app = App("shop", [], messages=[Rare], settings=settings)
    assert "rare" in app.topology.catalog


def test_settings_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("HYBRID_SHARDS", "7")
    assert App("shop", []).settings.shards == 7
    monkeypatch.setenv("HYBRID_SHARDS", "none")
    with pytest.raises(SettingsError, match="HYBRID_SHARDS: Input should be a valid integer"):
        Settings.load()
    monkeypatch.setenv("HYBRID_SHARDS", "1")
    with pytest.raises(SettingsError, match="HYBRID_REDIS_URL: .*starts with one of redis://"):
        Settings.load(redis_url="http://localhost")
    assert Settings.load(redis_url="").redis_url is None


async def test_a_client_and_a_worker_of_one_application(fresh, settings):
    app = App(fresh, [front()], settings=settings)
    async with app.worker() as worker, app.client() as client:
        assert isinstance(client, Client)
        assert worker.names == ["front"]
        receipt = await client.send(Asked(question="?"))
        assert (await client.wait(receipt.id)).state == "completed"


async def test_without_an_address_the_embedded_server_is_used(tmp_path):
    settings = Settings.load(directory=tmp_path / "h", lease_ms=1000, block_ms=200, tick_ms=20)
    app = App("shop", [front()], settings=settings.model_copy(update={"redis_url": None}))
    async with app.running() as client:
        receipt = await client.send(Asked(question="?"))
        assert (await client.wait(receipt.id)).state == "completed"
    with server(app.settings) as url:
        assert url.startswith("unix://")
