"""The timeline of one flow: pure functions of a view of it."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from cli.assignments import answered
from cli.output import STYLES, clean, clock, compact, span
from hybrid.broker.log import DONE
from hybrid.inspect.deeds import DeedView
from hybrid.inspect.flows import LEFT, FlowView, LogLine, SignalView, StepView
from hybrid.inspect.reasons import Reason
from hybrid.mediator.record import COMMAND, FAILED, SIGNAL, TASK, TIMER, UNDO, WAIT
from hybrid.mediator.steering import CANCEL, FIX, PAUSE, RESTART, RESUME, RETRY
from hybrid.mediator.task_changes import ANSWER, CLAIM, REASSIGN
from hybrid.mediator.tasks import ESCALATE

DONE_BY = {
    CANCEL: "asked to be cancelled", PAUSE: "paused", RESUME: "resumed", RETRY: "retried",
    RESTART: "restarted", FIX: "fixed", ANSWER: "answered", CLAIM: "claimed", REASSIGN: "reassigned",
    ESCALATE: "escalated",
}  # fmt: skip
"""What was done, by its verb."""


def timeline(view: FlowView) -> RenderableType:
    """Return a flow as a picture: a pure function of the snapshot."""
    return Group(*lines(view))


def lines(view: FlowView) -> list[Text]:
    """Return a flow as lines."""
    flow = view.summary
    found = [
        _line(
            ("flow ", "dim"),
            (flow.id, "bold"),
            "  ",
            (flow.state, STYLES.get(flow.state, "")),
            f"  {flow.type}",
        )
    ]
    because = f" by rule {view.rule}" + (f": {view.reason}" if view.reason else "")
    found.append(_line(("class ", "dim"), f"{flow.event_class}{because if view.rule else ''}"))
    if flow.mediator:
        version = f", version {view.version}, run {view.run}" if view.version else ""
        found.append(_line(("carried out by ", "dim"), f"{flow.mediator}{version}"))
    found += _other_runs(view)
    if view.event is not None:
        found.append(_line(("event ", "dim"), compact(view.event)))
    found.append(Text(""))
    if flow.sent:
        found.append(_moment(flow.sent, f"{flow.type} sent"))
    if flow.started:
        found.append(_moment(flow.started, "started", flow.sent))
    found += _course(view)
    if flow.ended:
        found.append(_moment(flow.ended, _outcome(view), flow.sent, STYLES.get(flow.state, "")))
    if view.run == max(view.runs, default=view.run):
        found += [_why(reason, flow.state) for reason in view.reasons]
        found += [
            _line(("  undo ", "dim"), f"{each.type} {compact(each.data)}, unless it completes")
            for each in view.undos
        ]
    heard = [line for line in view.log if not line.flow and line.type != "wake-up"]
    if heard:
        found += [Text(""), _line(("deliveries besides the flow's steps (settle log)", "dim"))]
        found += [_heard(line) for line in heard]
    return found


def _outcome(view: FlowView) -> str:
    """Return in words how a flow has ended."""
    state = view.summary.state
    if view.outcome_type:
        return f"{state}: {view.outcome_type} {compact(view.outcome)}"
    return view.error if view.error.startswith(state) else f"{state}: {view.error}" if view.error else state


def _other_runs(view: FlowView) -> list[Text]:
    """Return what is to be said when a flow has had several runs."""
    newest, show = max(view.runs, default=view.run), f"`hybrid flows show {view.summary.id}"
    if view.run < newest:
        return [_line((f"run {newest} took the place of this one: {show}`", "yellow"))]
    return [
        _line((f"run {run} is kept: ", "dim"), f"{show} --run {run}`") for run in view.runs if run < view.run
    ]


def _course(view: FlowView) -> list[Text]:
    """Return what happened between the start and the end, by time: each step with what came of it, what
    people did, and signals that are not taken.
    """
    flow = view.summary
    blocks = [(deed.at, [_deed(deed, flow.sent)]) for deed in view.deeds]
    for step in view.steps:
        log = [each for each in view.log if (each.flow, each.step) == (flow.id, step.number)]
        blocks.append((step.sent, _step(step, flow.sent, log)))
    blocks += [(signal.at, [_untaken(signal, flow.sent)]) for signal in view.untaken]
    return [line for _, lines in sorted(blocks, key=lambda block: block[0]) for line in lines]


def _deed(deed: DeedView, origin: int) -> Text:
    done = " ".join(filter(None, (DONE_BY.get(deed.what, deed.what), *_details(deed))))
    why = f": {deed.why}" if deed.why else ""
    return _moment(deed.at, f"{done} by {deed.who}{why}", origin, "magenta")


def _details(deed: DeedView) -> list[str]:
    if deed.what == RESTART and len(deed.details) == 2:
        step, version = deed.details
        return [f"from step {step}", f"on version {version}"][: 2 if version else 1]
    if deed.what == PAUSE and deed.details:
        return [f"with all flows of {str(deed.details[0]).replace(':', ' ', 1)}"]
    if deed.what in (ANSWER, CLAIM, REASSIGN, ESCALATE) and deed.details:
        step, *said = deed.details
        to = f"to {said[-1]}" if deed.what in (REASSIGN, ESCALATE) and said else ""
        return [f"step {step}", to or (f"with {said[0]}" if said and said[0] else "")]
    return [str(each) if isinstance(each, str | int) else compact(each) for each in deed.details]


def _why(reason: Reason, state: str) -> Text:
    step = f"step {reason.step}: " if reason.step else ""
    until = f", until {clock(reason.until)}" if reason.until else ""
    style = "bold red" if state == FAILED else STYLES["waiting"]
    return _line(("  why  ", style), clean(f"{step}{reason.text}{until}"))


def _step(step: StepView, origin: int, log: list[LogLine]) -> list[Text]:
    answer = f" → {step.reply} {compact(step.data)}" if step.reply else ""
    if step.kind in (SIGNAL, WAIT) and step.data:
        answer = f" → {compact(step.data)}"
    if step.kind == TASK and step.data:
        answer = f": {answered(**step.data)}"
    to = f" → {step.processor or 'nobody handles it'}" if step.kind in (COMMAND, UNDO) else ""
    found = [_moment(step.sent, f"step {step.number}  {step.name}{to}", origin)]
    for line in log:
        if line.outcome not in (DONE, FAILED):
            why = f": {line.note}" if line.note else ""
            text = f"        attempt {line.attempt}: {line.outcome} by {line.consumer}{why}"
            found.append(_moment(line.settled, text, origin, STYLES.get(line.outcome, "")))
    if step.done:
        again = f", attempt {step.attempts}" if step.attempts > 1 else ""
        who = step.processor if step.kind in (SIGNAL, TASK) else step.by
        by = f" by {who}" if who else ""
        if step.kind == WAIT:
            by = f" {step.reply} {step.processor}" if step.reply else ""
        took = f" {'for' if step.kind == TIMER else 'in'} {span(max(step.done - step.sent, 0))}"
        found.append(
            _moment(
                step.done,
                f"        {step.state}{by}{took}{again}{answer}",
                origin,
                STYLES.get(step.state, ""),
            )
        )
    else:
        found.append(_waiting(step))
    if step.problem:
        found.append(_line(" " * 32, (clean(step.problem), "red")))
        if step.state == FAILED:
            found.append(
                _line(" " * 32, ("`hybrid failed list` shows it; `hybrid failed retry` sends it back", "dim"))
            )
    return found


def _waiting(step: StepView) -> Text:
    """Return the line of a step that has no result."""
    asks = f" for {step.asks}" if step.asks else ""
    tried = f", {step.attempts} attempt(s)" if step.attempts else ""
    until = f" until {clock(step.deadline)}" if step.deadline and step.state != LEFT else ""
    comma = "," if until and step.kind != TIMER else ""
    waits = clean(f"        {step.state}{asks}{tried}{comma}{until}")
    return _line(" " * 24, (waits, STYLES.get(step.state, "")))


def _untaken(signal: SignalView, origin: int) -> Text:
    data = f" {compact(signal.data)}" if signal.data else ""
    return _moment(
        signal.at, f"signal {signal.name} by {signal.by}, not taken{data}", origin, STYLES["waiting"]
    )


def _heard(line: LogLine) -> Text:
    again = f", attempt {line.attempt}" if line.attempt > 1 else ""
    note = f" ({clean(line.note)})" if line.note else ""
    return _moment(
        line.settled,
        f"{line.component}  {line.outcome}  {line.type}{again}{note}",
        0,
        STYLES.get(line.outcome, ""),
    )


def _moment(ms: int, text: str, origin: int = 0, style: str = "") -> Text:
    since = f"+{span(max(ms - origin, 0))}" if origin else ""
    return _line((f"{clock(ms):>12} {since:>10} ", "dim"), (clean(text), style))


def _line(*parts: str | tuple[str, str]) -> Text:
    return Text.assemble(*parts)
