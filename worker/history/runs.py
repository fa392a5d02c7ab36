"""What history knows of a run, and which runs are meant."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, NamedTuple, Self
from uuid import UUID

from typing_extensions import override

from jobs.kit import discover
from worker.ending import State
from worker.micros import instant_of_micros, micros_of

_TEXT_LENGTH = (3, 200)  # characters; an index finds no shorter ones
_NAME_LIMIT = 1000  # characters; foreign names of runs are shorter
_CURSOR_LIMIT = 540


class TooBroadError(Exception):
    """The search took too long, and was ended; the sentence says what to do."""


class RunError(Exception):
    """The run is not in a state for this; the sentence says why."""


class UnknownRunError(RunError):
    """Nobody knows the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRun:
    """A run as it stood after its newest attempt. Instants are aware.

    `payload` is as worker/kept_payload.py keeps it: bounded, and without what is sensitive; None
    for runs of older workers. Nothing else of it is hidden: see `redacted_payload`.
    """

    run_id: str
    job: str
    queue: str
    tenant_id: UUID | None
    state: State
    label: str | None
    correlation_id: str
    replay_of: str | None
    attempt: int
    enqueued_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    reason: str | None
    payload: Mapping[str, Any] | None

    @property
    def at(self) -> datetime:
        """When it did what it did last: it finished, or else it started."""
        return self.finished_at or self.started_at or self.enqueued_at

    @property
    def cursor(self) -> "Cursor":
        """Where this run stands in a list."""
        return Cursor(self.at, self.run_id)


class Cursor(NamedTuple):
    """A place in a list of runs, also when its run is gone; `<microseconds>-<run id>` as text."""

    at: datetime
    run_id: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError."""
        micros, _, run_id = text.partition("-")
        at = instant_of_micros(micros)
        if at is None or not run_id or "\x00" in run_id or len(text) > _CURSOR_LIMIT:
            raise ValueError(f"{text[:_CURSOR_LIMIT]!r} is no place in a list of runs")
        return cls(at, run_id)

    @override
    def __str__(self) -> str:
        return f"{micros_of(self.at)}-{self.run_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which runs are meant: those to which all that is given applies.

    states   in one of these; none means any
    queue, tenant_id, correlation_id, label  as the run says
    job      by its name; runs under its aliases are its own too
    text     stands in the payload, in whatever case; 3 to 200 characters
    since, until  `PastRun.at` is then or later, or earlier than that: aware instants

    Raises ValueError.
    """

    states: tuple[State, ...] = ()
    queue: str | None = None
    job: str | None = None
    tenant_id: UUID | None = None
    correlation_id: str | None = None
    label: str | None = None
    text: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        unknown = [str(one) for one in self.states if one not in list(State)]
        if unknown:
            raise ValueError(f"states are {', '.join(State)}, not {', '.join(unknown)}")
        shortest, longest = _TEXT_LENGTH
        if self.text is not None and not shortest <= len(self.text) <= longest:
            raise ValueError(f"text has {shortest} to {longest} characters")
        for name in ("since", "until"):
            instant = getattr(self, name)
            if instant is not None and instant.tzinfo is None:
                raise ValueError(f"{name} says no time zone")
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, str) and ("\x00" in value or len(value) > _NAME_LIMIT):
                raise ValueError(f"{one.name} has a NUL in it, or is too long: no run's does")

    @property
    def job_names(self) -> list[str]:
        """The job's name and aliases; a name that is not known is the only one."""
        if self.job is None:
            return []
        known = discover().get(self.job)
        return [self.job] if known is None else list(dict.fromkeys([known.name, *known.aliases]))
