"""How a run ended in a test, with one question for each way to end."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from typing_extensions import override

from jobs.kit import Run
from worker.ending import Failure, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """One attempt, as the engine would have written it down.

    `returned` is what the job returned, `result` what `Job.result()` gives whoever asks (through
    JSON; None when it is not kept). `wait` is until the run comes due again. `reason` is the job's
    sentence, or of a dead run one of `worker.ending.Reason`. `error` is what the job raised, and
    `run` what it was told about itself; both None when it did not start.
    """

    run_id: str
    job: str
    attempt: int
    state: State
    returned: Any = None
    result: Any = None
    wait: timedelta = timedelta(0)
    reason: str | None = None
    failure: Failure | None = None
    error: BaseException | None = field(default=None, repr=False)
    run: Run | None = field(default=None, repr=False)

    def succeeded(self) -> Any:
        """What it returned. Raises AssertionError when it ended in another way."""
        self._require(State.SUCCEEDED)
        return self.returned

    def retrying(self) -> timedelta:
        """The wait until its next attempt. Raises AssertionError, as above."""
        self._require(State.RETRYING)
        return self.wait

    def snoozed(self) -> timedelta:
        """The wait that it asked for. Raises AssertionError, as above."""
        self._require(State.SNOOZED)
        return self.wait

    def cancelled(self) -> str:
        """Why. Raises AssertionError, as above."""
        self._require(State.CANCELLED)
        return self.reason or ""

    def dead(self) -> Failure:
        """The error of a run that was given up on. Raises AssertionError, as above."""
        self._require(State.DEAD)
        return self.failure or Failure("", self.reason or "", "")

    def _require(self, state: State) -> None:
        if self.state is not state:
            raise AssertionError(f"expected that it {_ENDS[state]}, but {self}") from self.error

    @override
    def __str__(self) -> str:
        words = [f"{self.job} {_ENDS[self.state]} at attempt {self.attempt}"]
        if self.reason:
            words.append(f"({self.reason})")
        if self.wait:
            words.append(f"for {self.wait}")
        if self.failure is not None:
            words.append(f"with {self.failure.error_type}: {self.failure.message}")
        told = " ".join(words)
        stack = self.failure.traceback if self.failure is not None else ""
        return f"{told}\n{stack}" if stack else told


_ENDS = {
    State.SUCCEEDED: "succeeded",
    State.CANCELLED: "was cancelled",
    State.DEAD: "was dead-lettered",
    State.EXPIRED: "expired",
    State.RETRYING: "is retried",
    State.SNOOZED: "was snoozed",
    State.RELEASED: "was given back",
}
