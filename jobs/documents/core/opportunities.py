"""The report of single notices: one row each, newest first."""

from collections.abc import Sequence
from datetime import datetime

from jobs.documents.core import groups
from jobs.documents.core.labels import text
from jobs.documents.core.model import (
    Aggregate,
    Bar,
    Column,
    Figure,
    Kind,
    Language,
    Notice,
    Period,
    Report,
    Row,
    Series,
    Tally,
    Tenant,
)


def columns(language: Language, zone: str) -> tuple[Column, ...]:
    """The columns, in the order of `row`."""

    def column(key: str, kind: Kind, width: float, weight: float = 0) -> Column:
        return Column(text(key, language, zone=zone), kind, width, weight)

    return (
        column("notice_id", Kind.TEXT, 34),
        column("title", Kind.TEXT, 60, 19),
        column("solicitation_number", Kind.TEXT, 20, 10.5),
        column("type", Kind.TEXT, 28, 12),
        column("agency", Kind.TEXT, 44, 14),
        column("posted", Kind.DAY, 12, 7.5),
        column("due", Kind.DEADLINE, 30, 11.5),
        column("set_aside", Kind.TEXT, 30, 10),
        column("naics", Kind.TEXT, 12, 5.5),
        column("place", Kind.TEXT, 26, 8.5),
        column("award_amount", Kind.MONEY, 20, 10.5),
        column("award_currency", Kind.CURRENCY, 10),
        column("awardee", Kind.TEXT, 30, 10),
        column("link", Kind.LINK, 48),
    )


def row(notice: Notice) -> Row:
    return (
        notice.notice_id,
        notice.title,
        notice.solicitation_number,
        notice.notice_type,
        _joined(" / ", notice.department, notice.sub_tier),
        notice.posted_on,
        notice.due_at or notice.due_on,
        notice.set_aside,
        _joined(", ", *notice.naics_codes),
        _joined(", ", notice.place_city, notice.place_state, notice.place_country),
        notice.award_amount,
        notice.award_currency,
        notice.awardee_name,
        notice.link,
    )


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
    types = groups.lines(aggregates, "notice_type", period, language)
    return Report(
        title=text("opportunities", language),
        tenant_name=tenant.name,
        language=language,
        period=period,
        as_of=as_of,
        zone=zone,
        table_title=text("notices", language),
        columns=columns(language, zone),
        figures=(
            Figure(text("notices", language), tally.notices),
            Figure(text("open", language), tally.open),
            Figure(text("closing", language), tally.closing),
            *groups.award_figures(aggregates, language),
        ),
        chart=groups.chart(aggregates, period, language),
        counts=Series(
            text("by_notice_type", language),
            tuple(Bar(line.label, line.notices) for line in types),
        ),
    )


def _joined(separator: str, *parts: str | None) -> str | None:
    return separator.join(part for part in parts if part) or None
