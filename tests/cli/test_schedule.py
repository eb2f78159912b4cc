"""`hybrid schedule`: adding, listing, removing, running and cancelling what is sent later."""

import time

import pytest


@pytest.fixture
def alone(anywhere, still):
    """`hybrid` where nothing runs."""
    return anywhere.at(still)


def test_an_event_that_is_sent_later_is_listed_and_cancelled(alone):
    said = alone("send", "go", "n=1", "token=q58w17z", "--in", "10m", "--id", "mine")
    assert (said.code, said.out) == (0, "mine\n")
    listed = alone("schedule")
    assert listed.out.splitlines()[1].split()[:2] == ["mine", "go"]
    assert "q58w17z" not in listed.out
    (message,) = alone("schedule", "list", "--json").data["messages"]
    assert message["due"] == pytest.approx((time.time() + 600) * 1000, abs=60_000)
    assert "scheduled: 1 (`hybrid schedule`)" in alone("status").out
    assert alone("status", "--json").data["scheduled"] == 1
    assert alone("schedule", "cancel", "mine").out == "mine: cancelled\n"
    again = alone("schedule", "cancel", "mine")
    assert again.code == 2
    assert "nothing waits to be sent as mine" in again.err
    assert "nothing is scheduled" in alone("schedule").err


def test_a_schedule_from_its_beginning_to_its_end(alone):
    words = ["--cron", "0 8 * * MON-FRI", "--timezone", "Europe/Prague", "--missed", "skip"]
    said = alone("schedule", "add", "morning", *words, "go", "n=1", "token=q58w17z")
    assert said.code == 0
    assert said.out.startswith("morning: go next at ")
    (each,) = alone("schedule", "list", "--json").data["schedules"]
    facts = {"name": "morning", "type": "go", "channel": "event:front", "cron": "0 8 * * MON-FRI"}
    assert facts.items() <= each.items()
    assert (each["zone"], each["missed"], each["data"]["token"]) == ("Europe/Prague", "skip", "*" * 10)
    assert each["next"] > time.time() * 1000
    taken = alone("schedule", "add", "morning", "--cron", "* * * * *", "go", "n=2")
    assert taken.code == 2
    assert "--replace" in taken.err
    words = ["--cron", "* * * * *", "--replace", "--json", "--data", '{"n": 2}']
    assert alone("schedule", "add", "morning", "go", *words).data["cron"] == "* * * * *"
    ran = alone("schedule", "run", "morning")
    assert ran.out.startswith("morning:")
    assert alone("schedule", "remove", "morning").out == "morning: removed\n"
    assert "no schedule is called morning" in alone("schedule", "remove", "morning").err
    assert alone("schedule", "run", "morning").code == 2


def test_it_ticks_where_a_worker_runs(hybrid):
    assert hybrid("schedule", "add", "tick", "--cron", "* * * * * *", "ping", "n=1").code == 0
    deadline = time.monotonic() + 15
    (first,) = [e["next"] for e in hybrid("schedule", "list", "--json").data["schedules"]]
    while hybrid("schedule", "list", "--json").data["schedules"][0]["next"] <= first:
        assert time.monotonic() < deadline
    assert hybrid("schedule", "remove", "tick").code == 0


def test_it_is_waited_for(hybrid):
    said = hybrid("send", "go", "n=1", "--in", "200ms", "--wait")
    assert said.code == 0
    assert "completed in" in said.out


def test_in_the_past_is_now(alone):
    assert alone("send", "ping", "n=1", "--at", "2020-01-01T08:00Z").code == 0
    assert "nothing is scheduled" in alone("schedule").err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["send", "go", "n=1", "--in", "11y"], "--in '11y': is a span of time"),
        (["send", "go", "n=1", "--in", "-5m"], "--in '-5m': is a span of time"),
        (["send", "go", "n=1", "--in", ""], "--in '': is a span of time"),
        (["send", "go", "n=1", "--in", "9" * 400 + "d"], "later than in ten years"),
        (["send", "go", "n=1", "--at", "soon"], "--at 'soon': is a time, as"),
        (["send", "go", "n=1", "--at", "2050-01-01"], "later than in ten years"),
        (["send", "go", "n=1", "--at", "2020-01-01", "--in", "5s"], "give one, not both"),
        (["send", "go", "n=x", "--in", "5s"], "n: Input should be a valid integer"),
        (["send", "-", "--in", "5s"], "lines are sent now"),
        (["schedule", "add", "a", "go", "n=1", "--cron", "0 8"], "'0 8' is no cron expression"),
        (["schedule", "add", "a", "go", "n=1", "--cron", "* * * * *", "--timezone", "X"], "called 'X'"),
        (["schedule", "add", "a", "go", "n=1", "--cron", "* * * * *", "--missed", "x"], "once, all, skip"),
        (["schedule", "add", "a b", "go", "n=1", "--cron", "* * * * *"], "a schedule's name takes"),
        (["schedule", "add", "a", "gone", "n=1", "--cron", "* * * * *"], "no message is called 'gone'"),
        (["schedule", "add", "a", "go", "n=x", "--cron", "* * * * *"], "n: Input should be a valid integer"),
        (["schedule", "add", "a", "go", "n=1", "--data", "{}", "--cron", "* * * * *"], "not both"),
        (["schedule", "add", "a", "go", "n=1"], "--cron"),
        (["schedule", "cancel", "*"], "takes 1 to 100 letters"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_what_is_wrong_is_said_and_nothing_is_done(alone, words, says):
    said = alone(*words)
    assert said.code == 2
    assert says in said.err
    assert said.out == ""
    assert len(said.err) < 1000
    assert alone("schedule", "list", "--json").data == {"schedules": [], "messages": []}
