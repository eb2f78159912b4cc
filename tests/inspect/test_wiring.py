"""The wiring of workflow processors, as data, as a tree and as a chart."""

from rich.console import Console

from cli.commands.topology import chart, tree
from hybrid import HARD, Mediator, Processor, WorkflowProcessor
from hybrid.inspect.wiring import HearingWiring, RepairWiring, wiring
from hybrid.topology import Topology
from tests.runtime.messages import Completed, Noted, Paid, Pay, Place


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


def test_what_flows_wait_for_is_told():
    payment, orders = Processor("payment"), Mediator("orders", handles=HARD)

    @payment.on(Pay)
    async def pay(command: Pay) -> Paid:
        raise NotImplementedError

    @orders.flow(Place, hears=[Paid, Noted])
    async def place(event, flow):
        await flow.wait(Paid, match={"order": event.order})
        return Completed(order=event.order)

    wires = wiring(Topology([payment, orders]))
    assert wires.hearings == (HearingWiring("orders", "paid"), HearingWiring("orders", "noted"))
    assert wires.listeners("paid") == ["orders"]
    assert not {"paid", "noted"} & set(wires.unheard)
    assert wires.flows[0].ends == ("completed",)
    console = Console(width=200)
    with console.capture() as captured:
        console.print(tree("shop", wires))
    assert "paid → orders" in captured.get()
    assert "  n_payment -. paid .-> n_orders" in chart(wires).splitlines()
