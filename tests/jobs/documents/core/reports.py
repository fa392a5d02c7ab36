"""Notices and reports for the tests of this folder."""

import io
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pypdfium2  # type: ignore[import-untyped] # it has no types

from jobs.documents.core import analytics, opportunities
from jobs.documents.core.model import (
    Aggregate,
    Group,
    Language,
    Notice,
    Period,
    Report,
    Row,
    Tally,
    Tenant,
)

ISTANBUL = ZoneInfo("Europe/Istanbul")
TENANT = Tenant("Iğdır Yapı A.Ş.", "Europe/Istanbul")
PERIOD = Period(date(2026, 1, 1), date(2026, 3, 31))
AS_OF = datetime(2026, 3, 20, 14, 5, tzinfo=ISTANBUL)
NOTICE = Notice(
    notice_id="f2483be142e64eeabcc5fba2f8992251",
    title="Roof replacement",
    solicitation_number="W912-26-R-0001",
    notice_type="Solicitation",
    department="DEPT OF DEFENSE",
    sub_tier="DEPT OF THE ARMY",
    posted_on=date(2026, 2, 3),
    due_at=datetime(2026, 4, 1, 21, 30, tzinfo=UTC),
    due_on=None,
    set_aside="8(a) Set-Aside",
    naics_codes=("238160", "236220"),
    place_city="Lexington",
    place_state="KY",
    place_country="USA",
    award_amount=Decimal("1234567.89"),
    award_currency="USD",
    awardee_name="Öztürk İnşaat A.Ş.",
    link="https://sam.gov/opp/f2483be142e64eeabcc5fba2f8992251/view",
)


def make_notice(**changes: Any) -> Notice:
    return replace(NOTICE, **changes)


def make_row(**changes: Any) -> Row:
    return opportunities.row(make_notice(**changes))


def make_aggregate(
    group: Group, value: str | None, notices: int, *, awarded: str = "", **changes: Any
) -> Aggregate:
    """`awarded` is one award, as in "12.50 USD"."""
    amount, _, currency = awarded.partition(" ")
    fields: dict[str, Any] = {
        "is_rest": False,
        "currency": currency or None,
        "awards": 1 if amount else 0,
        "awarded": Decimal(amount or 0),
    }
    return Aggregate(group=group, value=value, notices=notices, **{**fields, **changes})


AGGREGATES = (
    make_aggregate("month", "2026-01", 5, awarded="100.10 USD"),
    make_aggregate("month", "2026-03", 3, awarded="0.20 TRY"),
    make_aggregate("notice_type", "Solicitation", 6, awarded="100.10 USD"),
    make_aggregate("notice_type", "Solicitation", 1, awarded="0.20 TRY"),
    make_aggregate("notice_type", "Award Notice", 1),
    make_aggregate("department", "DEPT OF DEFENSE", 5),
    make_aggregate("department", None, 2),
    make_aggregate("department", None, 1, is_rest=True),
    make_aggregate("set_aside", None, 8),
)


def make_report(language: Language = "en", **changes: Any) -> Report:
    """A report of notices."""
    report = opportunities.report(
        TENANT,
        PERIOD,
        as_of=AS_OF,
        zone="Europe/Istanbul",
        language=language,
        tally=Tally(8, 4, 1),
        aggregates=AGGREGATES,
    )
    return replace(report, **changes)


def make_analytics(language: Language = "en") -> tuple[Report, list[Row]]:
    report = analytics.report(
        TENANT,
        PERIOD,
        as_of=AS_OF,
        zone="Europe/Istanbul",
        language=language,
        tally=Tally(8, 4, 1),
        aggregates=AGGREGATES,
    )
    return report, list(analytics.rows(AGGREGATES, PERIOD, language, notices=8))


def local_row(**changes: Any) -> Row:
    """A row as it leaves the spool: its deadline on the tenant's clock."""
    row = make_row(**changes)
    return tuple(cell.astimezone(ISTANBUL) if isinstance(cell, datetime) else cell for cell in row)


def written(write: Any, report: Report, rows: Iterable[Row], **options: Any) -> bytes:
    file = io.BytesIO()
    write(file, report, rows, **options)
    return file.getvalue()


def pdf_opened(file: bytes) -> Any:
    return pypdfium2.PdfDocument(file)


def pdf_texts(file: bytes) -> list[str]:
    """The text of each page, its lines joined by spaces."""
    pages = pdf_opened(file)
    return [" ".join(page.get_textpage().get_text_bounded().split()) for page in pages]
