from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from jobs.sam_gov import core
from tests.jobs.sam_gov.samples import MISSING, mapped


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (" 47PF0018R0023 ", "47PF0018R0023"),
        ("\u00a0X-1\u00a0", "X-1"),
        ("null", None),
        ("NULL ", None),
        ("", None),
        (None, None),
        ({}, None),
        ([], None),
        (True, None),
        (4711, "4711"),
        ("a\x00b", "a b"),
        ("two\r\nlines", "two lines"),
        ("broken \ud83d pair", "broken \ufffd pair"),
        ("İğdır ŞIŞLİ", "İğdır ŞIŞLİ"),
        ("two  spaces", "two  spaces"),
        (MISSING, None),
    ],
)
def test_texts(written: Any, text: str | None) -> None:
    assert mapped(solicitationNumber=written).solicitation_number == text


@pytest.mark.parametrize(
    ("written", "due_at", "due_on"),
    [
        ("2026-12-05T17:00:00-05:00", datetime(2026, 12, 5, 22, tzinfo=UTC), None),
        ("2026-12-05T17:00:00+0300", datetime(2026, 12, 5, 14, tzinfo=UTC), None),
        ("2026-12-05T17:00:00.000Z", datetime(2026, 12, 5, 17, tzinfo=UTC), None),
        ("2026-12-05 17:00:00+00", datetime(2026, 12, 5, 17, tzinfo=UTC), None),
        ("2026-12-05", None, date(2026, 12, 5)),
        (" 2026-12-05 ", None, date(2026, 12, 5)),
        ("12/05/2026", None, date(2026, 12, 5)),
        ("2026-12-05T17:00:00", None, date(2026, 12, 5)),
        ("TBD", None, None),
        ("null", None, None),
        ("", None, None),
        (None, None, None),
        ({}, None, None),
    ],
)
def test_deadlines(written: Any, due_at: datetime | None, due_on: date | None) -> None:
    found = mapped(responseDeadLine=written)

    assert (found.response_due_at, found.response_due_on) == (due_at, due_on)


@pytest.mark.parametrize("written", ["2018-05-09", "2018-05-09 23:45:22+00", "2018-05-09T01:00:00"])
def test_the_posting_day_is_the_written_one(written: str) -> None:
    assert mapped(postedDate=written).posted_on == date(2018, 5, 9)


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        ("800620", Decimal("800620.00")),
        ("350567.00", Decimal("350567.00")),
        ("$1,234,567.895", Decimal("1234567.90")),
        ("USD 7,015,000", Decimal("7015000.00")),
        ("US$ 12.5", Decimal("12.50")),
        ("00000.00000000", Decimal("0.00")),
        (".5", Decimal("0.50")),
        (48250, Decimal("48250.00")),
        (0.1, Decimal("0.10")),
        (Decimal("1E+6"), Decimal("1000000.00")),
    ],
)
def test_amounts(written: Any, amount: Decimal) -> None:
    found = mapped(award={"amount": written})

    assert (found.award_amount, found.award_currency) == (amount, "USD")


@pytest.mark.parametrize(
    ("written", "link"),
    [
        ("https://sam.example/opp/1/view", "https://sam.example/opp/1/view"),
        (" http://sam.example/d?noticeid=1 ", "http://sam.example/d?noticeid=1"),
        ("https://sam.example/d?noticeid=1&api_key=SECRET", "https://sam.example/d?noticeid=1"),
        ("null", None),
        ("null/opportunities/v2", None),
        ("javascript:alert(1)", None),
        ("ftp://sam.example/x", None),
        ("https://", None),
        ("https://[broken", None),
        ("https://sam.example/a b", None),
        ("https://sam.example/\r\nx", None),
        ("/opp/1/view", None),
        (7, None),
    ],
)
def test_links(written: Any, link: str | None) -> None:
    assert mapped(uiLink=written, description=written).ui_url == link
    assert mapped(uiLink=written, description=written).description_url == link


@pytest.mark.parametrize(
    ("written", "is_active"),
    [("Yes", True), ("no", False), (False, False), ("true", True), (None, True), (MISSING, True)],
)
def test_activity(written: Any, *, is_active: bool) -> None:
    assert mapped(active=written).is_active is is_active


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("noticeId", None, "noticeId is missing"),
        ("noticeId", "x" * 101, "noticeId is longer than 100 characters"),
        ("title", MISSING, "title is missing"),
        ("title", " null ", "title is missing"),
        ("postedDate", None, "postedDate is missing"),
        ("postedDate", "TBD", "postedDate is missing"),
        ("postedDate", "Monday", "postedDate is not a date"),
        ("postedDate", "0001-01-01", "postedDate is not a date from 1900 to 2199"),
        ("responseDeadLine", "2026-02-30T17:00:00-05:00", "responseDeadLine is not a date"),
        ("responseDeadLine", "0001-01-01T00:00:00+03:00", "responseDeadLine is not a date from"),
        ("archiveDate", "31/12/2026", "archiveDate is not a date"),
        ("active", "perhaps", "active is neither Yes nor No"),
        ("award", {"amount": "1.234,56"}, "award.amount is not an amount"),
        ("award", {"amount": "about $5"}, "award.amount is not an amount"),
        ("award", {"amount": "9" * 17}, "award.amount is no possible amount"),
        ("award", {"amount": float("nan")}, "award.amount is no possible amount"),
        ("award", {"date": "soon"}, "award.date is not a date"),
    ],
)
def test_what_cannot_be_mapped_is_named(field: str, value: Any, sentence: str) -> None:
    with pytest.raises(core.NoticeError, match=f"^{sentence}"):
        mapped(**{field: value})
