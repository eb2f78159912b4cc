"""`hybrid flows versions`, and a worker that does not start without one."""

import re


def test_they_are_listed(hybrid):
    (boss,) = [row for row in hybrid("flows", "versions", "--json").data if row["type"] == "go"]
    assert (boss["mediator"], boss["version"], boss["newest"], boss["known"]) == ("boss", 1, True, True)
    header, line = hybrid("flows", "versions").out.splitlines()
    assert header.split() == ["MEDIATOR", "EVENT", "VERSION", "FLOWS"]
    assert re.fullmatch(r"boss +go +1 +\d+  newest", line)


def test_one_that_is_missing_is_told_and_the_worker_does_not_start(anywhere, still):
    hybrid = anywhere.at(still)
    file = still.directory / f"{still.name}.py"
    with still.running():
        hybrid("send", "go", "n=1", "note=sleeps", "--id", "sleeper")
        hybrid("send", "go", "n=1", "--id", "after", "--wait")
    file.write_text(file.read_text().replace("@boss.flow(Go)", "@boss.flow(Go, version=2)"))
    table = still.process("flows", "versions")
    assert table.out.splitlines()[2].split()[:5] == ["boss", "go", "1", "1", "missing:"]
    said = still.process("run", "--quiet")
    assert said.code == 2
    assert said.err.startswith(
        "error: this application lacks versions that unfinished flows need: boss runs 1"
    )
    assert "Traceback" not in said.err
