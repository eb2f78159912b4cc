"""Hybrid: a mediator-plus-broker event system on Redis Streams.

Mediators know the steps of a flow and send commands point to point; processors do the work, acknowledge,
and broadcast what they did; a new capability is a new subscriber.
"""

from hybrid.app import App
from hybrid.client import Client, Outcome, Receipt
from hybrid.context import Context
from hybrid.errors import ChildFailed, CommandFailed, HybridError, Promote, Refused, StepTimeout
from hybrid.mediator.answers import Answer
from hybrid.mediator.classes import COMPLEX, HARD, SIMPLE, Verdict
from hybrid.mediator.flow import Flow
from hybrid.mediator.mediator import Mediator
from hybrid.mediator.simple import SimpleMediator
from hybrid.mediator.task_events import TaskClosed, TaskEscalated, TaskOpened, TaskReassigned, TaskReminded
from hybrid.messages import Command, Event, Secret
from hybrid.policy import RetryPolicy
from hybrid.processor import Processor
from hybrid.resources import resource
from hybrid.settings import Settings
from hybrid.times import days, hours, minutes, seconds
from hybrid.upcasts import upcast
from hybrid.workflow import Discard, Failed, WorkflowProcessor

__all__ = [
    "COMPLEX",
    "HARD",
    "SIMPLE",
    "Answer",
    "App",
    "ChildFailed",
    "Client",
    "Command",
    "CommandFailed",
    "Context",
    "Discard",
    "Event",
    "Failed",
    "Flow",
    "HybridError",
    "Mediator",
    "Outcome",
    "Processor",
    "Promote",
    "Receipt",
    "Refused",
    "RetryPolicy",
    "Secret",
    "Settings",
    "SimpleMediator",
    "StepTimeout",
    "TaskClosed",
    "TaskEscalated",
    "TaskOpened",
    "TaskReassigned",
    "TaskReminded",
    "Verdict",
    "WorkflowProcessor",
    "days",
    "hours",
    "minutes",
    "resource",
    "seconds",
    "upcast",
]
