"""Which failures a command at the desk is about, and who is at it: the options, and what they mean."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

import typer

from cli import completion
from cli.moments import stream_id
from cli.options import Json, Where, Who, Yes, pairs, user
from cli.output import clock
from cli.reading import BadInput
from hybrid.broker.shard import Store
from hybrid.inspect.actions import Order
from hybrid.inspect.desk import Selection, selected
from hybrid.inspect.desk_log import Deed, desk_log
from hybrid.inspect.failures import FailureView, named
from hybrid.messages import kebab
from hybrid.topology import Topology

Ids = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ID]...", help="As in the list, or the id of the message or of its flow."),
]
Id = Annotated[
    str, typer.Argument(metavar="ID", help="As in the list, or the id of the message or its flow.")
]
Archived = Annotated[bool, typer.Option("--archived", help="Those that were put away instead.")]
Type = Annotated[str, typer.Option(help="Only messages of a type.", autocompletion=completion.types)]
Component = Annotated[str, typer.Option(help="Only those that failed in a component.")]
Since = Annotated[str, typer.Option(help="Only what failed since: so long ago (1h, 2d), or a time.")]
InGroup = Annotated[
    str, typer.Option(metavar="GROUP", help="Only one group: its id in `hybrid desk`, or its fingerprint.")
]


@dataclass(frozen=True)
class Chosen:
    """The options of an action: which failures, and who does it and why."""

    ids: Ids = None
    everything: Annotated[bool, typer.Option("--all", help="All that is at the desk.")] = False
    group: InGroup = ""
    type: Type = ""
    component: Component = ""
    since: Since = ""
    where: Where = None
    who: Who = ""
    reason: Annotated[str, typer.Option(help="Why; it stands in `hybrid desk log`.")] = ""
    yes: Yes = False
    as_data: Json = False

    def selection(self, archived: bool = False) -> Selection | None:
        """Return what the filters select, None when ids were given. Raises BadInput unless it is one of the
        two.
        """
        filters = any((self.everything, self.group, self.type, self.component, self.since, self.where))
        if bool(self.ids) == filters:
            raise BadInput(
                "say which: IDs, or one or more of --group, --type, --component, --since, --where, or --all"
                " (`hybrid desk` shows the groups, `hybrid desk list` the ids)"
            )
        if self.ids:
            return None
        return selection(self.group, self.type, self.component, self.since, self.where, archived)

    def deed(self, action: str) -> Deed:
        """Return what is done, by whom and why."""
        return Deed(self.who or user(), action, self.reason)


def selection(
    group: str = "",
    type: str = "",
    component: str = "",
    since: str = "",
    where: list[str] | None = None,
    archived: bool = False,
) -> Selection:
    """Return the selection that options mean. Raises BadInput and SettingsError."""
    now = int(time.time() * 1000)
    moment = stream_id("--since", since.removesuffix("-ago"), now) if since else "0"
    return Selection(group, kebab(type), component, int(moment.partition("-")[0]), pairs(where), archived)


async def there(store: Store, topology: Topology, id: str) -> list[FailureView]:
    """Return the failures that answer to a name. Raises BadInput when there is none, which says who handled
    it if somebody has.
    """
    if found := await named(store, topology, id):
        return found
    for line in await desk_log(store, id, 1) if id else []:
        raise BadInput(
            f"{id} is not at the desk: already handled ({line.action} by {line.who}, {clock(line.when)})"
        )
    raise BadInput(f"no failure {id}: it is not at the desk, and nobody has handled it (`hybrid desk list`)")


async def orders(
    store: Store, topology: Topology, ids: list[str], selection: Selection | None
) -> AsyncIterator[Order]:
    """Yield what was chosen, each once. Raises BadInput, before the first, for an id that there is not."""
    if selection:
        async for view in selected(store, topology, selection):
            yield Order(view)
        return
    chosen = {view.id: view for id in ids for view in await there(store, topology, id)}
    for view in chosen.values():
        yield Order(view)
