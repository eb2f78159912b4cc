"""settle.lua, item by item."""

import pytest

from hybrid.broker.scheduled import moved, scheduled
from hybrid.codec import pack
from hybrid.errors import ServerError
from hybrid.streams.scripts import Send
from hybrid.streams.transitions import (
    Awaited,
    Heard,
    Signalled,
    Transition,
    Waiting,
    Wake,
    ack,
    add,
    arrive,
    await_results,
    cancel,
    count,
    expect,
    fire,
    hdel,
    hear,
    hset,
    is_open,
    listen,
    log,
    new_signal,
    packed,
    result,
    rpush,
    schedule,
    still,
    stuck,
    take,
    unlisten,
    version,
    zadd,
    zrem,
)


@pytest.fixture
def flow(bench):
    """A flow's record in run 1."""
    key = bench.keys.flow("f")
    bench.raw.hset(key, mapping={"version": 1, "run": 1, "type": "t"})
    return key


@pytest.fixture
def wake(bench):
    return Wake(bench.queue, "entered:own:q", ["id", "f/wake", "flow", "f"])


def record(bench, flow):
    return {name.decode(): value.decode() for name, value in bench.raw.hgetall(flow).items()}


class TestTransitions:
    async def test_an_empty_batch(self, bench):
        assert await bench.settle() == []

    async def test_a_field_that_is_still_what_was_read(self, bench):
        bench.raw.hset(bench.keys.schedules, "a", b"\xff")
        written = [
            Transition([still(bench.keys.schedules, field, value)], (), [count(bench.keys.counters, "done")])
            for field, value in (("a", b"\xff"), ("a", b"x"), ("a", b""), ("b", b""), ("b", b"x"))
        ]
        assert await bench.settle(*written) == [1, -1, -1, 1, -1]

    async def test_checks_first_then_nothing_is_written(self, bench, flow):
        entries = bench.fill(bench.queue, 1)
        bench.read(bench.queue, "hybrid", "c")
        checks = [version(flow, 1), version(flow, 2)]
        out = [add(bench.topic, "entered:topic:t", ["id", "x"])]
        claims = [ack(bench.queue, "hybrid", entries[0], True, "settled:q")]
        assert await bench.settle(Transition(checks, claims, out)) == [-1]
        assert bench.raw.xlen(bench.queue) == 1
        assert not bench.raw.exists(bench.topic, bench.keys.counters)
        assert await bench.settle(Transition(checks[:1], claims, out)) == [1]

    async def test_one_claim_of_several_is_enough(self, bench):
        first, second = bench.fill(bench.queue, 2)
        bench.read(bench.queue, "hybrid", "c")
        one = ack(bench.queue, "hybrid", first, True, "settled:q")
        both = [one, ack(bench.queue, "hybrid", second, True, "settled:q")]
        out = [add(bench.topic, "", ["id", "x"])]
        assert await bench.settle(Transition((), [one], out), Transition((), both, out)) == [1, 1]
        assert await bench.settle(Transition((), both, out)) == [0]
        assert bench.raw.xlen(bench.topic) == 2
        assert bench.counter("settled:q") == 2

    async def test_a_batch_sees_what_it_did_itself(self, bench, flow):
        advance = Transition([version(flow, 1)], (), [hset(flow, ["version", "2"])])
        assert await bench.settle(advance, advance) == [1, -1]

    async def test_what_came_before_an_error_is_counted(self, bench):
        bench.raw.set(bench.topic, "a foreign key")
        good = Transition(effects=[add(bench.queue, "entered:own:q", ["id", "x"])])
        with pytest.raises(ServerError, match=r"wrong kind|WRONGTYPE"):
            await bench.settle(good, Transition(effects=[add(bench.topic, "no", ["id", "x"])]), good)
        assert bench.raw.xlen(bench.queue) == bench.counter("entered:own:q") == 1
        assert bench.counter("no") == 0
        bench.raw.delete(bench.topic)

    def test_keys_are_named_once(self):
        item = result("flow", 1, "1", b"", Wake("queue", "", []))
        keys, _ = packed(
            "counters", [Transition((), [], [item, item, add("s", "", []), count("counters", "n")])]
        )
        assert keys == ["counters", "flow", "queue", "s"]


class TestChecks:
    async def test_version(self, bench, flow):
        nowhere = bench.keys.flow("other")
        wanted = [(flow, 1), (flow, 2), (flow, 0), (nowhere, 0), (nowhere, 1)]
        codes = await bench.settle(*(Transition([version(*each)]) for each in wanted))
        assert codes == [1, -1, -1, 1, -1]


