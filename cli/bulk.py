"""Sending many events from lines: all are checked before the first is sent; what happened is told on
stderr.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import islice
from pathlib import Path

from cli.environment import Environment, run
from cli.following import NOT_ENDED, Following, following
from cli.output import err, out
from cli.progress import progress
from cli.reading import BadInput, Incoming, Lines, Reader
from cli.rows import Rows
from hybrid.client import BATCH, Client, Receipt
from hybrid.errors import HybridError, ServerError
from hybrid.ids import new_id
from hybrid.mediator.record import COMPLETED, REFUSED

SHOWN = 20
"""So many wrong lines are told."""


class Bulk:
    """One sending of lines."""

    def __init__(
        self,
        env: Environment,
        file: Path | None,
        type: str | None,
        following: tuple[bool, float],
        as_data: bool,
    ) -> None:
        """`type` is what the lines are the data of; None when each says it itself. `following` is whether to
        wait for the ends, and for how many seconds at most.
        """
        self._env = env
        app = env.application()
        self._reader = Reader(app.topology, app.settings.max_message_bytes)
        self._read = Rows(self._reader, type).from_line if type else self._reader.from_line
        self._lines = Lines(file, self._reader.longest)
        (self._wait, self._timeout), self._as_data = following, as_data
        self.count = 0
        self.sent = 0
        self.duplicates = 0
        self.states: Counter[str] = Counter()

    def run(self) -> int:
        """Check, send, wait if asked to; return the exit code."""
        with self._lines:
            self._check()
            if self.count:
                return self._run()
            err(f"nothing to send: {self._lines.source} has no lines")
            return 0

    def _run(self) -> int:
        began = time.monotonic()
        try:
            run(self._work)
        except (KeyboardInterrupt, ServerError) as error:
            self._interrupted(error)
            return 130 if isinstance(error, KeyboardInterrupt) else 2
        self._summary(time.monotonic() - began)
        if not self._wait or set(self.states) <= {COMPLETED}:
            return 0
        return 1 if set(self.states) <= {COMPLETED, REFUSED} else 2

    def _check(self) -> None:
        """Read all lines; raise BadInput, which names each wrong one, when there are any."""
        problems = []
        for number, line in self._lines.first():
            try:
                self.count += self._read(line) is not None
            except HybridError as error:
                problems.append(f"line {number}: {error}")
        if problems:
            more = f"\n  … and {len(problems) - SHOWN:,} more" if len(problems) > SHOWN else ""
            found = "\n  ".join(problems[:SHOWN])
            raise BadInput(
                f"nothing was sent: {len(problems):,} wrong line(s) in {self._lines.source}\n  {found}{more}"
            )

    async def _work(self) -> None:
        app = self._env.application()
        with progress() as bar:
            sending = bar.add_task("sent", total=self.count)
            async with AsyncExitStack() as stack:
                store = await stack.enter_async_context(app.store())
                client = await stack.enter_async_context(Client(app, store))
                follow = await stack.enter_async_context(following(store)) if self._wait else None
                ending = bar.add_task("ended", total=self.count) if follow else None
                for batch in self._batches():
                    if follow and ending is not None:
                        ids = [id for _, id in batch if id]
                        follow.expect(ids, lambda: bar.advance(ending))
                    await self._send(client, batch, follow)
                    bar.update(sending, completed=self.sent)
                if follow:
                    self.states = await follow.finish(self._timeout)

    def _batches(self) -> Iterator[list[Incoming]]:
        """Yield the events in batches; those that are followed are given their ids here."""
        made = (found for line in self._lines.again() if (found := self._incoming(line)))
        while batch := list(islice(made, BATCH)):
            yield batch

    def _incoming(self, line: bytes) -> Incoming | None:
        incoming = self._read(line)
        return incoming._replace(id=incoming.id or new_id()) if self._wait and incoming else incoming

    async def _send(self, client: Client, batch: list[Incoming], follow: Following | None) -> None:
        """Send a batch; when we are interrupted meanwhile, first hear what became of it."""
        sending = asyncio.ensure_future(
            client.send_many([(incoming.event, incoming.id) for incoming in batch])
        )
        try:
            await asyncio.shield(sending)
        finally:
            await asyncio.wait([sending], timeout=5)
            if sending.done() and not sending.exception():
                self._take(sending.result(), follow)

    def _take(self, receipts: list[Receipt], follow: Following | None) -> None:
        started = {receipt.id for receipt in receipts if not receipt.duplicate}
        self.sent += len(receipts)
        self.duplicates += sum(receipt.duplicate for receipt in receipts)
        for receipt in receipts:
            if follow and receipt.duplicate and receipt.id not in started:
                follow.drop(receipt.id)
        facts = (receipt._asdict() for receipt in receipts)
        out(
            "\n".join(json.dumps(fact) for fact in facts)
            if self._as_data
            else "\n".join(r.id for r in receipts)
        )

    def _summary(self, seconds: float) -> None:
        rate = self.sent / seconds if seconds else 0.0
        before = f", {self.duplicates:,} had been sent before" if self.duplicates else ""
        err(f"{self.sent - self.duplicates:,} sent{before}, in {seconds:.1f} s ({rate:,.0f}/s)")
        if self._wait:
            err(
                ", ".join(f"{count:,} {state}" for state, count in self.states.most_common())
                or "none to wait for"
            )
            if self.states[NOT_ENDED]:
                err("`hybrid flows list` shows how far they are: they go on")

    def _interrupted(self, error: BaseException) -> None:
        why = "interrupted" if isinstance(error, KeyboardInterrupt) else f"error: {error}"
        err(f"{why}: the first {self.sent:,} of {self.count:,} events are stored")
        if self.sent < self.count:
            err("the rest was not sent; lines that have an id can all be sent again, none counts twice")
