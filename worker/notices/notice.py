"""A notice: one trouble, from when it was seen to when it was over."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["failures", "waiting", "unserved"]
Change: TypeAlias = Literal["opened", "ongoing", "closed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """`count` are the failures since it opened, or the runs that wait; `most` its highest value.

    queue        null where jobs of several fail
    threshold    what the count went over
    is_scheduled a schedule's runs fail: only one that succeeds says that they do no more
    run_ids      some of the newest that failed
    first_at     of the failures, or when it was seen first; `last_at` likewise
    looks        in a row that found it so, before it opened; `noted_at` is when one last did
    opened_at    None: so far it is but suspected
    edition      how often it was told, last at `told_at` and `told_count`; not before `tell_at`
    """

    kind: Kind
    subject: str
    count: int
    most: int
    threshold: int
    first_at: datetime
    last_at: datetime
    noted_at: datetime
    notice_id: int | None = None
    queue: str | None = None
    job: str | None = None
    error_type: str | None = None
    dead: int = 0
    is_scheduled: bool = False
    run_ids: tuple[str, ...] = ()
    looks: int = 1
    opened_at: datetime | None = None
    closed_at: datetime | None = None
    edition: int = 0
    told_at: datetime | None = None
    told_count: int = 0
    tell_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        return self.opened_at is not None and self.closed_at is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """Failures of one kind that nobody has looked at yet.

    `in_window` are the most that fell, with older ones, into one window that has a fresh one.
    """

    job: str
    error_type: str
    queue: str
    in_window: int
    failures: int
    dead: int
    scheduled: int
    since: datetime
    first_at: datetime
    last_at: datetime
    run_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """What is to be told of a notice. `since_last` is how many more than when it was told last."""

    notice: Notice
    change: Change
    since_last: int
