"""What a dead letter is, and which ones are meant."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple, Self, TypeAlias, get_args
from uuid import UUID

from typing_extensions import override

from jobs.kit import discover
from worker.micros import instant_of_micros, micros_of

Status: TypeAlias = Literal["dead", "replayed", "discarded"]
STATUSES: Final[tuple[Status, ...]] = get_args(Status)

_TEXT_LENGTH = (3, 200)  # characters; an index finds no shorter ones
_CURSOR_LIMIT = 35  # characters
_BIGGEST = 2**63 - 1  # that PostgreSQL's bigint holds


class DeadLetterError(Exception):
    """The dead letter is not there, or not in a state for this; the sentence says which."""


def gone_error(dead_letter_id: int) -> DeadLetterError:
    """What is raised for a letter that does not wait."""
    return DeadLetterError(
        f"there is no dead letter {dead_letter_id}, or it was replayed or discarded before"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """`payload` is None when the run's bytes could not be read.

    `headers` came with the run beside its payload; None for letters of versions before 0.2.
    `error_group` is the same for errors that differ in numbers, ids and quoted text alone; None
    for a minute or so for letters from before there were groups.
    """

    dead_letter_id: int
    run_id: str
    job: str
    queue: str
    tenant_id: UUID | None
    payload: Mapping[str, Any] | None
    headers: Mapping[str, str] | None
    correlation_id: str
    reason: str
    error_type: str | None
    error_message: str | None
    error_group: str | None
    attempt: int
    enqueued_at: datetime
    died_at: datetime
    status: str
    replayed_as: str | None
    discarded_because: str | None
    handled_at: datetime | None

    @property
    def cursor(self) -> "Cursor":
        """Where this letter stands in a list."""
        return Cursor(self.died_at, self.dead_letter_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    attempt: int
    outcome: str
    started_at: datetime
    ended_at: datetime
    worker: str
    error_type: str | None
    error_message: str | None
    traceback: str | None
    log: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Letters with one error: how many there are, and when the first and the last of them died.

    `template` is the error's message with what differs left out, `example_id` the newest letter.
    """

    error_group: str
    job: str
    error_type: str | None
    template: str | None
    letters: int
    first_at: datetime
    last_at: datetime
    example_id: int

    @property
    def cursor(self) -> "GroupCursor":
        """Where this group stands in a list."""
        return GroupCursor(self.letters, self.error_group)


class GroupCursor(NamedTuple):
    """A place in a list of groups; as text it is `<letters>-<group>`."""

    letters: int
    error_group: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError."""
        letters, _, group = text.partition("-")
        if not (letters.isdecimal() and len(text) <= _CURSOR_LIMIT and group.isalnum()):
            raise ValueError(f"{text!r} is no place in a list of groups")
        return cls(min(int(letters), _BIGGEST), group)

    @override
    def __str__(self) -> str:
        return f"{self.letters}-{self.error_group}"


class Cursor(NamedTuple):
    """A place in a list of letters, also when its letter is gone; `<microseconds>-<id>` as text."""

    died_at: datetime
    dead_letter_id: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError."""
        micros, _, letter_id = text.partition("-")
        at = instant_of_micros(micros)
        if at is None or not letter_id.isdecimal() or len(text) > _CURSOR_LIMIT:
            raise ValueError(f"{text[:_CURSOR_LIMIT]!r} is no place in a list of dead letters")
        return cls(at, min(int(letter_id), _BIGGEST))

    @override
    def __str__(self) -> str:
        return f"{micros_of(self.died_at)}-{self.dead_letter_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which letters are meant: those to which all that is not None applies.

    queue, reason, error_type, error_group, tenant_id  as the letter says
    job      by its name; letters under its aliases are its own too
    text     stands in the error's message, in whatever case; 3 to 200 characters
    since, until  it died then or later, or earlier than that: aware instants

    Raises ValueError.
    """

    status: Status = "dead"
    queue: str | None = None
    job: str | None = None
    reason: str | None = None
    error_type: str | None = None
    error_group: str | None = None
    tenant_id: UUID | None = None
    text: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(f"status is {', '.join(STATUSES)}, not {self.status!r}")
        shortest, longest = _TEXT_LENGTH
        if self.text is not None and not shortest <= len(self.text) <= longest:
            raise ValueError(f"text has {shortest} to {longest} characters")
        for name in ("since", "until"):
            instant = getattr(self, name)
            if instant is not None and instant.tzinfo is None:
                raise ValueError(f"{name} says no time zone")
        if any("\x00" in value for value in self._values() if isinstance(value, str)):
            raise ValueError("no letter has a NUL in it")

    @property
    def is_everything(self) -> bool:
        """Is nothing asked for, but a status?"""
        return all(value is None for value in self._values())

    @property
    def job_names(self) -> list[str] | None:
        """The job's name and aliases; a name that is not known is the only one."""
        if self.job is None:
            return None
        known = discover().get(self.job)
        return [self.job] if known is None else [known.name, *known.aliases]

    def _values(self) -> list[object]:
        return [getattr(self, one.name) for one in fields(self) if one.name != "status"]
