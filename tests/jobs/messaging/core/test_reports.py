from datetime import date

import pytest

from jobs.messaging.core.reports import file_name, period_text

MONDAY, SUNDAY = date(2026, 11, 16), date(2026, 11, 22)


@pytest.mark.parametrize(
    ("first", "last", "locale", "text"),
    [
        (MONDAY, SUNDAY, "en", "Nov 16 – 22, 2026"),
        (MONDAY, SUNDAY, "tr", "16–22 Kas 2026"),
        (MONDAY, MONDAY, "en", "Nov 16, 2026"),
        (MONDAY, MONDAY, "tr", "16 Kas 2026"),
        (date(2026, 12, 28), date(2027, 1, 3), "tr", "28 Ara 2026 – 3 Oca 2027"),
    ],
)
def test_a_period_is_told_as_one_says_it(first: date, last: date, locale: str, text: str) -> None:
    assert period_text(first, last, locale=locale) == text


@pytest.mark.parametrize(
    ("title", "key", "name"),
    [
        ("Haftalık özet", "reports/1/a.pdf", "Haftalık-özet-2026-11-16_2026-11-22.pdf"),
        ("../../etc/passwd", "reports/1/a.xlsx", "etc-passwd-2026-11-16_2026-11-22.xlsx"),
        ('a"\r\nBcc: b', "reports/1/a.csv", "a-Bcc-b-2026-11-16_2026-11-22.csv"),
        ("🚧", "reports/1/a.csv", "report-2026-11-16_2026-11-22.csv"),
        ("x", "reports/1.2/a", "x-2026-11-16_2026-11-22"),
    ],
)
def test_a_file_has_a_name_that_every_disk_takes(title: str, key: str, name: str) -> None:
    assert file_name(title, MONDAY, SUNDAY, key) == name


def test_a_long_title_is_cut() -> None:
    assert len(file_name("ü" * 500, MONDAY, SUNDAY, "reports/1/a.pdf")) < 100
