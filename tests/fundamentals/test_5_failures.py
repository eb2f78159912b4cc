"""What goes wrong is tried again. What can't be cured is kept, and told to whoever waits."""

from hybrid import (
    HARD,
    Command,
    Context,
    Event,
    Failed,
    Flow,
    Mediator,
    Processor,
    RetryPolicy,
    SimpleMediator,
    WorkflowProcessor,
)


class OrderPlaced(Event):
    order_id: str


class ApplyPayment(Command):
    order_id: str


class PaymentApplied(Event):
    attempt: int


front = SimpleMediator("front")
orders = Mediator("orders", handles=HARD)


@front.classify(OrderPlaced, HARD)
def orders_have_steps(event: OrderPlaced):
    return HARD


@orders.flow(OrderPlaced)
async def order(event: OrderPlaced, flow: Flow) -> PaymentApplied:
    return await flow.do(ApplyPayment(order_id=event.order_id))


async def test_a_handler_that_raises_is_tried_again(make_app):
    payment = Processor("payment")

    @payment.on(ApplyPayment, retry=RetryPolicy(attempts=3, first_ms=10))
    async def pay(command: ApplyPayment, context: Context) -> PaymentApplied:
        if context.attempt < 3:
            raise ConnectionError("the bank does not answer")
        return PaymentApplied(attempt=context.attempt)

    async with make_app(front, orders, payment).running() as client:
        receipt = await client.send(OrderPlaced(order_id="o1"))
        outcome = await client.wait(receipt.id)
    assert outcome.event == PaymentApplied(attempt=3)


async def test_the_flow_says_what_it_is_stuck_at(make_app):
    payment = Processor("payment")

    @payment.on(ApplyPayment, retry=RetryPolicy(attempts=1))
    async def pay(command: ApplyPayment) -> PaymentApplied:
        raise ConnectionError("the bank does not answer")

    async with make_app(front, orders, payment).running() as client:
        receipt = await client.send(OrderPlaced(order_id="o1"))
        outcome = await client.wait(receipt.id)
    assert outcome.state == "failed"
    assert outcome.reason == "step 1 (apply-payment): ConnectionError: the bank does not answer"


async def test_a_workflow_processor_mends_what_failed_and_sends_it_back(make_app):
    payment, fixer = Processor("payment"), WorkflowProcessor("payment-repair")

    @payment.on(ApplyPayment, retry=RetryPolicy(attempts=1))
    async def pay(command: ApplyPayment) -> PaymentApplied:
        return PaymentApplied(attempt=int(command.order_id))

    @fixer.repairs(ApplyPayment, on=ValueError)
    async def leave_out_the_letters(failed: Failed[ApplyPayment]) -> ApplyPayment:
        return ApplyPayment(order_id="".join(filter(str.isdigit, failed.message.order_id)))

    async with make_app(front, orders, payment, fixer).running() as client:
        receipt = await client.send(OrderPlaced(order_id="no. 7"))
        outcome = await client.wait(receipt.id)
    assert outcome.event == PaymentApplied(attempt=7)
