"""The database: processes that open it at once, and who reads it."""

import subprocess
import sys

import pytest
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from hybrid import Settings
from hybrid.discovery import load
from hybrid.errors import ApplicationError
from processors.database import Base, database_url, engine
from processors.summary import TABLES, summary

OPEN = """
import sys
from hybrid import Settings
from hybrid.discovery import load
from processors.database import engine
from processors.inventory import shelf
load("bookstore")
opened = engine.function(Settings.load(directory=sys.argv[1]))
print(shelf.function(next(opened)).books)
opened.close()
"""


def test_processes_may_open_a_new_one_at_the_same_time(tmp_path):
    commands = [sys.executable, "-c", OPEN, str(tmp_path)]
    opening = [subprocess.Popen(commands, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
    results = [process.communicate(timeout=50) for process in opening]
    assert [process.returncode for process in opening] == [0] * 4, results
    found = summary(Settings.load(directory=tmp_path))
    assert found["rows"] == {table: 30 if table == "stock" else 0 for table in TABLES}


def test_postgresql_can_have_these_tables():
    load("bookstore")
    for table in Base.metadata.sorted_tables:
        assert f"CREATE TABLE {table.name}" in str(CreateTable(table).compile(dialect=postgresql.dialect()))
    assert {*Base.metadata.tables, "hybrid_inbox"} == {*TABLES}


def test_no_database_is_no_summary(tmp_path):
    with pytest.raises(ApplicationError, match="nothing has been run here yet"):
        summary(Settings.load(directory=tmp_path))


def test_another_one_is_an_address_away(monkeypatch, tmp_path):
    monkeypatch.setenv("BOOKSTORE_DATABASE_URL", "sqlite:///" + str(tmp_path / "elsewhere.db"))
    settings = Settings.load(directory=tmp_path / "here")
    assert database_url(settings).database == str(tmp_path / "elsewhere.db")
    opened = engine.function(settings)
    next(opened)
    opened.close()
    assert (tmp_path / "elsewhere.db").exists()