class TestClaims:
    async def test_ack_takes_a_queue_entry_away(self, bench):
        entries = bench.fill(bench.queue, 2)
        bench.read(bench.queue, "hybrid", "c")
        claim = ack(bench.queue, "hybrid", entries[0], True, "settled:q")
        assert await bench.settle(Transition((), [claim])) == [1]
        assert [entry for entry, _ in bench.raw.xrange(bench.queue)] == entries[1:]
        assert bench.raw.xpending(bench.queue, "hybrid")["pending"] == 1

    async def test_ack_leaves_a_broadcast_for_the_others(self, bench):
        for group in ("a", "b"):
            await bench.register(group)
        (entry,) = bench.fill(bench.topic, 1)
        bench.read(bench.topic, "a", "c")
        bench.read(bench.topic, "b", "c")
        assert await bench.settle(Transition((), [ack(bench.topic, "a", entry, False, "settled:a")])) == [1]
        assert bench.raw.xlen(bench.topic) == 1
        assert bench.raw.xpending(bench.topic, "b")["pending"] == 1

    async def test_the_former_owner_may_settle_but_only_one_does(self, bench):
        (entry,) = bench.fill(bench.queue, 1)
        bench.read(bench.queue, "hybrid", "old")
        bench.raw.xclaim(bench.queue, "hybrid", "new", 0, [entry])
        settle = Transition(
            (), [ack(bench.queue, "hybrid", entry, True)], [add(bench.topic, "", ["id", "x"])]
        )
        assert await bench.settle(settle) == [1]
        assert await bench.settle(settle) == [0]
        assert bench.raw.xlen(bench.topic) == 1

    async def test_ack_of_what_nobody_was_given(self, bench):
        (entry,) = bench.fill(bench.queue, 1)
        assert await bench.settle(Transition((), [ack(bench.queue, "hybrid", entry, True)])) == [0]
        assert await bench.settle(Transition((), [ack(bench.queue, "no-group", entry, True)])) == [0]
        assert bench.raw.xlen(bench.queue) == 1

    async def test_fire(self, bench):
        bench.raw.zadd(bench.keys.timers, {"x": 1})
        claim = Transition((), [fire(bench.keys.timers, b"x")])
        assert await bench.settle(claim, claim) == [1, 0]

    async def test_take(self, bench):
        failed = bench.keys.failed("q")
        (entry,) = bench.fill(failed, 1)
        claim = Transition((), [take(failed, entry)])
        assert await bench.settle(claim, claim) == [1, 0]


