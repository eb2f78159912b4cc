"""What a flow has registered to be undone (`flow.undo`), and has not sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hybrid.catalog import Catalog
from hybrid.inspect.shown import visible
from hybrid.mediator.record import FlowRecord


@dataclass(frozen=True, slots=True)
class UndoView:
    """A command that is sent when the flow does not complete, and after how many steps it was registered."""

    type: str
    after: int
    data: Any


def undos(record: FlowRecord, catalog: Catalog) -> tuple[UndoView, ...]:
    """Return what a flow that goes on has registered, in the order in which it would be sent: the last
    first.
    """
    if record.ended:
        return ()
    return tuple(
        UndoView(undo.type, undo.after, visible(catalog, undo.type, undo.data, undo.schema))
        for _, undo in sorted(record.undos.items(), reverse=True)
    )
