"""The database: processes that open it at once, and who reads it."""

import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session
from sqlalchemy.schema import CreateTable

from hybrid import Settings
from hybrid.discovery import load
from hybrid.errors import ApplicationError
from processors.database import Base, database_url, engine
from processors.inventory import Release
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


def test_the_tables_of_an_older_program_get_the_columns_that_they_lack(tmp_path):
    settings = Settings.load(directory=tmp_path)
    with closing(sqlite3.connect(tmp_path / "bookstore.db")) as old:
        old.execute("CREATE TABLE releases (order_id VARCHAR(20) PRIMARY KEY)")
        old.execute("INSERT INTO releases VALUES ('B-AAAA-BBBB-CCCC')")
        old.commit()
    for _ in range(2):
        opened = engine.function(settings)
        with Session(next(opened)) as session:
            assert session.get_one(Release, "B-AAAA-BBBB-CCCC").run == 1
        opened.close()


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
