"""Order per key: the key, and the scripts that gate, hold, release and readmit, in random interleavings."""

import string
from collections import defaultdict
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hybrid.broker.failures import Failure
from hybrid.broker.order import GATE, LINE, held, order_key, place_in_line, turn
from hybrid.broker.outputs import again_output
from hybrid.codec import pack
from hybrid.repair.ways import given_up
from hybrid.streams.reads import Ordered, OrderedReader
from hybrid.streams.transitions import Transition, ack, release

CHANNEL = "command:trade"
PLAIN = st.one_of(
    st.text(), st.binary(), st.integers(), st.floats(allow_nan=False), st.booleans(), st.none(), st.decimals()
)
ANYTHING = st.recursive(
    PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)
NONSENSE = st.binary(max_size=12) | st.builds(
    lambda kind, more: bytes([kind]) + more, st.integers(0x80, 0xDF), st.binary(max_size=6)
)
NONSENSE |= st.sampled_from(
    [b"\x81\x90\x01", b"\xa5ab", b"\xc1\0\0\0\0", b"\xd6\xff\0\0\0\1", b"\xcf" + bytes(7) + b"\1"]
)


class Gated:
    """A queue whose commands keep their order by account, with workers that read, settle, fail and die."""

    def __init__(self, shard, raw):
        self.shard, self.raw, self.keys = shard, raw, shard.keys
        self.stream, self.own = shard.keys.command("trade"), shard.keys.own("desk")
        for stream in (self.stream, self.own):
            raw.xgroup_create(stream, "hybrid", id="0", mkstream=True)
        self.sent = 0

    def send(self, account):
        self.sent += 1
        entry = {"id": f"m{self.sent}", "type": "trade", "data": pack({"n": self.sent, "account": account})}
        self.raw.xadd(self.stream, entry)

    def reader(self, consumer):
        reads = self.shard.connections, "hybrid", consumer, 50
        ordered = {self.stream: Ordered(CHANNEL, True, {"trade": "account"})}
        keys = [self.keys.gate("desk"), self.keys.held("desk"), self.keys.groups]
        return OrderedReader(reads, keys, ordered)

    async def admitted(self, reader, most=5):
        """What is let in of the queue, then what came back for the component: (stream, entry, fields)."""
        found = await reader.take({self.stream: most}, most)
        own = self.raw.xreadgroup("hybrid", reader.consumer, {self.own: ">"}, count=most)
        rows = [(self.stream, entry, self.marked(f)) for _, rows in found for entry, f in rows]
        return rows + [(self.own, entry, fields) for _, rows in own for entry, fields in rows]

    def marked(self, fields):
        key = order_key(fields[b"data"], "account")
        return fields if key is None else {**fields, GATE: b"%s|%s" % (CHANNEL.encode(), key)}

    async def settle(self, row, *effects):
        stream, entry, _ = row
        claim = ack(stream, "hybrid", entry, True)
        codes = await self.shard.scripts.settle(self.keys.counters, [Transition((), [claim], effects)])
        return codes[0]

    def turn(self, row):
        return turn(self.keys, "desk", row[2])

    def held(self):
        return [held(member) for member in self.raw.zrange(self.keys.held("desk"), 0, -1)]


@pytest.fixture
async def gated(shard, raw):
    return Gated(shard, raw)


@pytest.fixture
async def reader(gated):
    reader = gated.reader("w")
    yield reader
    await reader.close()


@pytest.fixture
def shard(store):
    return store.shards[0]


