from datetime import UTC, date, datetime
from decimal import Decimal

from jobs.documents.core.model import Bar, Figure, Money
from tests.jobs.documents.core.reports import make_report, make_row


def test_a_row_says_what_the_notice_says() -> None:
    assert make_row() == (
        "f2483be142e64eeabcc5fba2f8992251",
        "Roof replacement",
        "W912-26-R-0001",
        "Solicitation",
        "DEPT OF DEFENSE / DEPT OF THE ARMY",
        date(2026, 2, 3),
        datetime(2026, 4, 1, 21, 30, tzinfo=UTC),
        "8(a) Set-Aside",
        "238160, 236220",
        "Lexington, KY, USA",
        Decimal("1234567.89"),
        "USD",
        "Öztürk İnşaat A.Ş.",
        "https://sam.gov/opp/f2483be142e64eeabcc5fba2f8992251/view",
    )


def test_what_is_not_known_is_empty() -> None:
    row = make_row(department=None, sub_tier=None, naics_codes=(), place_city="", place_state=None)

    assert (row[4], row[8], row[9]) == (None, None, "USA")


def test_a_deadline_may_be_only_a_day() -> None:
    assert make_row(due_at=None, due_on=date(2026, 4, 1))[6] == date(2026, 4, 1)


def test_there_is_a_column_for_each_cell_and_the_zone_is_named() -> None:
    columns = make_report("tr").columns

    assert len(columns) == len(make_row())
    assert columns[6].title == "Son teklif tarihi (Europe/Istanbul)"


def test_the_summary_counts_and_sums() -> None:
    report = make_report()

    assert report.figures == (
        Figure("Notices", 8),
        Figure("Open for response", 4),
        Figure("Closing within 7 days", 1),
        Figure("Awarded (TRY)", Money(Decimal("0.20"), "TRY")),
        Figure("Awarded (USD)", Money(Decimal("100.10"), "USD")),
    )
    assert report.counts is not None
    assert report.counts.bars == (Bar("Solicitation", 7), Bar("Award Notice", 1))
