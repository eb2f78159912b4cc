"""The clock: the server's time as well as it is known, and what was skipped."""

from types import SimpleNamespace

from hybrid.clock import Clock


def test_it_goes_by_the_server_and_by_what_was_skipped(monkeypatch):
    monkeypatch.setattr("hybrid.clock.time", SimpleNamespace(time=lambda: 100.0))
    clock = Clock()
    assert clock.now() == clock.server_time() == 100_000
    clock.correct(90_000.5)
    clock.skipped = 5_000
    assert (clock.now(), clock.server_time()) == (95_000, 90_000)
    clock.correct(91_000)
    assert clock.now() == 96_000
