import io
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from jobs.documents.core import opportunities, spool
from jobs.documents.core.model import Notice
from tests.jobs.documents.core.reports import (
    ISTANBUL,
    NOTICE,
    local_row,
    make_analytics,
    make_notice,
)

COLUMNS = opportunities.columns("en", "Europe/Istanbul")


@pytest.mark.parametrize(
    "notice",
    [
        NOTICE,
        make_notice(due_at=None, due_on=date(2026, 4, 1)),
        make_notice(due_at=None, award_amount=None, award_currency=None, link=None),
        make_notice(title='a "line"\r\nand\t\u2028another 🚀', award_amount=Decimal("-0.10")),
        make_notice(award_amount=Decimal("9999999999999999.99")),
        make_notice(naics_codes=(), place_city=None, place_state="", place_country=None),
    ],
)
def test_rows_come_back_as_they_were(notice: Notice) -> None:
    file = io.BytesIO(spool.dump([opportunities.row(notice)] * 2))

    assert list(spool.load(file, COLUMNS, ISTANBUL)) == [opportunities.row(notice)] * 2


def test_an_instant_comes_back_on_the_clock_of_the_zone() -> None:
    file = io.BytesIO(spool.dump([opportunities.row(NOTICE)]))

    [row] = spool.load(file, COLUMNS, ISTANBUL)

    assert str(row[6]) == "2026-04-02 00:30:00+03:00"
    assert row == local_row()


def test_an_amount_keeps_its_digits_and_its_type() -> None:
    file = io.BytesIO(spool.dump([opportunities.row(make_notice(award_amount=Decimal("1.10")))]))

    [row] = spool.load(file, COLUMNS, ISTANBUL)

    assert isinstance(row[10], Decimal)
    assert str(row[10]) == "1.10"


def test_sums_come_back_as_they_were() -> None:
    report, rows = make_analytics()

    assert list(spool.load(io.BytesIO(spool.dump(rows)), report.columns, ISTANBUL)) == rows


def test_the_last_instant_of_the_calendar_is_no_error() -> None:
    last = datetime(9999, 12, 31, 23, 59, tzinfo=UTC)

    assert spool.local(last, ISTANBUL) == last
