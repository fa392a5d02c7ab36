"""The report of sums: notices and awards by month, type, department and set-aside."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import get_args

from jobs.documents.core import groups
from jobs.documents.core.labels import text
from jobs.documents.core.model import (
    Aggregate,
    Column,
    Figure,
    Group,
    Kind,
    Language,
    Period,
    Report,
    Row,
    Tally,
    Tenant,
)

_FOUR_DIGITS = Decimal("0.0001")


def columns(language: Language) -> tuple[Column, ...]:
    """The columns, in the order of `rows`."""

    def column(key: str, kind: Kind, width: float, weight: float = 0) -> Column:
        return Column(text(key, language), kind, width, weight)

    return (
        column("group", Kind.TEXT, 26),
        column("value", Kind.TEXT, 48, 40),
        column("notices", Kind.COUNT, 12, 11),
        column("share", Kind.SHARE, 12, 11),
        column("awards", Kind.COUNT, 12, 13),
        column("award_total", Kind.MONEY, 22, 25),
        column("award_currency", Kind.CURRENCY, 14),
    )


def rows(
    aggregates: Sequence[Aggregate], period: Period, language: Language, *, notices: int
) -> Iterator[Row]:
    """One row per value; a value with awards in several currencies goes on in rows of its own.

    Those leave notices and share empty, so that each column still adds up.
    """
    for group in get_args(Group):
        title = text(f"by_{group}", language)
        for line in groups.lines(aggregates, group, period, language):
            share = (Decimal(line.notices) / (notices or 1)).quantize(_FOUR_DIGITS)
            if not line.awards:
                yield (title, line.label, line.notices, share, 0, None, None)
            for at, awards in enumerate(line.awards):
                counted = (line.notices, share) if at == 0 else (None, None)
                currency = awards.currency or None
                yield (title, line.label, *counted, awards.number, awards.total, currency)


def report(
    tenant: Tenant,
    period: Period,
    *,
    as_of: datetime,
    zone: str,
    language: Language,
    tally: Tally,
    aggregates: Sequence[Aggregate],
) -> Report:
    """The report around the rows. `as_of` stands on the clock of `zone`."""
    awards = sum(aggregate.awards for aggregate in aggregates if aggregate.group == "month")
    return Report(
        title=text("analytics", language),
        tenant_name=tenant.name,
        language=language,
        period=period,
        as_of=as_of,
        zone=zone,
        table_title=text("analytics", language),
        columns=columns(language),
        figures=(
            Figure(text("notices", language), tally.notices),
            Figure(text("open", language), tally.open),
            Figure(text("awards", language), awards),
            *groups.award_figures(aggregates, language),
        ),
        chart=groups.chart(aggregates, period, language),
        is_grouped=True,
    )
