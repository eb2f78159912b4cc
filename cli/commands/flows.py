"""`hybrid flows`: the list of flows, the timeline of one, and signals for it."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from cli import completion
from cli.commands import flows_check, flows_export, flows_versions
from cli.desk.choosing import user
from cli.environment import environment, run
from cli.output import STYLES, Column, as_json, clean, clock, compact, is_terminal, out, show, span, table
from cli.reading import BadInput, parsed
from hybrid import Receipt
from hybrid.broker.log import DONE
from hybrid.errors import SettingsError
from hybrid.inspect.flows import FlowSummary, FlowView, LogLine, SignalView, StepView, flow, summaries
from hybrid.mediator.record import COMMAND, COMPLETED, FAILED, REFUSED, RUNNING, SIGNAL, TIMER, WAIT
from hybrid.messages import kebab

COLUMNS = [
    Column("flow", keep=True),
    Column("state"),
    Column("event"),
    Column("class"),
    Column("mediator"),
    Column("step", right=True),
    Column("age", right=True),
    Column("took", right=True),
    Column("waits for, or why not"),
]
STATES = (RUNNING, FAILED, COMPLETED, REFUSED)
EXAMPLES = (
    "Examples:\n\n`hybrid flows list`\n\n`hybrid flows list --state failed --json`\n\n"
    "`hybrid flows show 7b1c0a64f0d94d2c8f11aa02`\n\n"
    """`hybrid flows signal 7b1c0a64f0d94d2c8f11aa02 approve --data '{"by": "ann"}'`"""
)

app = typer.Typer(
    name="flows",
    help="List flows, show one step by step, or give one a signal.",
    epilog=EXAMPLES,
    no_args_is_help=False,
)
app.command("check", epilog=flows_check.EXAMPLES)(flows_check.command)
app.command("export", epilog=flows_export.EXAMPLES)(flows_export.command)
app.command("versions", epilog=flows_versions.EXAMPLES)(flows_versions.command)


@app.callback(invoke_without_command=True)
def flows(ctx: typer.Context) -> None:
    """List flows, show one step by step, or give one a signal."""
    if ctx.invoked_subcommand is None:
        list_flows(ctx)


@app.command(name="list", epilog=EXAMPLES)
def list_flows(
    ctx: typer.Context,
    state: Annotated[
        str, typer.Option(help="Only those that are running, failed, completed or refused.")
    ] = "",
    type: Annotated[str, typer.Option(help="Only those of an event type.")] = "",
    most: Annotated[int, typer.Option("--limit", "-n", help="How many.", min=1)] = 20,
    as_data: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List flows: the unfinished ones first, then those that ended, newest first."""
    if state and state not in STATES:
        raise SettingsError(f"--state {state}: is one of {', '.join(STATES)}")
    env = environment(ctx)

    async def work() -> list[FlowSummary]:
        async with env.store() as (_, store):
            return await summaries(store, state=state, type=kebab(type), most=most)

    found = run(work)
    if as_data:
        as_json(found)
        return
    empty = "no flows" + (
        " of this kind" if state or type else " yet: `hybrid send TYPE key=value …` starts one"
    )
    table(COLUMNS, [_row(each) for each in found], empty)