class TestKey:
    @given(value=ANYTHING, before=ANYTHING)
    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    async def test_the_script_and_python_find_the_same(self, raw, shard, value, before):
        raw.flushdb()
        gated = Gated(shard, raw)
        data = {"aa": before, "account": value, "account2": "other"}
        raw.xadd(gated.stream, {"id": "m1", "type": "trade", "data": pack(data)})
        reader = gated.reader("w")
        await reader.take({gated.stream: 1}, 1)
        await reader.close()
        key = order_key(pack(data), "account")
        places = raw.hkeys(gated.keys.gate("desk"))
        assert places == ([] if key is None else [b"%s|%s" % (CHANNEL.encode(), key)])

    @given(value=NONSENSE, rest=NONSENSE)
    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    async def test_they_find_the_same_in_bytes_that_are_no_message(self, raw, shard, value, rest):
        """Else a worker would not know whose turn it has, and nobody would end it."""
        raw.flushdb()
        gated = Gated(shard, raw)
        data = b"\x83\xa1n" + value + b"\xa7account" + value + b"\xa4rest" + rest
        raw.xadd(gated.stream, {"id": "m1", "type": "trade", "data": data})
        reader = gated.reader("w")
        ((_, ((_, fields),)),) = await reader.take({gated.stream: 1}, 1)
        await reader.close()
        key = order_key(data, "account")
        place = None if key is None else b"%s|%s" % (CHANNEL.encode(), key)
        assert fields.get(GATE) == place
        assert raw.hkeys(gated.keys.gate("desk")) == ([place] if place else [])

    def test_what_it_is(self):
        cases = {"a": b"a", "": b"", "a\0b": b"a\\0b", 7: b"7", -3: b"-3", b"x": b"x", Decimal("1.5"): b"1.5"}
        for value, key in cases.items():
            assert order_key(pack({"k": value}), "k") == key
        for nothing in (None, [], {}, [1], {"a": 1}):
            assert order_key(pack({"k": nothing}), "k") is None
        assert order_key(pack({"other": 1}), "k") is None
        for bytes_ in (b"", b"\xc1", b"\x93abc", b"\x82\xa1k"):
            assert order_key(bytes_, "k") is None


