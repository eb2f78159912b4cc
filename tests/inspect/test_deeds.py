"""What people have done with a flow, read from its history."""

from __future__ import annotations

from hybrid.codec import pack
from hybrid.inspect.deeds import DeedView, deeds


async def test_deeds_are_told_and_advances_and_signals_are_not(store, raw):
    (shard,) = store.shards
    for line in (
        [1, "running", [[1, "work"]]],
        [2, "signal", [["go", "s1", "bob"]]],
        [3, "pause", [["ann", "Prüfung ✓"]]],
        [4, "fix", [["bob", "", 1, "receipt", "R1"]]],
        [5, "completed", []],
    ):
        raw.rpush(shard.keys.history("f1"), pack(line))
    assert await deeds(shard, "f1") == (
        DeedView(3, "pause", "ann", "Prüfung ✓"),
        DeedView(4, "fix", "bob", "", (1, "receipt", "R1")),
    )
    assert await deeds(shard, "nobody") == ()
