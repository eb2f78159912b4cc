"""Celery's canvas at the work of floor/flows.py: orders of five steps, nine commands, as a chain of groups.

Redis is broker and result backend, as the canvas needs one. The tasks do nothing; each takes the order as a
dict (immutable signatures, so no results are handed on). Celery turns each group that is followed by
something into a chord.

Modes:
- `rate`: all orders sent at once by one client, orders per second until the last one's final result is
  stored.
- `alone`: one order at a time, from `apply_async` to the return of `AsyncResult.get()` (publish/subscribe,
  no polling).

Settings, the fastest that we found on two busy cores: prefork with 2 processes (3 and 4 did not differ by
more than the noise; 1, solo and threads 1 to 8 were slower in most tries, gevent four times), prefetch
multiplier 64, `ignore_result` for all tasks but the last (chords count without it), `result_chord_ordered`
off, no rate limits, no gossip, mingle, heartbeat, events or logs, early acknowledgement (Celery's default,
at-most-once: a killed worker loses the task it had). JSON, since Celery's msgpack decoder refuses what the
canvas sends (dicts as map keys). Pools: `broker_pool_limit` 10 and the backend's redis-py pool, both at
their defaults.

Usage: python -m benchmarks.rivals.celery_canvas URL N [rate|alone] [POOL CONCURRENCY]
Starts and ends its own worker; prints one JSON line. Empties the database!
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import redis
from celery import Celery, chain, group
from celery.canvas import Signature

from benchmarks.floor.flows import STEPS

POOL, CONCURRENCY, PREFETCH = "prefork", "2", 64
START_S, ORDER_S, STOP_S = 60, 60, 20
WARM_UP = 5
URL_VARIABLE = "CELERY_CANVAS_URL"
QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=critical")

Result = dict[str, str | float]


def celery_url(url: str) -> str:
    """The URL in Celery's words: a unix socket is `redis+socket://` there."""
    return url.replace("unix://", "redis+socket://", 1)


def make_app(url: str) -> Celery:
    """The application with broker and result backend at `url`, and all that was found to make it fast."""
    made = Celery("canvas", broker=celery_url(url), backend=celery_url(url))
    made.conf.update(
        task_serializer="json",
        result_serializer="json",
        worker_prefetch_multiplier=PREFETCH,
        worker_disable_rate_limits=True,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        task_track_started=False,
        broker_connection_retry_on_startup=True,
        result_backend_transport_options={"result_chord_ordered": False},
    )
    return made


def nothing(order: dict[str, Any]) -> None:
    """The work of every command."""


app = make_app(os.environ.get(URL_VARIABLE, "redis://127.0.0.1:6379"))
TASKS = {name: app.task(nothing, name=name) for step in STEPS for name in step}


def order(i: int) -> dict[str, Any]:
    """The order number `i`, as in floor/flows.py."""
    return {
        "order_id": f"o{i}",
        "customer": "c",
        "amount": 1.5,
        "items": [{"sku": "s", "qty": 1, "price": 9.9}] * 3,
    }


def flow(i: int) -> Signature:
    """The order number `i` as a chain of groups; a step of one command is a plain task."""
    data, parts = order(i), []
    for number, step in enumerate(STEPS, 1):
        tasks = [TASKS[name].si(data).set(ignore_result=number < len(STEPS)) for name in step]
        parts.append(group(tasks) if len(tasks) > 1 else tasks[0])
    return chain(*parts)


def rate(client: redis.Redis, orders: int) -> Result:
    """Orders per second with all of them sent at once."""
    started = time.perf_counter()
    keys = [app.backend.get_key_for_task(flow(i).apply_async().id) for i in range(orders)]
    while client.exists(*keys) < orders:
        time.sleep(0.01)
        if time.perf_counter() - started > ORDER_S + orders:
            raise TimeoutError(
                f"{orders - client.exists(*keys)} of {orders} orders not done after {ORDER_S + orders} s"
            )
    return {"orders_per_s": round(orders / (time.perf_counter() - started), 1)}


def alone(_: redis.Redis, orders: int) -> Result:
    """Milliseconds from sending to done, one order at a time."""
    times = []
    for i in range(orders + WARM_UP):
        started = time.perf_counter()
        flow(i).apply_async().get(timeout=ORDER_S)
        times.append(1e3 * (time.perf_counter() - started))
    times = sorted(times[WARM_UP:])
    return {"p50_ms": round(statistics.median(times), 2), "p99_ms": round(times[int(0.99 * len(times))], 2)}


@contextmanager
def worker(url: str, pool: str, concurrency: str) -> Iterator[None]:
    """A worker process, up (one order has gone through it) before the block begins and gone after it."""
    command = [sys.executable, "-m", "celery", "-A", "benchmarks.rivals.celery_canvas", "worker", *QUIET]
    command += [f"--pool={pool}", f"--concurrency={concurrency}"]
    environment = os.environ | {URL_VARIABLE: url, "PYTHONWARNINGS": "ignore"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        flow(-1).apply_async().get(timeout=START_S)
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


MODES: dict[str, Callable[[redis.Redis, int], Result]] = {"rate": rate, "alone": alone}


def run(url: str, number: int, mode: str, pool: str, concurrency: str) -> Result:
    """One mode on an empty database, with the worker's CPU time for each order (its start included)."""
    app.conf.update(broker_url=celery_url(url), result_backend=celery_url(url))
    client = redis.from_url(url)
    client.flushdb()
    with worker(url, pool, concurrency):
        result = MODES[mode](client, number)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = round(1e3 * (used.ru_utime + used.ru_stime) / number, 1)
    settings = f"{pool} {concurrency}, prefetch {PREFETCH}, broker_pool_limit {app.conf.broker_pool_limit}"
    return {"rival": f"celery {mode}"} | result | {"worker_cpu_ms": cpu, "settings": settings}


if __name__ == "__main__":
    mode = sys.argv[3] if len(sys.argv) > 3 else "rate"
    pool, concurrency = sys.argv[4:6] if len(sys.argv) > 5 else (POOL, CONCURRENCY)
    print(json.dumps(run(sys.argv[1], int(sys.argv[2]), mode, pool, concurrency)), flush=True)
    os._exit(
        0
    )  # thousands of results would each try to unsubscribe while the interpreter shuts down, and complain
