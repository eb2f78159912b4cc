"""The protocol under random schedules of crashes, lost replies, late actors, timeouts, operators (world.py).

Some examples by default; `make prove` and `make prove-short` run many.
"""

import asyncio
import os
from types import SimpleNamespace

import pytest
import uvloop
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from hybrid.ids import new_id
from hybrid.keys import Keys
from hybrid.streams.connection import Connections
from tests.conftest import swept
from tests.streams.laws import Laws
from tests.streams.world import COMMANDS, GROUPS, World

MANY = {"short": 120, "full": 4000}

OUTCOMES = st.sampled_from([["ok"], ["ok"], ["retry", "ok"], ["fail", "ok"], ["fail", "retry", "ok"]])
STAGES = st.lists(
    st.tuples(st.sampled_from(COMMANDS), OUTCOMES, st.booleans()), min_size=1, max_size=3
).flatmap(lambda commands: st.tuples(st.integers(1, len(commands)), st.just(commands)))
PLANS = st.lists(STAGES, min_size=1, max_size=3)
IDS = st.sampled_from(["f1", "f2", "f3"])
WHO = st.integers(0, 4)
SOME = st.integers(1, 3)
HOW = st.sampled_from(["made", "made", "made", "made", "deaf", "mute"])


class Machine(RuleBasedStateMachine):
    """Drives a world by decisions."""

    server = SimpleNamespace(loop=None, client=None)
    url = ""

    @initialize(plan=PLANS)
    def begin(self, plan):
        self.app = f"p{new_id()}"
        self.world = World(self.server.loop, self.server.client, Keys(self.app, "main", 0))
        self.laws = Laws(self.world)
        self.world.errand(self.world.send("f1", plan))

    @rule(who=WHO, what=st.integers(0, 7), most=SOME, how=st.lists(HOW, min_size=1, max_size=12))
    def go(self, who, what, most, how):
        """Somebody goes on with its job, or begins one."""
        actor = self.world.actors[who]
        if actor.job is None:
            self.world.begin(actor, self.world.job_for(actor, what, most))
        for one in how:
            self.world.step(actor, one)

    @rule(who=WHO, what=st.integers(0, 7))
    def all_of_one_job(self, who, what):
        self.go(who, what, 3, [])
        self.world.finish(self.world.actors[who])

    @rule(who=WHO)
    def crash(self, who):
        self.world.crash(self.world.actors[who])

    @rule(who=WHO)
    def freeze(self, who):
        self.world.freeze(self.world.actors[who])

    @precondition(lambda self: self.world.late)
    @rule(which=st.integers(0, 9), how=st.lists(HOW, min_size=1, max_size=4))
    def thaw(self, which, how):
        """Somebody whose lease is long over goes on."""
        actor = self.world.late[which % len(self.world.late)]
        for one in how:
            self.world.step(actor, one)
        if actor.job is None:
            self.world.late.remove(actor)

    @rule(id=IDS, plan=PLANS)
    def send(self, id, plan):
        self.world.errand(self.world.send(id, plan))

    @rule(id=IDS)
    def send_past_window(self, id):
        self.world.errand(self.world.send_past_window(id))

    @rule(id=IDS)
    def restart(self, id):
        self.world.errand(self.world.restart(id))

    @rule(processor=st.sampled_from((*COMMANDS, *GROUPS)), again=st.booleans())
    def decide_failed(self, processor, again):
        self.world.errand(self.world.decide_failed(processor, again))

    @rule()
    def forget(self):
        self.world.errand(self.world.forget())

    @rule(most=SOME)
    def retain(self, most):
        self.world.errand(self.world.retain(most))

    @rule(group=st.sampled_from(GROUPS), dice=st.integers(0, 3))
    def lose_group(self, group, dice):
        if dice == 0:
            self.world.lose_group(group)

    @invariant()
    def laws_hold(self):
        if hasattr(self, "laws"):
            self.laws.hold()

    def teardown(self):
        if hasattr(self, "laws"):
            try:
                self.world.drain()
                self.laws.hold_at_the_end()
            finally:
                self.world.close()
                swept(self.url, self.app)


@pytest.fixture
def machine(url):
    """The machine, with a loop and a client for all examples."""
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    client = Connections(url).commands()
    Machine.server, Machine.url = SimpleNamespace(loop=loop, client=client), url
    yield Machine
    loop.run_until_complete(client.aclose())
    loop.close()
    asyncio.set_event_loop(None)


def run(machine, examples, steps):
    options = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}
    run_state_machine_as_test(
        machine, settings=settings(max_examples=examples, stateful_step_count=steps, **options)
    )


@pytest.mark.timeout(240)
def test_the_laws_hold_under_any_schedule(machine):
    run(machine, 30, 40)


@pytest.mark.prove
@pytest.mark.timeout(3600)
def test_the_laws_hold_under_many_schedules(machine):
    run(machine, MANY[os.environ.get("HYBRID_PROVE", "short")], 80)
