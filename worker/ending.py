"""How an attempt ended: what the engine writes and the ledger remembers."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """Where a run stands after an attempt. The first four are final."""

    SUCCEEDED = "succeeded"
    CANCELLED = "cancelled"
    DEAD = "dead"
    EXPIRED = "expired"
    RETRYING = "retrying"
    SNOOZED = "snoozed"
    RELEASED = "released"

    @property
    def is_final(self) -> bool:
        return self in _FINAL


_FINAL = frozenset({State.SUCCEEDED, State.CANCELLED, State.DEAD, State.EXPIRED})


class Reason(StrEnum):
    """Why a run was given up on: a closed set, because it labels a metric."""

    ATTEMPTS_SPENT = "attempts_spent"
    REJECTED = "rejected"
    INVALID_PAYLOAD = "invalid_payload"
    UNDECODABLE = "undecodable"
    UNKNOWN_JOB = "unknown_job"
    POISON = "poison"
    UNRECORDABLE = "unrecordable"


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as it is remembered: redacted text, no objects."""

    error_type: str
    message: str
    traceback: str


@dataclass(slots=True)  # not frozen: one is made for every attempt
class Ending:
    """`wait` until the run comes due again; `reason` is a Reason for dead ones, else a sentence."""

    state: State
    result: Any = None
    wait: timedelta = timedelta(0)
    reason: str | None = None
    failure: Failure | None = None
    is_unknown: bool = False
    # The run's bytes with the words of its job, which it lacked: it goes back with them.
    read_again: bytes | None = None
    # The keys of its rate limits rest for `wait`.
    rests: bool = False

    @property
    def spends_attempt(self) -> bool:
        return self.state is State.RETRYING
