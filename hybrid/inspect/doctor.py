"""The doctor: what the server is, what it can, how it is set, and what of this is wrong for us."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybrid.broker.shard import FORMAT, Shard, Store
from hybrid.errors import ServerError
from hybrid.keys import QUEUE_GROUP
from hybrid.streams.connection import url_shown

GOOD, NOTE, WRONG = "good", "note", "wrong"
OLDEST = (7, 0)
SKEW = 1_000
SLOW = 20.0
FREE = 500 << 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `state` is good, note or wrong; `advice` is what to do, empty when
    good.
    """

    what: str
    state: str
    found: str
    advice: str = ""


async def examine(store: Store) -> list[Finding]:
    """Return what was found of the server and the store. Raises ServerUnavailable."""
    shard = store.shards[0]
    began = time.perf_counter()
    now = await shard.queries.now()
    pause = (time.perf_counter() - began) * 1000
    info = await shard.queries.info()
    if store.connections.cluster and all(isinstance(value, dict) for value in info.values()):
        info = next(iter(info.values()))
    config = await shard.queries.config("appendonly", "appendfsync", "maxmemory-policy", "maxmemory")
    config = {_text(name): _text(value) for name, value in config.items()}
    return [
        Finding("address", GOOD, url_shown(store.url)),
        _version(info),
        Finding("round trip", GOOD if pause < SLOW else NOTE, f"{pause:.1f} ms",
                "" if pause < SLOW else "a settle takes one: keep the server near, the machine less busy"),
        _clock(now),
        await _abilities(shard),
        _persistence(info, config),
        _eviction(info, config),
        _memory(info),
        await _store(store, shard),
    ]  # fmt: skip


def examine_directory(directory: Path, embedded: bool) -> Finding:
    """Return what was found of the data directory."""
    place = next((p for p in (directory.absolute(), *directory.absolute().parents) if p.exists()), Path("/"))
    free = shutil.disk_usage(place).free
    found = f"{directory.absolute()}, {free / (1 << 30):.1f} GiB free"
    if not os.access(place, os.W_OK):
        return Finding(
            "data directory",
            WRONG if embedded else NOTE,
            found,
            f"make {place} writable, or choose another: --directory",
        )
    if free < FREE:
        return Finding(
            "data directory",
            WRONG if embedded else NOTE,
            found,
            "make room: a full disk stops the server's writes",
        )
    return Finding("data directory", GOOD, found)


def _version(info: dict[str, Any]) -> Finding:
    valkey = info.get("valkey_version")
    version = _text(valkey or info.get("redis_version", "0"))
    number = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    mode = _text(info.get("redis_mode", info.get("server_mode", "")))
    found = f"{'Valkey' if valkey else 'Redis'} {version}{f', {mode}' if mode else ''}"
    if number and number < OLDEST:
        return Finding("server", WRONG, found, "7.0 is the oldest that works: update the server")
    return Finding("server", GOOD, found)


def _clock(now: int) -> Finding:
    skew = now - int(time.time() * 1000)
    if abs(skew) > SKEW:
        return Finding(
            "clock",
            NOTE,
            f"{skew / 1000:+.1f} s from ours",
            "let NTP set the clocks: ages and times shown are off by this",
        )
    return Finding("clock", GOOD, "agrees with ours")


async def _abilities(shard: Shard) -> Finding:
    try:
        await shard.scripts.ledger([shard.keys.counters, shard.keys.groups], QUEUE_GROUP, [])
    except ServerError as error:
        return Finding(
            "scripts",
            WRONG,
            str(error),
            "Lua scripts with cmsgpack, and the commands they call, must be allowed (ACL)",
        )
    return Finding("scripts", GOOD, "Lua, cmsgpack and streams work")


def _persistence(info: dict[str, Any], config: dict[str, str]) -> Finding:
    on = str(info.get("aof_enabled", config.get("appendonly", ""))) in ("1", "yes")
    broken = _text(info.get("aof_last_write_status", "ok")) != "ok"
    if broken:
        return Finding(
            "persistence",
            WRONG,
            "the last write to the append-only file failed",
            "look at the server's log and its disk",
        )
    if on:
        return Finding(
            "persistence", GOOD, f"append-only file, fsync {config.get('appendfsync', '(not told)')}"
        )
    return Finding(
        "persistence",
        WRONG,
        "no append-only file",
        "a crash of the server loses what was acknowledged: CONFIG SET appendonly yes",
    )


def _eviction(info: dict[str, Any], config: dict[str, str]) -> Finding:
    policy = _text(info.get("maxmemory_policy") or config.get("maxmemory-policy", "not told"))
    if policy == "noeviction":
        return Finding("eviction", GOOD, policy)
    if policy == "not told":
        return Finding("eviction", NOTE, policy, "make sure that it is noeviction")
    return Finding(
        "eviction",
        WRONG,
        policy,
        "under memory pressure the server deletes messages: CONFIG SET maxmemory-policy noeviction",
    )


def _memory(info: dict[str, Any]) -> Finding:
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0) or 0)
    found = f"{used / (1 << 20):,.1f} MiB used" + (
        f" of {most / (1 << 20):,.0f}" if most else ", no limit set"
    )
    if most and used > 0.9 * most:
        return Finding(
            "memory", WRONG, found, "raise maxmemory, or keep less: HYBRID_TOPIC_BYTES, HYBRID_FLOW_ENTRIES"
        )
    return Finding("memory", GOOD, found)


async def _store(store: Store, shard: Shard) -> Finding:
    said = {
        name.decode(): value.decode() for name, value in (await shard.queries.hash(shard.keys.store)).items()
    }
    if not said:
        return Finding(
            "store",
            NOTE,
            f"{shard.keys.prefix} does not exist yet",
            "`hybrid run` or `hybrid send` creates it",
        )
    found = (
        f"{shard.keys.prefix} format {said.get('format')}, {said.get('shards')} shard(s), id {said.get('id')}"
    )
    if said.get("format") != str(FORMAT) or said.get("shards") != str(len(store.shards)):
        return Finding(
            "store", WRONG, found, f"set HYBRID_SHARDS={said.get('shards')}, or use another HYBRID_DOMAIN"
        )
    return Finding("store", GOOD, found)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
