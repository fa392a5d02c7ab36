"""Aggregates put in order: months without gaps, the rest by size, with names for people."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from jobs.documents.core import formats
from jobs.documents.core.labels import text
from jobs.documents.core.model import (
    Aggregate,
    Bar,
    Figure,
    Group,
    Language,
    Money,
    Period,
    Series,
)

# More bars than this are not told apart: quarters then, of which ten years have 41.
_MOST_MONTHS = 24
_MONTHS_IN_QUARTER = 3


@dataclass(frozen=True, slots=True)
class Awards:
    """Awards in one currency; `currency` is empty when nobody named it."""

    currency: str
    number: int
    total: Decimal


@dataclass(frozen=True, slots=True)
class Line:
    """One value of a group: its notices, and its awards in each currency, the most first."""

    label: str
    notices: int
    awards: tuple[Awards, ...]


def lines(
    aggregates: Iterable[Aggregate], group: Group, period: Period, language: Language
) -> tuple[Line, ...]:
    """The lines of one group: months in their order, other values by size and "other" last."""
    values: dict[tuple[bool, str | None], list[Aggregate]] = defaultdict(list)
    for aggregate in aggregates:
        if aggregate.group == group:
            values[aggregate.is_rest, aggregate.value].append(aggregate)
    if group == "month":
        return tuple(
            _line(formats.month(month, language), values.get((False, f"{month:%Y-%m}"), []))
            for month in months(period)
        )
    named = sorted(
        ((key, _line(_label(key, language), found)) for key, found in values.items()),
        key=lambda item: (item[0][0], -item[1].notices, item[0][1] or ""),
    )
    return tuple(line for _, line in named)


def months(period: Period) -> Iterator[date]:
    """The first day of each month that the period touches."""
    month = period.first.replace(day=1)
    while month <= period.last:
        yield month
        month = month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)


def chart(aggregates: Iterable[Aggregate], period: Period, language: Language) -> Series:
    """Notices per month; per quarter when the months were too many to tell apart."""
    found: dict[str, int] = defaultdict(int)
    for aggregate in aggregates:
        if aggregate.group == "month" and aggregate.value is not None:
            found[aggregate.value] += aggregate.notices
    every = list(months(period))
    if len(every) <= _MOST_MONTHS:
        bars = tuple(
            Bar(formats.month(month, language, is_short=True), found[f"{month:%Y-%m}"])
            for month in every
        )
        return Series(text("chart_months", language), bars)
    quarters: dict[date, int] = defaultdict(int)
    for month in every:
        start = month.replace(month=month.month - (month.month - 1) % _MONTHS_IN_QUARTER)
        quarters[start] += found[f"{month:%Y-%m}"]
    bars = tuple(Bar(formats.quarter(start, language), sum_) for start, sum_ in quarters.items())
    return Series(text("chart_quarters", language), bars)


def award_figures(aggregates: Iterable[Aggregate], language: Language) -> tuple[Figure, ...]:
    """What was awarded in all, one figure per currency: they cannot be added up."""
    by_month = [aggregate for aggregate in aggregates if aggregate.group == "month"]
    return tuple(
        Figure(
            text("awarded_in", language, currency=awards.currency)
            if awards.currency
            else text("awarded", language),
            Money(awards.total, awards.currency),
        )
        for awards in _awards(by_month)
    )


def _line(label: str, found: list[Aggregate]) -> Line:
    return Line(label, sum(aggregate.notices for aggregate in found), _awards(found))


def _awards(found: Iterable[Aggregate]) -> tuple[Awards, ...]:
    numbers: dict[str, int] = defaultdict(int)
    totals: dict[str, Decimal] = defaultdict(Decimal)
    for aggregate in found:
        if aggregate.awards:
            currency = aggregate.currency or ""
            numbers[currency] += aggregate.awards
            totals[currency] += aggregate.awarded
    order = sorted(numbers, key=lambda currency: (-numbers[currency], currency))
    return tuple(Awards(currency, numbers[currency], totals[currency]) for currency in order)


def _label(key: tuple[bool, str | None], language: Language) -> str:
    is_rest, value = key
    if is_rest:
        return text("rest", language)
    return value or text("not_stated", language)
