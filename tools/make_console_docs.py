"""Make the pictures of docs/console.md: the bookstore runs, the demo's events go through it, and each view of
the console is exported as it is drawn then.

    python tools/make_console_docs.py        (or: make docs)
"""

from __future__ import annotations

import asyncio
import io
import json
import tempfile
from pathlib import Path

from rich.console import Console, RenderableType

from cli.console.details import detail
from cli.console.picture import Size, picture
from cli.console.state import VIEWS, State
from hybrid import App, Event, discovery
from hybrid.inspect.snapshot import Sampler, Snapshot

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "docs" / "console"
SIZE = Size(132, 32)
LOOKS = 4
"""So many looks are taken, a second apart, while events come in."""


def export(name: str, snapshot: Snapshot, state: State, body: RenderableType | None = None) -> None:
    """Write a frame as an SVG."""
    console = Console(
        record=True, width=SIZE.width, height=SIZE.height, file=io.StringIO(), force_terminal=True
    )
    console.print(picture(snapshot, state, SIZE, body))
    TARGET.mkdir(parents=True, exist_ok=True)
    console.save_svg(str(TARGET / f"{name}.svg"), title="hybrid watch")


def demo_events(app: App) -> list[Event]:
    """Return the demo's events."""
    lines = (ROOT / "cli/demo_data/events.jsonl").read_text(encoding="utf-8").splitlines()
    given = [json.loads(line) for line in lines]
    made = [app.topology.catalog.validate(each["type"], each["data"]) for each in given]
    return [event for event in made if isinstance(event, Event)]


async def main() -> None:
    """Run, look, export."""
    with tempfile.TemporaryDirectory() as directory:
        app = discovery.load("bookstore", directory=Path(directory), redis_url="")
        async with app.running() as client, app.store() as store:
            sampler = Sampler(store, app.topology, app.name)
            events = demo_events(app)
            share = len(events) // LOOKS
            for look in range(LOOKS):
                await sampler.take()
                await client.send_many(events[look * share : (look + 1) * share])
                await asyncio.sleep(sampler.interval)
            snapshot = await sampler.take()
            for view in VIEWS:
                export(view, snapshot, State(view=view))
            order = next(line for line in snapshot.deliveries if line.type == "ship-order")
            body = await detail(app, store, snapshot, "events", order.message)
            export("waterfall", snapshot, State(opened=order.message), body)


if __name__ == "__main__":
    asyncio.run(main())