class TestSend:
    WINDOW = 60_000

    @pytest.fixture
    def sent(self, bench):
        async def send(*ids, limit=100):
            keys = [bench.keys.counters, bench.keys.seen_new, bench.keys.seen_old, bench.keys.scheduled]
            sends = [Send.of(id, bench.queue, "entered:own:q", ["id", id]) for id in ids]
            return await bench.shard.scripts.send(keys, (self.WINDOW, limit), sends)

        return send

    async def test_an_id_is_new_once(self, sent):
        assert await sent("a", "b", "a") == [1, 1, 0]
        assert await sent("b", "c") == [0, 1]

    async def test_the_sets_rotate_by_age_and_an_id_is_known_for_the_window(self, bench, sent):
        new, old = bench.keys.seen_new, bench.keys.seen_old
        await sent("a")
        bench.raw.pexpire(new, self.WINDOW)  # a whole window has passed
        assert await sent("b") == [1]
        assert await sent("a", "b") == [0, 0]
        assert b"a" in bench.raw.smembers(old)
        assert self.WINDOW - 1000 < bench.raw.pttl(old) <= self.WINDOW
        assert await sent("c") == [1]
        assert self.WINDOW < bench.raw.pttl(new) <= 2 * self.WINDOW
        bench.raw.pexpire(new, self.WINDOW)
        assert await sent("d") == [1]  # now a is forgotten
        assert b"a" not in bench.raw.smembers(old)
        assert await sent("a", "c", "d") == [1, 0, 0]

    async def test_memory_is_bounded(self, bench, sent):
        for n in range(50):
            await sent(f"i{n}", limit=10)
            sizes = [bench.raw.scard(key) for key in (bench.keys.seen_new, bench.keys.seen_old)]
            assert max(sizes) <= 11
        assert await sent("i49", limit=10) == [0]

    async def test_both_sets_expire_whatever_happens_in_a_batch(self, bench, sent):
        await sent("a")
        bench.raw.pexpire(bench.keys.seen_new, self.WINDOW)
        assert await sent("b", "c", "d") == [1, 1, 1]
        assert await sent("b", "c", "d", "a") == [0, 0, 0, 0]
        for key in (bench.keys.seen_new, bench.keys.seen_old):
            assert bench.raw.pttl(key) != -1, f"{key} stays for ever"

    async def test_what_is_sent_later_is_kept_whole_and_counted_only_when_it_enters(self, bench):
        keys = bench.keys
        names = [keys.counters, keys.seen_new, keys.seen_old, keys.scheduled]
        now = await bench.shard.queries.now()

        def later(id, *when):
            return Send.of(id, bench.queue, "entered:own:q", ["id", id, "data", b"\xff\0"], when)

        sends = [later("a", "after", 60_000), later("b", "at", now + 90_000), later("c", "at", now - 1)]
        sends += [later("d", "after", 0), later("a", "after", 5)]
        assert await bench.shard.scripts.send(names, (self.WINDOW, 100), sends) == [1, 1, 1, 1, 0]
        (a, due), (b, at) = bench.raw.zrange(keys.scheduled, 0, -1, withscores=True)
        assert now + 60_000 <= due < now + 70_000
        assert at == now + 90_000
        assert (a.partition(b"\0")[0], b.partition(b"\0")[0]) == (b"a", b"b")
        assert scheduled(keys, a) == ("a", "own:q", {b"id": b"a", b"data": b"\xff\0"})
        assert bench.raw.xlen(bench.queue) == 2
        assert bench.counter("entered:own:q") == 2
        assert await bench.settle(moved(keys, a), moved(keys, a)) == [1, 0]
        assert bench.counter("entered:own:q") == 3
        assert bench.raw.xrevrange(bench.queue, count=1)[0][1] == {b"id": b"a", b"data": b"\xff\0"}


