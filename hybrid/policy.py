"""What happens after a handler has run: `decide` is pure and returns a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hybrid.errors import ApplicationError, HandlerError, HandlerTimeout, MessageError, UndecodableMessage
from hybrid.messages import Event

LONGEST = 10 * 366 * 86_400_000
"""The longest pause, in ms: ten years."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a failed delivery is tried, and after how long: first_ms, then `factor` times that, at most
    most_ms. Raises ApplicationError for what can't be.
    """

    attempts: int = 3
    first_ms: int = 200
    factor: float = 4.0
    most_ms: int = 60_000

    def __post_init__(self) -> None:
        limits = {
            "attempts": (1, 10**9),
            "first_ms": (0, LONGEST),
            "factor": (0, 1_000),
            "most_ms": (0, LONGEST),
        }
        for name, (least, most) in limits.items():
            value, kind = getattr(self, name), int if name != "factor" else int | float
            if isinstance(value, bool) or not isinstance(value, kind) or not least <= value <= most:
                what = "a number" if name == "factor" else "a whole number"
                raise ApplicationError(
                    f"RetryPolicy({name}={value!r}): {name} is {what} from {least} to {most:,}"
                )

    @classmethod
    def read(cls, text: str) -> RetryPolicy:
        """Return the policy that an envelope carries. Raises UndecodableMessage when it is none."""
        try:
            attempts, first, factor, most = text.split(" ")
            return cls(int(attempts), int(first), float(factor), int(most))
        except (ValueError, ApplicationError) as error:
            raise UndecodableMessage(f"its retry policy {text[:60]!r} is none: {error}") from None

    def written(self) -> str:
        """Return it as an envelope carries it: `ATTEMPTS FIRST_MS FACTOR MOST_MS`."""
        return f"{self.attempts} {self.first_ms} {self.factor} {self.most_ms}"

    def after(self, attempt: int) -> int:
        """Return the pause after the failure of this attempt (1 for the first), in ms."""
        return int(min(self.first_ms * self.factor ** min(attempt - 1, 64), self.most_ms))


@dataclass(frozen=True, slots=True)
class Succeeded:
    """Outcome: the handler returned. `reply` is also the acknowledgement; `published` was broadcast beside
    it.
    """

    reply: Event | None = None
    published: Sequence[Event] = ()


@dataclass(frozen=True, slots=True)
class Raised:
    """Outcome: the handler raised, or the message could not be handed to it."""

    error: BaseException


Outcome = Succeeded | Raised


@dataclass(frozen=True, slots=True)
class Done:
    """Decision: the delivery is done; these are its outputs."""

    reply: Event | None = None
    published: Sequence[Event] = ()


@dataclass(frozen=True, slots=True)
class Retry:
    """Decision: try again after so many ms."""

    after: int
    error: BaseException


@dataclass(frozen=True, slots=True)
class Repair:
    """Decision: retries do not cure it; hand it over, whole, with its error."""

    error: BaseException


Decision = Done | Retry | Repair


def decide(outcome: Outcome, attempt: int, policy: RetryPolicy) -> Decision:
    """Return what to do after this outcome of this attempt (1 for the first).

    What would fail again just the same (a message that does not validate, a handler that returns what it
    may not) is not tried again.
    """
    if isinstance(outcome, Succeeded):
        return Done(outcome.reply, outcome.published)
    error = outcome.error
    hopeless = isinstance(error, MessageError | HandlerError) and not isinstance(error, HandlerTimeout)
    if hopeless or attempt >= policy.attempts:
        return Repair(error)
    return Retry(policy.after(attempt), error)