class TestTurns:
    async def test_the_next_of_a_key_comes_when_the_one_before_is_over(self, gated, reader):
        for account in "aabab":
            gated.send(account)
        first = await gated.admitted(reader)
        assert [row[2][b"id"] for row in first] == [b"m1", b"m3"]
        assert [each.fields[b"id"] for each in gated.held()] == [b"m2", b"m4", b"m5"]
        assert gated.raw.xlen(gated.stream) == 2  # what is held has left the queue
        assert await gated.settle(first[0], release(gated.turn(first[0]))) == 1
        (second,) = await gated.admitted(reader)
        assert second[0] == gated.own and second[2][b"id"] == b"m2"
        assert second[2][GATE] == b"command:trade|a"

    async def test_a_second_settle_of_a_delivery_releases_nothing(self, gated, reader):
        for _ in range(3):
            gated.send("a")
        (row,) = await gated.admitted(reader)
        assert await gated.settle(row, release(gated.turn(row))) == 1
        assert await gated.settle(row, release(gated.turn(row))) == 0
        assert len(gated.held()) == 1

    async def test_what_is_over_opens_the_gate(self, gated, reader):
        gated.send("a")
        (row,) = await gated.admitted(reader)
        await gated.settle(row, release(gated.turn(row)))
        assert not gated.raw.exists(gated.keys.gate("desk"))

    async def test_one_that_comes_back_is_still_the_first(self, gated, reader):
        gated.send("a")
        gated.send("a")
        (row,) = await gated.admitted(reader)
        await gated.settle(row, again_output(gated.keys, "desk", row[2]))
        (again,) = await gated.admitted(reader)
        assert again[2][b"id"] == b"m1"

    async def test_one_whose_key_was_released_to_others_waits_as_the_first_of_them(self, gated, reader):
        for _ in range(3):
            gated.send("a")
        (row,) = await gated.admitted(reader)
        await gated.settle(row, release(gated.turn(row)))  # by hand, as it stands at the desk
        (second,) = await gated.admitted(reader)
        await gated.shard.scripts.settle(
            gated.keys.counters, [Transition((), (), [release(gated.turn(row))])]
        )
        assert [each.fields[b"id"] for each in gated.held()] == [b"m3"]  # it had let go already
        back = again_output(gated.keys, "desk", row[2])
        await gated.shard.scripts.settle(gated.keys.counters, [Transition((), (), [back])])
        assert [each.fields[b"id"] for each in gated.held()] == [b"m1", b"m3"]
        await gated.settle(second, release(gated.turn(second)))
        assert (await gated.admitted(reader))[0][2][b"id"] == b"m1"

    async def test_those_that_come_back_after_all_were_released_run_as_they_were_sent(self, gated, reader):
        """Also when they were sent in one millisecond."""
        with gated.raw.pipeline() as pipe:
            for n in range(6):
                pipe.xadd(
                    gated.stream,
                    {"id": f"x{9 - n}", "type": "trade", "data": pack({"account": "a"})},
                    id=f"1700000000000-{n}",
                )
            pipe.execute()
        gone = []
        for _ in range(6):
            (row,) = await gated.admitted(reader, 1)
            gone.append(row)
            await gated.settle(row, release(gated.turn(row)))  # by hand, as they stand at the desk
        for row in reversed(gone):
            back = again_output(gated.keys, "desk", row[2])
            await gated.shard.scripts.settle(gated.keys.counters, [Transition((), (), [back])])
        ran = []
        while len(ran) < 6:
            (row,) = await gated.admitted(reader, 1)
            ran.append(row[2][b"id"])
            await gated.settle(row, release(gated.turn(row)))
        assert ran == [b"x4", b"x9", b"x8", b"x7", b"x6", b"x5"]  # the first to come back had a free gate

    async def test_the_place_in_line_is_the_same_in_python(self, gated, reader):
        gated.send("a")
        (row,) = await gated.admitted(reader)
        assert row[2][LINE] == place_in_line(row[1])

    async def test_what_has_no_key_or_is_no_message_takes_no_turn(self, gated, reader):
        gated.send(None)
        gated.send(None)
        gated.raw.xadd(gated.stream, {"id": "x", "type": "trade", "data": b"\xc1"})
        gated.raw.xadd(gated.stream, {"what": "ever"})
        gated.raw.xadd(gated.stream, {"id": "y", "type": "other", "data": pack({"account": "a"})})
        found = await reader.take({gated.stream: 9}, 9)
        assert len(found[0][1]) == 5 and not gated.held()
        assert not gated.raw.exists(gated.keys.gate("desk"))

    async def test_no_more_come_in_than_there_is_room_for(self, gated, reader):
        for n in range(40):
            gated.send(f"a{n % 20}")
        assert len(await gated.admitted(reader, 7)) == 7
        assert len(await gated.admitted(reader, 13)) == 13
        assert await gated.admitted(reader, 9) == []
        assert len(gated.held()) == 20

    async def test_large_messages_are_read_a_few_at_a_time(self, gated, reader):
        """The server waits while keys are searched for: what is large counts for more."""
        data = pack({"lists": [None] * 400_000, "account": "a"})
        for n in range(30):
            gated.raw.xadd(gated.stream, {"id": f"m{n}", "type": "trade", "data": data})
        assert len(await gated.admitted(reader, 30)) == 1
        assert len(gated.held()) == 9

    async def test_waiting_takes_nothing_past_the_gate(self, gated, reader):
        assert await reader.wait([gated.stream], 5) == []
        gated.send("a")
        gated.send("a")
        assert [len(rows) for _, rows in await reader.wait([gated.stream], 5)] == [1]
        assert await reader.wait([gated.stream], 5) == []
        assert len(gated.held()) == 1


ACCOUNTS = string.ascii_lowercase[:3]
MOVES = st.lists(
    st.tuples(
        st.sampled_from(["send", "read", "done"] * 2 + ["retry", "desk", "mend", "give up", "die"]),
        st.integers(0, 9),
    ),
    max_size=60,
)  # fmt: skip


