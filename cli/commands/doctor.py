"""`hybrid doctor`: looks at the server, the settings and the application; says what is wrong and what to
do.
"""

from __future__ import annotations

import platform
from typing import Annotated

import typer

from cli.environment import Environment, environment, run
from cli.output import Column, as_json, table
from hybrid.errors import HybridError
from hybrid.inspect.doctor import GOOD, WRONG, Finding, examine, examine_directory
from hybrid.streams.connection import url_shown

EXAMPLES = "Examples:\n\n`hybrid doctor`\n\n`hybrid doctor --redis-url redis://10.0.0.5:6379 --json`"


def command(
    ctx: typer.Context,
    as_data: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look whether everything is in order, and say what to do.

    The server, its persistence and abilities, the data directory, the store, the application.
    Exit code 0 when nothing is wrong, 1 when something is; the last column says what to do.
    """
    findings = run(lambda: _findings(environment(ctx)))
    if as_data:
        as_json(findings)
    else:
        columns = [Column("what"), Column("state"), Column("found"), Column("what to do")]
        rows = [(finding.what, finding.state, finding.found, finding.advice) for finding in findings]
        table(columns, rows, "")
    if any(finding.state == WRONG for finding in findings):
        raise typer.Exit(1)


async def _findings(env: Environment) -> list[Finding]:
    """Return all findings; one that can't be looked at is a finding too."""
    settings = env.settings
    findings = [
        Finding("python", GOOD, platform.python_version()),
        examine_directory(settings.directory, not settings.redis_url),
    ]
    try:
        app = env.application()
    except HybridError as error:
        return [*findings, Finding("application", WRONG, settings.app, str(error))]
    topology = app.topology
    parts = (
        f"{len(topology.fronts) + len(topology.mediators)} mediators, {len(topology.processors)} processors"
    )
    findings.append(Finding("application", GOOD, f"{app.name}: {parts}"))
    try:
        async with app.store() as store:
            findings += await examine(store)
    except HybridError as error:
        address = url_shown(settings.redis_url) if settings.redis_url else "embedded"
        findings.append(Finding("server", WRONG, address, str(error)))
    return findings
