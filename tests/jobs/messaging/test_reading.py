from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from jobs.messaging.reading import FILTERS, Reader, read_by

AT = datetime(2026, 12, 5, 22, 30, tzinfo=UTC)
MAIL, SMS = Reader("tr", "Europe/Istanbul", "email"), Reader("tr", "Europe/Istanbul", "sms")


def test_filters_say_it_as_the_reader_does() -> None:
    with read_by(MAIL):
        assert FILTERS["money"](Decimal(5), "TRY") == "₺5,00"
        assert FILTERS["number"](12500) == "12.500"
        assert FILTERS["full_date"](AT) == "6 Aralık 2026 Pazar"
        assert FILTERS["long_date"](date(2026, 12, 6)) == "6 Aralık 2026"
        assert FILTERS["short_date"](AT) == "6 Ara 2026"
        assert FILTERS["clock_time"](AT) == "01:30"
        assert FILTERS["date_time"](AT) == "6 Aralık 2026 01:30"
        assert FILTERS["zone_name"](AT) == "İstanbul, GMT+03:00"
        assert FILTERS["upper"]("ılıki") == "ILIKİ"


def test_an_sms_is_spared_signs_that_telephones_lack() -> None:
    with read_by(SMS):
        assert FILTERS["money"](Decimal(5), "TRY") == "5,00 TL"


def test_each_rendering_has_its_own_reader() -> None:
    with read_by(MAIL):
        with read_by(Reader("en", "America/New_York", "email")):
            assert FILTERS["clock_time"](AT) == "5:30 PM"
        assert FILTERS["clock_time"](AT) == "01:30"
    with pytest.raises(LookupError):
        FILTERS["clock_time"](AT)


def test_a_link_leads_to_pages_and_people() -> None:
    for target in ("https://x.example/", "mailto:a@x.example", "tel:112", "#top"):
        assert FILTERS["leading"](target) == target
    with pytest.raises(ValueError, match="leads to no page"):
        FILTERS["leading"]("javascript:alert(1)")
