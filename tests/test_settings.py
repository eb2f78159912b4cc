"""Settings: from the environment, checked, and told with their rule when wrong."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from hybrid.errors import SettingsError
from hybrid.settings import SCHEMES, Settings


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    """No HYBRID_ variable is set."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"HYBRID_{name.upper()}", raising=False)


def test_defaults():
    settings = Settings.load()
    assert (settings.redis_url, settings.domain, settings.shards) == (None, "main", 1)


def test_from_the_environment(monkeypatch):
    for name, value in {"SHARDS": "16", "DIRECTORY": "/x", "REDIS_URL": "unix:///r.sock"}.items():
        monkeypatch.setenv(f"HYBRID_{name}", value)
    settings = Settings.load()
    assert (settings.shards, settings.directory, settings.redis_url) == (16, Path("/x"), "unix:///r.sock")


def test_a_change_wins_and_none_is_no_change(monkeypatch):
    monkeypatch.setenv("HYBRID_SHARDS", "16")
    assert Settings.load(shards=2).shards == 2
    assert Settings.load(shards=None).shards == 16


def test_an_empty_address_is_none(monkeypatch):
    monkeypatch.setenv("HYBRID_REDIS_URL", "")
    assert Settings.load().redis_url is None


@pytest.mark.parametrize("scheme", SCHEMES)
def test_addresses(scheme):
    assert Settings.load(redis_url=f"{scheme}host").redis_url == f"{scheme}host"


WRONG = [
    ("SHARDS", "0", "greater than or equal to 1"),
    ("SHARDS", "many", "integer"),
    ("DOMAIN", "a.b", "pattern"),
    ("DOMAIN", "a}b", "pattern"),
    ("REDIS_URL", "http://:geheim@host", r"starts with one of redis://"),
    ("LEASE_MS", "1", "greater than or equal to 200"),
]


@pytest.mark.parametrize(("name", "value", "rule"), WRONG)
def test_what_is_wrong_is_named_with_its_rule(name, value, rule, monkeypatch):
    monkeypatch.setenv(f"HYBRID_{name}", value)
    with pytest.raises(SettingsError, match=rf"HYBRID_{name}: .*{rule}") as caught:
        Settings.load()
    assert "geheim" not in str(caught.value)


def test_all_problems_at_once():
    with pytest.raises(SettingsError, match=r"HYBRID_SHARDS.*; HYBRID_THREADS"):
        Settings.load(shards=0, threads=0)


def test_unknown_ones():
    with pytest.raises(SettingsError, match="HYBRID_NOPE"):
        Settings.load(nope=1)


def test_they_do_not_change():
    with pytest.raises(ValidationError):
        Settings.load().shards = 2


def test_every_one_is_described():
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