@app.command(name="show", epilog=EXAMPLES)
def show_flow(
    ctx: typer.Context,
    id: Annotated[
        str, typer.Argument(help="The flow's id, which is its event's.", autocompletion=completion.flows)
    ],
    as_data: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the timeline of a flow: each step sent, acknowledged, by whom, at which attempt; and who
    listened.
    """
    env = environment(ctx)

    async def work() -> FlowView:
        async with env.store() as (app, store):
            return await flow(store, app.topology, id)

    found = run(work)
    if as_data:
        as_json(found)
    elif is_terminal():
        show(timeline(found))
    else:
        out("\n".join(str(line) for line in lines(found)))


@app.command(name="signal", epilog=EXAMPLES)
def signal_flow(
    ctx: typer.Context,
    id: Annotated[
        str, typer.Argument(help="The flow's id, which is its event's.", autocompletion=completion.flows)
    ],
    name: Annotated[str, typer.Argument(help="What the flow calls the signal.")],
    data: Annotated[str | None, typer.Option(help="What it carries, as a JSON object.")] = None,
    signal_id: Annotated[
        str | None, typer.Option("--id", help="The signal's id: one that the flow has had changes nothing.")
    ] = None,
    who: Annotated[str, typer.Option("--as", metavar="NAME", help="Who gives it; otherwise $USER.")] = "",
    as_data: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Give a flow a signal: what it waits for with `flow.signal(NAME)`, now or later.

    It is stored when this returns, with who gave it and when. A flow that has ended takes none.
    """
    env = environment(ctx)
    given = _object(data) if data is not None else None

    async def work() -> Receipt:
        async with env.application().client() as client:
            return await client.signal(id, name, given, id=signal_id, by=who or user())

    receipt = run(work)
    if as_data:
        as_json({"id": receipt.id, "duplicate": receipt.duplicate})
    else:
        out(f"{receipt.id}{'  (it has had this one before)' if receipt.duplicate else ''}")


def _object(data: str) -> dict[str, Any]:
    """Return a JSON object. Raises BadInput."""
    try:
        given = parsed(data)
    except BadInput as error:
        raise BadInput(f"--data: {error}") from None
    if not isinstance(given, dict):
        raise BadInput(f"--data: is a JSON object, no {type(given).__name__}")
    return given


def _row(flow: FlowSummary) -> list[Any]:
    age = span(max(int(time.time() * 1000) - flow.started, 0))
    took = span(max(flow.ended - flow.started, 0)) if flow.ended else ""
    waits = flow.problem or ", ".join(flow.waiting_for)
    return [
        flow.id, flow.state, flow.type, flow.event_class, flow.mediator, flow.step or "", age, took, waits
    ]  # fmt: skip


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
    if view.event is not None:
        found.append(_line(("event ", "dim"), compact(view.event)))
    found.append(Text(""))
    if flow.sent:
        found.append(_moment(flow.sent, f"{flow.type} sent"))
    if flow.started:
        found.append(_moment(flow.started, "started", flow.sent))
    for step in view.steps:
        found += _step(
            step, flow.sent, [line for line in view.log if (line.flow, line.step) == (flow.id, step.number)]
        )
    found += [_untaken(signal, flow.sent) for signal in view.untaken]
    if flow.ended:
        outcome = (
            f"{flow.state}: {view.outcome_type} {compact(view.outcome)}" if view.outcome_type else flow.state
        )
        found.append(_moment(flow.ended, outcome, flow.sent, STYLES.get(flow.state, "")))
    if flow.problem and not view.steps:
        found.append(_line(("  why  ", "bold red"), flow.problem))
    heard = [line for line in view.log if not line.flow and line.type != "wake-up"]
    if heard:
        found += [Text(""), _line(("deliveries besides the flow's steps (settle log)", "dim"))]
        found += [_heard(line) for line in heard]
    return found


def _step(step: StepView, origin: int, log: list[LogLine]) -> list[Text]:
    answer = f" → {step.reply} {compact(step.data)}" if step.reply else ""
    if step.kind == SIGNAL and step.data:
        answer = f" → {compact(step.data)}"
    to = f" → {step.processor or 'nobody handles it'}" if step.kind == COMMAND else ""
    found = [_moment(step.sent, f"step {step.number}  {step.name}{to}", origin)]
    for line in log:
        if line.outcome not in (DONE, FAILED):
            why = f": {line.note}" if line.note else ""
            text = f"        attempt {line.attempt}: {line.outcome} by {line.consumer}{why}"
            found.append(_moment(line.settled, text, origin, STYLES.get(line.outcome, "")))
    if step.done:
        again = f", attempt {step.attempts}" if step.attempts > 1 else ""
        who = step.processor if step.kind == SIGNAL else step.by
        by = f" by {who}" if who else ""
        if step.kind == WAIT:
            by = f" {step.processor}"
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
        until = f"{'' if step.kind == TIMER else ','} until {clock(step.deadline)}" if step.deadline else ""
        tried = f", {step.attempts} attempt(s)" if step.attempts else ""
        found.append(_line(" " * 24, (f"        {step.state}{tried}{until}", STYLES.get(step.state, ""))))
    if step.problem:
        found.append(_line(" " * 32, (clean(step.problem), "red")))
        if step.state == FAILED:
            found.append(
                _line(" " * 32, ("`hybrid failed list` shows it; `hybrid failed retry` sends it back", "dim"))
            )
    return found


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
