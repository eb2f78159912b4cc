"""Forms: the pydantic models that people's answers are. They stand in a flow's code, not in the store: a run
of its function from the record says which one a step asks for, and the flow will read the answer as the same.
"""

from __future__ import annotations

from pydantic import BaseModel

from hybrid.errors import ApplicationError, HybridError
from hybrid.mediator.flow import Flow
from hybrid.mediator.place import envelope_of
from hybrid.mediator.record import FlowRecord
from hybrid.mediator.replay import replay
from hybrid.mediator.surroundings import Surroundings
from hybrid.mediator.task_changes import Asked
from hybrid.messages import Event
from hybrid.topology import Topology


def form_of(topology: Topology, record: FlowRecord, asked: Asked) -> type[BaseModel] | None:
    """Return the model that a task is answered with, None when it has no form. Raises ApplicationError when
    the application here has other code than the flow runs on.
    """
    if not asked.task.schema:
        return None
    code, mediator = int(record.facts.get("code", 0)), topology.mediators.get(asked.mediator)
    try:
        event = topology.catalog.decode(record.facts.get("type", ""), record.event, record.schema)
        function = mediator.flows[type(event)][code] if mediator else None
    except (HybridError, KeyError):
        function = None
    if function is not None and isinstance(event, Event):
        surroundings = Surroundings(topology.catalog, 1 << 30, asked.asked, lambda event: "")
        flow = Flow(record, envelope_of(record), surroundings)
        replay(function, event, flow)
        if form := flow.forms.get(asked.step):
            return form
    raise ApplicationError(
        f"task {asked.id} is answered with a form, {asked.task.schema}, which the application here does not"
        f" have: it is in version {code} of {asked.mediator}'s flow for {record.facts.get('type')}"
    )