class TestEffects:
    async def test_add_counts(self, bench):
        await bench.settle(
            Transition(effects=[add(bench.topic, "entered:topic:t", ["id", "x", "data", b"\xff\0"])] * 2)
        )
        assert [fields for _, fields in bench.raw.xrange(bench.topic)] == [
            {b"id": b"x", b"data": b"\xff\0"}
        ] * 2
        assert bench.counter("entered:topic:t") == 2

    async def test_add_without_a_counter(self, bench):
        await bench.settle(Transition(effects=[add(bench.topic, "", ["id", "x"])]))
        assert not bench.raw.exists(bench.keys.counters)

    async def test_the_lines_of_a_batch_share_entries_of_the_log(self, bench):
        await bench.settle(*[Transition(effects=[log(bench.keys.log, b"%02d" % n)]) for n in range(70)])
        written = [fields[b"e"] for _, fields in bench.raw.xrange(bench.keys.log)]
        assert list(map(len, written)) == [64, 64, 12]
        assert b"".join(written) == b"".join(b"%02d" % n for n in range(70))

    async def test_schedule_goes_by_the_servers_clock_and_cancel(self, bench):
        zset = bench.keys.later("q")
        await bench.settle(Transition(effects=[schedule(zset, 5000, b"\xffm"), schedule(zset, 0, b"n")]))
        seconds, micros = bench.raw.time()
        due = bench.raw.zscore(zset, b"\xffm") - (seconds * 1000 + micros // 1000)
        assert 4000 < due <= 5000
        await bench.settle(Transition(effects=[cancel(zset, b"n"), cancel(zset, b"nothing")]))
        assert bench.raw.zrange(zset, 0, -1) == [b"\xffm"]

    async def test_small_ones(self, bench, flow):
        keys = bench.keys
        effects = [
            hset(flow, ["a", "1", "b", b"\x00"]),
            hdel(flow, "run", "nothing"),
            rpush(keys.history("f"), b"\xff"),
            zadd(keys.flows, 1_700_000_000_000, "f"),
            count(keys.counters, "n", 3),
            count(keys.counters, "n"),
        ]
        await bench.settle(Transition(effects=effects))
        assert record(bench, flow) == {"version": "1", "type": "t", "a": "1", "b": "\x00"}
        assert bench.raw.lrange(keys.history("f"), 0, -1) == [b"\xff"]
        assert bench.raw.zscore(keys.flows, "f") == 1_700_000_000_000
        assert bench.counter("n") == 4
        await bench.settle(Transition(effects=[zrem(keys.flows, "f")]))
        assert not bench.raw.exists(keys.flows)

    async def test_thousands_of_fields(self, bench, flow):
        many = [f"result:{n}" for n in range(20_000)]
        await bench.settle(Transition(effects=[hset(flow, [word for name in many for word in (name, "1")])]))
        assert bench.raw.hlen(flow) == 20_003
        await bench.settle(Transition(effects=[hdel(flow, *many), hdel(flow)]))
        assert bench.raw.hlen(flow) == 3

    async def test_bytes_pass_unharmed(self, bench):
        data = [
            bytes(range(256)),
            b"",
            b"\0",
            pack({"n": 2**63, "x": [None, b"\xff", 1.5]}),
            b"\x80" * 70_000,
        ]
        await bench.settle(
            *(Transition(effects=[add(bench.topic, "", ["id", "ü€𝄞", "data", d])]) for d in data)
        )
        assert [fields[b"data"] for _, fields in bench.raw.xrange(bench.topic)] == data
        assert bench.raw.xrange(bench.topic)[0][1][b"id"].decode() == "ü€𝄞"


class TestFlows:
    def wakes(self, bench):
        assert bench.raw.xlen(bench.queue) == bench.counter("entered:own:q")
        return bench.raw.xlen(bench.queue)

    async def results(self, bench, flow, wake, *steps, run=1, value=b"ok"):
        for step in steps:
            assert await bench.settle(Transition(effects=[result(flow, run, step, value, wake)])) == [1]

    async def test_the_last_awaited_result_wakes_up_once(self, bench, flow, wake):
        await bench.settle(Transition(effects=[await_results(flow, [], Awaited(older=[1, 2]), 2, wake)]))
        await self.results(bench, flow, wake, "2")
        assert self.wakes(bench) == 0
        await self.results(bench, flow, wake, "1", "1", "2")
        assert self.wakes(bench) == 1
        assert bench.raw.xrange(bench.queue)[0][1] == {b"id": b"f/wake", b"flow": b"f"}
        assert record(bench, flow) == {
            "version": "1",
            "type": "t",
            "run": "1",
            "need": "0",
            "late": "2",
            "result:1": "ok",
            "result:2": "ok",
        }

    async def test_the_first_result_counts(self, bench, flow, wake):
        await self.results(bench, flow, wake, "1", value=b"timeout")
        await self.results(bench, flow, wake, "1", value=b"ok")
        assert record(bench, flow)["result:1"] == "timeout"

    async def test_results_that_nobody_waits_for_are_kept_and_wake_nobody_up(self, bench, flow, wake):
        await bench.settle(Transition(effects=[await_results(flow, [], Awaited(older=[2]), 1, wake)]))
        await self.results(bench, flow, wake, "1")
        assert (self.wakes(bench), record(bench, flow)["need"]) == (0, "1")

    async def test_some_of_several_are_enough(self, bench, flow, wake):
        await bench.settle(Transition(effects=[await_results(flow, [], Awaited(new=[1, 2, 3]), 2, wake)]))
        await self.results(bench, flow, wake, "3", "1", "2")
        assert self.wakes(bench) == 1

    async def test_what_is_not_waited_for_any_more_counts_for_nothing(self, bench, flow, wake):
        await bench.settle(Transition(effects=[await_results(flow, [], Awaited(new=[1, 2, 3]), 1, wake)]))
        await self.results(bench, flow, wake, "2")
        dropping = await_results(flow, [], Awaited(new=[4], dropped=[1, 2]), 1, wake)
        await bench.settle(Transition(effects=[dropping]))
        assert "result:1" not in record(bench, flow)
        assert record(bench, flow)["result:2"]
        await self.results(bench, flow, wake, "1")
        assert (self.wakes(bench), record(bench, flow)["need"]) == (1, "1")
        await self.results(bench, flow, wake, "4")
        assert self.wakes(bench) == 2

    async def test_results_that_are_there_count_at_once(self, bench, flow, wake):
        await self.results(bench, flow, wake, "1")
        await bench.settle(Transition(effects=[await_results(flow, [], Awaited(older=[1, 2]), 2, wake)]))
        assert (self.wakes(bench), record(bench, flow)["need"]) == (0, "1")
        assert record(bench, flow)["result:1"]
        await bench.settle(Transition(effects=[await_results(flow, [], Awaited(older=[1, 2]), 1, wake)]))
        assert self.wakes(bench) == 1

    async def test_waiting_for_nothing_wakes_up_at_once(self, bench, flow, wake):
        await bench.settle(Transition(effects=[await_results(flow, [], Awaited(), 0, wake)]))
        assert self.wakes(bench) == 1

    async def test_results_of_another_run_or_of_no_flow_vanish(self, bench, flow, wake):
        await bench.settle(Transition(effects=[await_results(flow, [], Awaited(new=[1]), 1, wake)]))
        await self.results(bench, flow, wake, "1", run=2)
        await self.results(bench, bench.keys.flow("gone"), wake, "1")
        assert self.wakes(bench) == 0
        assert record(bench, flow)["result:1"] == ""
        assert not bench.raw.exists(bench.keys.flow("gone"))

    async def test_stuck_until_the_result(self, bench, flow, wake):
        await bench.settle(
            Transition(effects=[stuck(flow, 1, "1", b"why"), stuck(flow, 2, "2", b"former run")])
        )
        assert record(bench, flow)["stuck:1"] == "why"
        assert "stuck:2" not in record(bench, flow)
        await self.results(bench, flow, wake, "1")
        assert "stuck:1" not in record(bench, flow)


class TestSignals:
    """Signals meet the steps that wait for them, whichever comes first."""

    @pytest.fixture
    def at(self, bench, flow):
        return Signalled(flow, bench.keys.timers, "say")

    @pytest.fixture
    def sent(self, flow, at, wake):
        """A transition that gives the flow a signal."""

        def sent(id):
            claim = new_signal(flow, id, id.upper().encode())
            return Transition([is_open(flow)], [claim], [arrive(at, id, wake)])

        return sent

    @pytest.fixture
    def waiting(self, bench, flow, at, wake):
        """A transition by which the flow waits for a signal with a step."""

        def waiting(step, timer=b""):
            timers = [schedule(bench.keys.timers, 60_000, timer)] if timer else []
            wait = await_results(flow, [], Awaited([step]), 1, wake)
            return Transition(effects=[*timers, wait, expect(at, step, timer, wake)])

        return waiting

    async def test_one_that_is_awaited_is_the_result_and_wakes_the_flow(self, bench, flow, sent, waiting):
        assert await bench.settle(waiting(1, b"timer"), sent("a")) == [1, 1]
        assert record(bench, flow) == {
            "version": "1", "type": "t", "run": "1", "need": "0", "result:1": "A", "signal:a": "",
        }  # fmt: skip
        assert bench.raw.xlen(bench.queue) == 1
        assert bench.raw.zcard(bench.keys.timers) == 0

    async def test_those_that_come_before_are_taken_in_order(self, bench, flow, sent, waiting):
        assert await bench.settle(sent("a"), sent("b"), sent("a")) == [1, 1, 0]
        assert record(bench, flow)["untaken:say"] == "a b"
        assert bench.raw.xlen(bench.queue) == 0
        await bench.settle(waiting(1, b"timer"), waiting(2))
        found = record(bench, flow)
        assert (found["result:1"], found["result:2"]) == ("A", "B")
        assert not {"untaken:say", "waiting:say", "timer:1"} & found.keys()
        assert bench.raw.xlen(bench.queue) == 2
        assert bench.raw.zcard(bench.keys.timers) == 0

    async def test_a_step_that_timed_out_takes_none(self, bench, flow, sent, waiting, wake):
        late = Transition(effects=[result(flow, 1, "1", b"timeout", wake)])
        await bench.settle(waiting(1, b"timer"), late, waiting(2), sent("a"))
        found = record(bench, flow)
        assert (found["result:1"], found["result:2"]) == ("timeout", "A")
        assert "waiting:say" not in found

    async def test_the_first_step_takes_the_first(self, bench, flow, sent, waiting):
        await bench.settle(waiting(1), waiting(2), sent("a"))
        found = record(bench, flow)
        assert (found["result:1"], found["result:2"], found["waiting:say"]) == ("A", "", "2")

    async def test_names_are_apart(self, bench, flow, at, waiting, wake):
        other = Transition((), [new_signal(flow, "x", b"X")], [arrive(at._replace(name="other"), "x", wake)])
        await bench.settle(waiting(1), other)
        assert record(bench, flow)["result:1"] == ""

    async def test_none_for_a_flow_that_is_not_there_or_has_ended(self, bench, flow, sent):
        bench.raw.hset(flow, "ended", 5)
        assert await bench.settle(sent("a")) == [-1]
        bench.raw.delete(flow)
        assert await bench.settle(sent("a")) == [-1]
        assert not bench.raw.exists(flow)


class TestWaits:
    @pytest.fixture
    def where(self, bench):
        return Waiting(bench.keys.waits("m", "said"), bench.keys.matches("m"), b"\x00d1wf/1/1", "said text")

    @pytest.fixture
    async def waits(self, bench, flow, where):
        """A step that waits, since its topic's last entry of ms 1000."""
        bench.raw.xadd(bench.keys.topic("said"), {"a": "b"}, id="1000-7")
        bench.raw.hset(flow, "result:1", "")
        await bench.settle(Transition(effects=[listen(where, bench.keys.topic("said"), flow, 1)]))
        return where

    def heard(self, flow, **facts):
        given = {"run": 1, "step": 1, "newest": 1, "id": "e1", "at": 1001, "elsewhere": False} | facts
        return Heard(flow, **given)

    def index(self, bench, where):
        return bench.raw.zrange(where.waits, 0, -1), bench.raw.hgetall(where.matches)

    async def hears(self, bench, where, heard):
        (code,) = await bench.settle(Transition(claims=[hear(where, heard)]))
        return code == 1

    async def test_it_stands_in_the_index_once(self, bench, flow, waits):
        await bench.settle(Transition(effects=[listen(waits, bench.keys.topic("said"), flow, 1)]))
        assert self.index(bench, waits) == ([waits.member], {b"said text": b"1"})
        here, there = record(bench, flow)["wait:1"].split()
        assert int(here) == 1001
        assert abs(int(there) - bench.raw.time()[0] * 1000) < 60_000

    async def test_an_event_is_heard_once(self, bench, flow, waits):
        assert await self.hears(bench, waits, self.heard(flow))
        assert not await self.hears(bench, waits, self.heard(flow))
        assert self.index(bench, waits) == ([], {})
        assert record(bench, flow)["heard:e1"] == "1"
        assert "wait:1" not in record(bench, flow)

    async def test_what_others_match_by_stays(self, bench, flow, waits):
        other = waits._replace(member=b"\x00d2wg/1/1")
        await bench.settle(Transition(effects=[listen(other, bench.keys.topic("said"), flow, 9)]))
        assert await self.hears(bench, waits, self.heard(flow))
        assert self.index(bench, waits) == ([other.member], {b"said text": b"1"})
        await bench.settle(Transition(effects=[unlisten(other), unlisten(other)]))
        assert self.index(bench, waits) == ([], {})

    async def test_not_what_was_before(self, bench, flow, waits):
        assert not await self.hears(bench, waits, self.heard(flow, at=1000))
        now = int(record(bench, flow)["wait:1"].split()[1])
        assert not await self.hears(bench, waits, self.heard(flow, at=now - 1_001, elsewhere=True))
        assert self.index(bench, waits)[0] == [waits.member]
        assert await self.hears(bench, waits, self.heard(flow, at=now - 1_000, elsewhere=True))

    async def test_the_topic_is_empty(self, bench, flow, where):
        bench.raw.hset(flow, "result:1", "")
        await bench.settle(Transition(effects=[listen(where, bench.keys.topic("said"), flow, 1)]))
        here, there = record(bench, flow)["wait:1"].split()
        assert here == there

    async def test_one_heard_before_is_not_for_a_step_made_since(self, bench, flow, waits):
        bench.raw.hset(flow, mapping={"heard:e1": 0, "result:1": ""})
        assert not await self.hears(bench, waits, self.heard(flow))
        assert await self.hears(bench, waits, self.heard(flow, id="e2"))

    @pytest.mark.parametrize("gone", [{"run": 2}, {"result:1": "x"}])
    async def test_one_that_waits_no_more_is_taken_out(self, bench, flow, waits, gone):
        bench.raw.hset(flow, mapping=gone)
        assert not await self.hears(bench, waits, self.heard(flow))
        assert self.index(bench, waits) == ([], {})

    async def test_one_whose_flow_is_forgotten_is_taken_out(self, bench, flow, waits):
        bench.raw.delete(flow)
        assert not await self.hears(bench, waits, self.heard(flow))
        assert self.index(bench, waits) == ([], {})
        assert not bench.raw.exists(flow)
