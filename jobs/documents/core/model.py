"""The words of a report: what the database says, and what a file is made of."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Literal, TypeAlias

Language: TypeAlias = Literal["en", "tr"]
Group: TypeAlias = Literal["month", "notice_type", "department", "set_aside"]

# A table cell. A `datetime` is aware, and shown on the clock of the zone it carries.
Cell: TypeAlias = str | int | Decimal | date | datetime | None
Row: TypeAlias = tuple[Cell, ...]


class Kind(StrEnum):
    """What a column holds. MONEY is followed by its CURRENCY; a DEADLINE is an instant or a day."""

    TEXT = "text"
    LINK = "link"
    COUNT = "count"
    SHARE = "share"
    DAY = "day"
    DEADLINE = "deadline"
    MONEY = "money"
    CURRENCY = "currency"


@dataclass(frozen=True, slots=True)
class Column:
    """`width` in characters for a sheet; `weight` is its part of a PDF's line, 0 leaves it out."""

    title: str
    kind: Kind
    width: float
    weight: float = 0


@dataclass(frozen=True, slots=True)
class Period:
    """From the first to the last day, both included."""

    first: date
    last: date


@dataclass(frozen=True, slots=True)
class Money:
    """`currency` is a code of three letters; empty when nobody named it."""

    amount: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of the summary."""

    label: str
    value: int | Money


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of the chart, or one line of a small table."""

    label: str
    value: int


@dataclass(frozen=True, slots=True)
class Series:
    """Counts under one title. In a chart the order is that of time, in a table that of size."""

    title: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything of a report but the rows of its table, which may be too many to hold.

    as_of       the instant at which the numbers were true, on the clock of the tenant's zone
    is_grouped  the first column names a section: the PDF prints it as a heading
    """

    title: str
    tenant_name: str
    language: Language
    period: Period
    as_of: datetime
    zone: str
    table_title: str
    columns: tuple[Column, ...]
    figures: tuple[Figure, ...]
    chart: Series
    counts: Series | None = None
    is_grouped: bool = False


@dataclass(frozen=True, slots=True)
class Tenant:
    name: str
    timezone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A contract notice. `due_on` is only a day: set where nobody said at what hour."""

    notice_id: str
    title: str
    solicitation_number: str | None
    notice_type: str
    department: str | None
    sub_tier: str | None
    posted_on: date
    due_at: datetime | None
    due_on: date | None
    set_aside: str | None
    naics_codes: tuple[str, ...]
    place_city: str | None
    place_state: str | None
    place_country: str | None
    award_amount: Decimal | None
    award_currency: str | None
    awardee_name: str | None
    link: str | None


@dataclass(frozen=True, slots=True)
class Tally:
    """How many notices there are, how many can still be answered, how many only this week."""

    notices: int
    open: int
    closing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """The notices of one value of a group, in one currency (None: no award, or none named).

    `value` is None where notices do not state it; `is_rest` sums the values after the first 15.
    """

    group: Group
    value: str | None
    is_rest: bool
    currency: str | None
    notices: int
    awards: int
    awarded: Decimal
