"""The waterfall, as recorded: at the widths of a small and of a wide terminal, and for a pipe."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console

from cli.commands.trace import narrowed
from cli.console.waterfall import Waterfall, lines, plain
from hybrid.inspect.flows import FlowSummary
from hybrid.inspect.trace import Attempt, Handling, Trace, Traced

T0 = 1_700_000_000_000


def message(id, type, kind, sent, *handlings, **facts):
    known = {"source": "", "cause": "", "step": 0, "deadline": 0, "data": None, "note": "", **facts}
    if known["deadline"]:
        known["deadline"] += T0
    return Traced(id=id, type=type, kind=kind, sent=T0 + sent, handlings=handlings, **known)


def handled(component, state, attempts=(), *sent, note=""):
    made, number = [], 1
    for outcome, taken, settled, why in attempts:
        made.append(Attempt(number, outcome, T0 + taken, T0 + settled, "host-1-abcdef", why))
        number += outcome == "retried"
    return Handling(component, state, note, tuple(made), sent)


def traced(root, state="", waiting=(), ended=0, id="o1", missing=()):
    flow = None
    if state:
        end = T0 + ended if ended else 0
        flow = FlowSummary("o1", state, "place-order", "hard", "order", 2, waiting, T0, T0 + 4, end, "")
    return Trace(id, T0 + 1000, root, flow, "hard by by_amount: money changes hands", missing)


ADDED = message("b2", "points-added", "broadcast", 400)
APPLIED = message(
    "b1",
    "payment-applied",
    "broadcast",
    120,
    handled("gift-wrap", "done", [("done", 121, 122, "")]),
    handled(
        "loyalty",
        "done",
        [("retried", 121, 150, "TimeoutError: the points' service is slow"), ("done", 350, 400, "")],
        ADDED,
    ),
)
CLASS = "hard by by_amount"
FRONT = handled("customer", "classified", [("classified", 2, 3, CLASS)], note=CLASS)
PAYMENT = handled("payment", "done", [("done", 40, 120, "")], APPLIED)
PAID = message("o1/1/1", "apply-payment", "command", 4, PAYMENT, step=1)
WHOLE = traced(
    message(
        "o1",
        "place-order",
        "event",
        0,
        FRONT,
        handled(
            "order",
            "completed",
            [("started", 3, 4, "running"), ("ended", 121, 123, "completed")],
            PAID,
            message("b3", "order-completed", "broadcast", 123),
        ),
        data={
            "order_id": "o-17",
            "total": "99.50",
            "card": "**********",
            "books": ["Dune", "Emma", "Ilias"],
        },
    ),
    "completed",
    ended=123,
)
STUCK = traced(
    message(
        "o1",
        "place-order",
        "event",
        0,
        FRONT,
        handled(
            "order",
            "running",
            [("started", 3, 4, "running")],
            message(
                "o1/1/1",
                "apply-payment",
                "command",
                4,
                handled(
                    "payment",
                    "failed",
                    [
                        (
                            "failed",
                            40,
                            60,
                            "ValueError: no card,\n in so many \x1b[31m words that it is cut",
                        )
                    ],
                    note="`hybrid failed retry payment/1-0` sends it back",
                ),
                step=1,
            ),
            message("o1/1/2", "reserve", "command", 4, handled("stock", "waiting"), step=2, deadline=4000),
            message("o1/1/3", "mail", "command", 4, handled("mail", "running"), step=3),
            message("o1/1/4", "print", "command", 4, step=4, note="timed out, the flow went on"),
        ),
    ),
    "running",
    ("apply-payment", "reserve"),
    missing=("what was settled before: the settle log is empty",),
)

MARKED_80 = r"""
place-order o1  completed in 123 ms
class hard by by_amount: money changes hands, carried out by order
data  {"order_id": "o-17", "total": "99.50", "card": "**********", "books": ["D…

                                               at      took  0 ms         400 ms
  place-order                                0 ms            ◆
  ├─ customer  classified                    2 ms      1 ms  ━
  └─ order  completed                        3 ms    120 ms  ━━━━━━━
     ├─ 1 apply-payment → payment  done      4 ms     80 ms  ┄┄━━━━
>    │  └─ payment-applied                 120 ms                 ◆
     │     ├─ gift-wrap  done              121 ms      1 ms       ━
     │     └─ loyalty  done, attempt 2     121 ms    279 ms       ━━━┄┄┄┄┄┄┄┄━━━
     │        │    attempt 1 retried       121 ms     29 ms       ━━━
     │        │      TimeoutError: the points' service is slow
     │        └─ points-added  unheard     400 ms                              ◆
     └─ order-completed  unheard           123 ms                  ◆
"""
WHOLE_110 = r"""
place-order o1  completed in 123 ms
class hard by by_amount: money changes hands, carried out by order
data  {"order_id": "o-17", "total": "99.50", "card": "**********", "books": ["Dune", "Emma", "Ilias"]}

                                             at    waited      took  0 ms                400 ms
place-order                                0 ms                      ◆
├─ customer  classified                    2 ms      2 ms      1 ms  ━                           host-1-abcdef
└─ order  completed                        3 ms      3 ms    120 ms  ━━━━━━━━━                   host-1-abcdef
   ├─ 1 apply-payment → payment  done      4 ms     36 ms     80 ms  ┄┄━━━━━━━                   host-1-abcdef
   │  └─ payment-applied                 120 ms                              ◆
   │     ├─ gift-wrap  done              121 ms      1 ms      1 ms          ━                   host-1-abcdef
   │     └─ loyalty  done, attempt 2     121 ms      1 ms    279 ms          ━━┄┄┄┄┄┄┄┄┄┄┄┄━━━━  host-1-abcdef
   │        │    attempt 1 retried       121 ms               29 ms          ━━
   │        │      TimeoutError: the points' service is slow
   │        └─ points-added  unheard     400 ms                                               ◆
   └─ order-completed  unheard           123 ms                              ◆
"""
STUCK_80 = r"""
place-order o1  running for 1.0 s
class hard by by_amount: money changes hands, carried out by order

                                               at      took  0 ms          1.0 s
place-order                                  0 ms            ◆
├─ customer  classified                      2 ms      1 ms  ━
└─ order  running                            3 ms    997 ms  ━━━━━━━━━━━━━━━━━━━
   ├─ 1 apply-payment → payment  failed      4 ms     20 ms  ┄━
   │       ValueError: no card,  in so many \x1b[31m words that it is cut
   │       `hybrid failed retry payment/1-0` sends it back
   ├─ 2 reserve → stock  waiting             4 ms            ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄
   │       times out in 3.0 s
   ├─ 3 mail → mail  running                 4 ms    996 ms  ━━━━━━━━━━━━━━━━━━━
   └─ 4 print                                4 ms            ◆
           timed out, the flow went on

not told: what was settled before: the settle log is empty
"""
STUCK_PLAIN = r"""
place-order o1  running for 1.0 s
class hard by by_amount: money changes hands, carried out by order

        AT    WAITED      TOOK    WHAT
      0 ms                        place-order  [o1]
      2 ms      2 ms      1 ms    ├─ customer  classified by host-1-abcdef
      3 ms      3 ms    997 ms    └─ order  running by host-1-abcdef
      4 ms     36 ms     20 ms       ├─ 1 apply-payment → payment  failed by host-1-abcdef  [o1/1/1]
                                     │       ValueError: no card,  in so many \x1b[31m words that it is cut
                                     │       `hybrid failed retry payment/1-0` sends it back
      4 ms    996 ms            >    ├─ 2 reserve → stock  waiting  [o1/1/2]
                                     │       times out in 3.0 s
      4 ms              996 ms       ├─ 3 mail → mail  running  [o1/1/3]
      4 ms                           └─ 4 print  [o1/1/4]
                                             timed out, the flow went on

not told: what was settled before: the settle log is empty
"""
ONLY_80 = r"""
place-order o1  completed in 123 ms
class hard by by_amount: money changes hands, carried out by order
data  {"order_id": "o-17", "total": "99.50", "card": "**********", "books": ["D…

                                               at      took  0 ms         400 ms
  place-order                                0 ms            ◆
  └─ order  completed                        3 ms    120 ms  ━━━━━━━
     └─ 1 apply-payment → payment  done      4 ms     80 ms  ┄┄━━━━
        └─ payment-applied                 120 ms                 ◆
           └─ loyalty  done, attempt 2     121 ms    279 ms       ━━━┄┄┄┄┄┄┄┄━━━
              │    attempt 1 retried       121 ms     29 ms       ━━━
              │      TimeoutError: the points' service is slow
>             └─ points-added  unheard     400 ms                              ◆
"""


def text(found) -> str:
    """Lines as they stand on the screen."""
    return "\n" + "\n".join(str(line) for line in found) + "\n"


def test_a_message_in_the_middle_is_marked():
    assert text(lines(replace(WHOLE, id="b1"), 80)) == MARKED_80


def test_a_wide_terminal_shows_who_and_how_long_it_waited():
    assert text(lines(WHOLE, 110)) == WHOLE_110


def test_what_failed_waits_runs_and_was_given_up():
    assert text(lines(STUCK, 80)) == STUCK_80


def test_for_a_pipe_nothing_is_cut():
    assert f"\n{plain(replace(STUCK, id='o1/1/2'))}\n" == STUCK_PLAIN


def test_only_the_way_to_a_message():
    assert text(lines(narrowed(replace(WHOLE, id="b2")), 80)) == ONLY_80
    assert narrowed(WHOLE) == WHOLE


@pytest.mark.parametrize("trace", [WHOLE, STUCK, replace(WHOLE, id="b2")])
def test_no_line_is_wider_than_the_terminal(trace):
    for width in (*range(10, 130), 400):
        assert max(line.cell_len for line in lines(trace, width)) <= width


def test_it_takes_the_width_of_its_console():
    console = Console(width=80, highlight=False, force_terminal=True, color_system="standard")
    with console.capture() as captured:
        console.print(Waterfall(STUCK))
    shown = captured.get()
    assert len(shown.splitlines()) == len(STUCK_80.strip("\n").splitlines())
    assert "\x1b[1;31mfailed" in shown
    assert "\x1b[36mwaiting" in shown


def test_an_event_without_a_flow():
    simple = replace(WHOLE, flow=None, root=replace(WHOLE.root, handlings=(FRONT,)))
    assert "completed in 3 ms" in str(lines(simple, 80)[0])
    waiting = replace(simple, root=replace(simple.root, handlings=(handled("customer", "waiting"),)))
    assert "running for 1.0 s" in str(lines(waiting, 80)[0])
    (failure,) = STUCK.root.handlings[1].sent[0].handlings
    failed = replace(simple, root=replace(simple.root, handlings=(failure,)))
    assert "failed in" in str(lines(failed, 80)[0])


def test_unheard_is_not_said_when_not_all_is_known():
    assert "unheard" not in plain(replace(WHOLE, missing=("what was settled before",)))
    assert "4 print  in no queue: look again" in plain(replace(STUCK, missing=()))