class TestInterleavings:
    @given(moves=MOVES)
    @settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    async def test_each_key_runs_in_the_order_sent_and_each_message_once(self, shard, raw, moves):
        """Three workers, in any order of steps; then everything is brought to its end."""
        raw.flushdb()
        gated = Gated(shard, raw)
        readers = [gated.reader(f"w{n}") for n in range(3)]
        play = Play(gated, readers)
        try:
            for move, number in moves:
                await play.move(move, number)
            await play.to_the_end()
        finally:
            for reader in readers:
                await reader.close()
        for account in ACCOUNTS:
            assert play.ended[account] == play.sent[account]
        assert not raw.exists(gated.keys.gate("desk"), gated.keys.held("desk"))
        assert raw.xlen(gated.stream) + raw.xlen(gated.own) == 0


class Play:
    """Moves of workers and of people; remembers what was sent, and what ended, by account."""

    def __init__(self, gated, readers):
        self.gated, self.readers = gated, readers
        self.sent, self.ended = defaultdict(list), defaultdict(list)
        self.work, self.desk, self.running = [], [], {}

    async def move(self, move, number):
        if move == "send":
            account = ACCOUNTS[number % len(ACCOUNTS)]
            self.gated.send(account)
            self.sent[account].append(b"m%d" % self.gated.sent)
        elif move == "read":
            await self.read(number)
        elif move == "mend" and self.desk:
            fields = self.desk.pop(number % len(self.desk))
            mended = {**fields, b"origin": fields.get(b"origin", fields[b"id"]), b"id": fields[b"id"] + b"+"}
            await self.put(again_output(self.gated.keys, "desk", mended))
        elif move == "give up" and self.desk:
            await self.give_up(self.desk.pop(number % len(self.desk)))
        elif self.work and move in ("done", "retry", "desk", "die"):
            await self.outcome(move, self.work.pop(number % len(self.work)))

    async def read(self, number):
        for row in await self.gated.admitted(self.readers[number % 3], 1 + number % 3):
            account = self.account(row[2])
            assert account not in self.running, "two of a key at once"
            self.running[account] = row
            self.work.append(row)

    async def outcome(self, move, row):
        account = self.account(row[2])
        del self.running[account]
        if move == "done":
            self.end(row[2])
            assert await self.gated.settle(row, release(self.gated.turn(row))) == 1
            assert await self.gated.settle(row, release(self.gated.turn(row))) == 0
        elif move == "retry":
            await self.gated.settle(row, again_output(self.gated.keys, "desk", row[2]))
        elif move == "desk":
            await self.gated.settle(row)
            self.desk.append(row[2])
        else:  # another worker takes it over, and knows its turn from the message alone
            self.running[account] = row
            self.work.append((row[0], row[1], {**row[2], **self.gated.marked(row[2])}))

    async def give_up(self, fields):
        way = given_up(self.gated.keys, failure(fields), "no use", 0)
        await self.put(*way.effects)
        self.end(fields)

    async def put(self, *effects):
        await self.gated.shard.scripts.settle(self.gated.keys.counters, [Transition((), (), effects)])

    async def to_the_end(self):
        for turn_ in range(1000):
            while self.work:
                await self.outcome("done", self.work.pop())
            while self.desk:
                await self.move("mend", 0)
            await self.read(turn_)
            left = sum(map(self.gated.raw.xlen, (self.gated.stream, self.gated.own)))
            if not self.work and not left:
                return
        raise AssertionError("not at an end")

    def end(self, fields):
        self.ended[self.account(fields)].append(fields.get(b"origin", fields[b"id"]))

    @staticmethod
    def account(fields):
        return fields[GATE].decode()[-1]


def failure(fields):
    return Failure("1-0", "desk", CHANNEL, "desk.trade", fields)
