import io
import re
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from jobs.documents.core import pdf
from jobs.documents.core.model import Language, Report, Row
from tests.jobs.documents.core.reports import (
    local_row,
    make_analytics,
    make_report,
    pdf_opened,
    pdf_texts,
    written,
)


def texts(report: Report, rows: list[Row]) -> list[str]:
    return pdf_texts(written(pdf.write, report, rows))


@pytest.mark.parametrize(
    ("language", "head", "page"),
    [
        ("en", "Title Solicitation no. Type Department / agency", "Page {} of {}"),
        ("tr", "Başlık İhale no İlan türü Bakanlık / kurum", "Sayfa {} / {}"),
    ],
)
def test_each_page_has_the_head_of_the_table_and_its_number(
    language: Language, head: str, page: str
) -> None:
    rows = [local_row(title=f"Notice number {number}.") for number in range(100)]

    pages = texts(make_report(language), rows)

    assert len(pages) > 3
    for number, shown in enumerate(pages, 1):
        assert shown.count(head) == 1
        assert shown.count(page.format(number, len(pages))) == 1
    found = re.findall(r"Notice number (\d+)\.", " ".join(pages))
    assert found == [str(number) for number in range(100)]


def test_turkish_letters_are_text_in_an_embedded_font() -> None:
    title = "Çığır açan İşğüö ŞĞÜÖÇIİ – ₺"

    file = written(pdf.write, make_report("tr"), [local_row(title=title)])

    page = pdf_texts(file)[0]
    assert title in page
    assert "Iğdır Yapı A.Ş. İhale fırsatları 1 Ocak 2026 – 31 Mart 2026" in page
    assert "₺0,20" in page
    assert len(re.findall(rb"/FontFile2", file)) == 2
    assert re.search(rb"/BaseFont /[A-Z]{6}\+FiraSans-Regular", file)


def test_days_hours_and_money_are_written_as_the_language_has_them() -> None:
    english, turkish = (texts(make_report(language), [local_row()])[0] for language in ("en", "tr"))

    assert "Feb 3, 2026 Apr 2, 2026, 12:30 AM" in english
    assert "$1,234,567.89" in english
    assert "Data as of Mar 20, 2026, 2:05 PM (Europe/Istanbul)" in english
    assert "3 Şub 2026 2 Nis 2026, 00:30" in turkish
    assert "$1.234.567,89" in turkish


def test_the_document_says_what_it_is() -> None:
    file = written(pdf.write, make_report("tr"), [local_row()])

    document = pdf_opened(file)
    facts = document.get_metadata_dict()
    assert (facts["Title"], facts["Author"]) == ("İhale fırsatları", "deskhand")
    assert b"/Lang (tr-TR)" in file


def test_the_same_report_is_the_same_bytes() -> None:
    rows = [local_row(title=f"Notice {number}") for number in range(40)]

    assert written(pdf.write, make_report(), rows) == written(pdf.write, make_report(), rows)


HOSTILE = [
    "<b>bold</b> & <a href='file:///etc/passwd'>x</a>",
    "<para><font size=90>",
    "&amp; &#65; ]]>",
    "漢字 and 🚀 and العربية",
    "x" * 20_000,
    "W" * 20_000,
    "WWWWWWWW " * 900,
    "line\nafter\rline\t" * 300,
    "\x01\x07\x1b\u200b\u202e\ufeff",
    "",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_can_break_the_document(text: str) -> None:
    fields: dict[str, Any] = dict.fromkeys(
        ("title", "solicitation_number", "notice_type", "department", "set_aside", "awardee_name"),
        text,
    )
    row = local_row(**fields, place_city=text, award_currency=text, naics_codes=(text,) * 9)
    report = make_report(tenant_name=text)

    assert len(texts(report, [row] * 3)) >= 1


def test_markup_in_a_title_is_shown_as_it_is() -> None:
    title = "<b>bold</b> & <i>more</i>"

    assert title in texts(make_report(), [local_row(title=title)])[0]


def test_letters_that_the_font_lacks_are_replaced_visibly() -> None:
    assert "?? and ? mail" in texts(make_report(), [local_row(title="漢字 and 🚀 mail")])[0]


def test_a_title_leads_to_its_notice_but_never_to_a_program() -> None:
    good = written(pdf.write, make_report(), [local_row(link="https://sam.gov/opp/1/view")])
    bad = written(pdf.write, make_report(), [local_row(link="javascript:alert(1)")])

    assert b"/URI (https://sam.gov/opp/1/view)" in good
    assert b"/URI" not in bad


def test_a_report_without_notices_says_so() -> None:
    assert "No notices in this period." in texts(make_report(), [])[0]


def test_sums_stand_under_the_name_of_their_group() -> None:
    [page] = texts(*make_analytics("tr"))

    assert "Aylara göre Değer İlanlar Pay Sözleşmeler Toplam bedel Ocak 2026 5 %62,5 1" in page
    assert "İlan türüne göre" in page
    assert "Solicitation 7 %87,5 1 ₺0,20 1 $100,10" in page


def test_a_table_of_a_thousand_rows_is_laid_out() -> None:
    row = local_row(award_amount=Decimal(1), due_at=None, due_on=date(2026, 4, 1))

    assert pdf.write(io.BytesIO(), make_report(), [row] * 1000) == 1000


def test_higher_counts_are_drawn_as_higher_bars() -> None:
    report = make_report()
    tall = replace(report.chart, bars=tuple(replace(bar, value=9) for bar in report.chart.bars))

    pictures = []
    for chart in (report.chart, tall):
        file = written(pdf.write, replace(report, chart=chart), [])
        page = pdf_opened(file)[0].render(scale=1).to_pil()
        colours = {colour: number for number, colour in page.getcolors(page.width * page.height)}
        pictures.append(colours[31, 122, 140])
    assert pictures[1] > pictures[0] * 1.5
