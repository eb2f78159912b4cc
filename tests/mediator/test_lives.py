"""The lives of flows under anything that may happen (agency.py): what is done and undone is done once, no
flow is stuck without a reason that `flows show` names, and nothing is left behind (tests/prove/trip_laws.py).

Some examples by default; `make prove` and `make prove-short` run many, and HYBRID_LIVES says how many.
"""

import asyncio
import functools
import logging
import os
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import pytest
import uvloop
from hypothesis import HealthCheck, Phase, settings, stateful
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, run_state_machine_as_test

from hybrid.ids import new_id
from tests.conftest import swept
from tests.mediator.agency import HANDLERS, Agency
from tests.prove import trips
from tests.prove.trips import Bug, Part

MANY = {"short": 60, "full": 1500}
HOUR_MS = 3_600_000
KINDS = st.sampled_from(
    ["book", "book", "book", "all", "map", "sleep", "signal", "ask", "wait", "race"]
)  # fmt: skip
UNDOS = st.sampled_from(["after", "before", ""])


def parts(deep: bool) -> st.SearchStrategy[list[Part]]:
    """What a trip may be."""
    kinds = KINDS | st.sampled_from(["child", "anew", "promote"]) if deep else KINDS
    inner = parts(False) if deep else st.just([])

    def numbered(found: list[Part], refuse: bool) -> list[Part]:
        last = [Part(id=0, kind="refuse")] if refuse else []
        return [part.model_copy(update={"id": n + 1}) for n, part in enumerate([*found, *last])]

    part = st.builds(
        lambda kind, caught, inner, **rest: Part(
            id=0, kind=kind, caught=caught and kind != "map", parts=inner if kind == "child" else [], **rest
        ),
        kind=kinds, caught=st.booleans(), inner=inner, many=st.integers(1, 5),
        limited=st.booleans(), undo=UNDOS,
    )  # fmt: skip
    return st.builds(numbered, st.lists(part, min_size=1, max_size=5 if deep else 2), st.booleans())


WHICH = st.integers(0, 5)
SEEDS = st.integers(0, 2**16)


def rule(**given):
    """Return a decorator for what may happen; the agency's diary has it."""

    def decorate(function):
        @functools.wraps(function)
        def noted(self, **drawn):
            self.diary.append(f"{function.__name__}({', '.join(f'{k}={v!r}' for k, v in drawn.items())})")
            function(self, **drawn)

        return stateful.rule(**given)(noted)

    return decorate


class Lives(RuleBasedStateMachine):
    """Drives an agency by decisions."""

    here = SimpleNamespace(loop=None, url="")

    def do(self, work):
        return self.here.loop.run_until_complete(work)

    def flow(self, which):
        """One of those that have not ended, children too; else one that has."""
        going = self.do(self.agency.going()) or self.agency.flows
        return going[which % len(going)]

    @initialize(parts=parts(True))
    def begin(self, parts):
        self.name, self.diary = f"l{new_id()}", [f"begin(parts={parts!r})"]
        self.directory = TemporaryDirectory()
        self.agency = Agency(self.name, self.here.url, Path(self.directory.name))
        self.do(self.agency.open())
        self.do(self.agency.book(parts))

    @rule(parts=parts(True), again=st.booleans())
    def book(self, parts, again):
        self.do(self.agency.book(parts, again))

    @rule(ms=st.sampled_from([1, 5, 20, 60, 200]))
    def a_while(self, ms):
        self.do(asyncio.sleep(ms / 1000))  # any moment is as good

    @rule()
    def all_that_goes_by_itself(self):
        self.agency.calm()
        self.do(self.agency.healer.rest())

    @rule(hours=st.sampled_from([-50, -1, 1, 21, 31, 49, 24 * 40]))
    def time_jumps(self, hours):
        self.do(self.agency.healer.skip(hours * HOUR_MS))

    @rule(which=WHICH)
    def a_worker_drops_dead(self, which):
        self.do(self.agency.kill(which))

    @rule(which=WHICH)
    def a_worker_is_replaced(self, which):
        self.do(self.agency.replace(which))

    @rule(which=WHICH)
    def connections_are_cut(self, which):
        self.agency.cut(which)

    @rule(what=st.sampled_from(HANDLERS), chance=st.sampled_from([0, 0.5, 1]))
    def handlers_break(self, what, chance):
        trips.break_down(self.agency.settings.directory, what, chance)

    @rule(here=st.booleans())
    def the_code_breaks(self, here):
        Bug.here = here

    @rule(which=WHICH, now=st.booleans())
    def cancel(self, which, now):
        self.do(self.agency.cancel(self.flow(which), now))

    @rule(which=WHICH)
    def pause(self, which):
        self.do(self.agency.steering().pause(self.flow(which)))

    @rule(which=WHICH)
    def resume(self, which):
        self.do(self.agency.steering().resume(self.flow(which)))

    @rule(how=st.sampled_from([("type", "trip-booked"), ("key", "t0")]), on=st.booleans())
    def pause_all(self, how, on):
        steering = self.agency.steering()
        self.do((steering.pause_all if on else steering.resume_all)(*how))

    @rule(which=WHICH)
    def retry(self, which):
        self.do(self.agency.steering().retry(self.flow(which)))

    @rule(which=WHICH, seed=SEEDS)
    def restart(self, which, seed):
        self.do(self.agency.restart(self.flow(which), Random(seed)))

    @rule(which=WHICH, seed=SEEDS)
    def restart_what_has_ended(self, which, seed):
        self.do(self.agency.restart(self.agency.flows[which % len(self.agency.flows)], Random(seed)))

    @rule(which=WHICH, seed=SEEDS)
    def fix(self, which, seed):
        self.do(self.agency.fix(self.flow(which), Random(seed)))

    @rule(which=WHICH)
    def answer(self, which):
        self.do(self.agency.answer(self.flow(which)))

    @rule(which=WHICH, part=st.integers(0, 4))
    def publish(self, which, part):
        self.do(self.agency.publish(self.agency.flows[which % len(self.agency.flows)], part))

    def teardown(self):
        if hasattr(self, "agency"):
            try:
                self.do(self.agency.end())
            except BaseException as error:
                error.add_note("\n".join(self.diary))
                raise
            finally:
                self.do(self.agency.close())
                swept(self.here.url, self.name)
                self.directory.cleanup()


@pytest.fixture
def lives(url):
    """The machine, with one loop for all examples."""
    logging.getLogger("hybrid").setLevel(logging.CRITICAL)
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    Lives.here = SimpleNamespace(loop=loop, url=url)
    yield Lives
    logging.getLogger("hybrid").setLevel(logging.NOTSET)
    loop.close()
    asyncio.set_event_loop(None)


def run(machine, examples, steps):
    # no shrinking: what happens hangs on the moment, so that the same steps need not fail again
    options = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}
    options["phases"] = [Phase.generate]
    run_state_machine_as_test(
        machine, settings=settings(max_examples=examples, stateful_step_count=steps, **options)
    )


@pytest.mark.timeout(240)
def test_the_laws_hold_whatever_happens(lives):
    run(lives, int(os.environ.get("HYBRID_LIVES", "16")), 25)


@pytest.mark.prove
@pytest.mark.timeout(3600)
def test_the_laws_hold_in_many_lives(lives):
    run(lives, MANY[os.environ.get("HYBRID_PROVE", "short")], 40)
