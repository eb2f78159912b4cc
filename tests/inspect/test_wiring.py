"""The wiring of workflow processors, as data, as a tree and as a chart."""

from rich.console import Console

from cli.commands.topology import chart, tree
from hybrid import Processor, WorkflowProcessor
from hybrid.inspect.wiring import RepairWiring, wiring
from hybrid.topology import Topology
from tests.runtime.messages import Noted, Pay


def test_who_repairs_what_is_told():
    payment, fixer = Processor("payment"), WorkflowProcessor("fixer")
    payment.on(Pay)(lambda command: None)

    @fixer.repairs(Pay | Noted, on=ValueError | KeyError)
    def mend(failed):
        raise NotImplementedError

    wires = wiring(Topology([payment, fixer]))
    assert wires.repairs == (
        RepairWiring("fixer", "fixer.mend", "pay", ("ValueError", "KeyError")),
        RepairWiring("fixer", "fixer.mend", "noted", ("ValueError", "KeyError")),
    )
    console = Console(width=200)
    with console.capture() as captured:
        console.print(tree("shop", wires))
    assert "fixer repairs pay on ValueError, KeyError" in captured.get()
    lines = chart(wires).splitlines()
    assert "  n_fixer[/fixer/]" in lines
    assert "  n_payment -. pay failed .-> n_fixer" in lines
