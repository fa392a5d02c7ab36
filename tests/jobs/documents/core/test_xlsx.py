import io
import zipfile
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from jobs.documents.core import xlsx
from jobs.documents.core.model import Report, Row
from tests.jobs.documents.core.reports import local_row, make_analytics, make_report, written


def made(tmp_path: Path, report: Report, rows: Iterable[Row], **options: Any) -> bytes:
    return written(xlsx.write, report, rows, tmpdir=str(tmp_path), **options)


def opened(tmp_path: Path, report: Report, rows: Iterable[Row], **options: Any) -> Any:
    return openpyxl.load_workbook(io.BytesIO(made(tmp_path, report, rows, **options)))


def test_cells_have_the_types_of_their_values(tmp_path: Path) -> None:
    sheet = opened(tmp_path, make_report(), [local_row()])["Notices"]

    cells = sheet[2]
    assert [cells[at].data_type for at in (0, 1, 5, 6, 8, 10, 11)] == list("ssddsns")
    assert cells[5].value == datetime(2026, 2, 3)  # noqa: DTZ001 - a cell knows no zones
    assert cells[6].value == datetime(2026, 4, 2, 0, 30)  # noqa: DTZ001 - a cell knows no zones
    assert (cells[10].value, cells[10].number_format) == (1234567.89, "#,##0.00 [$USD]")
    assert (cells[5].number_format, cells[6].number_format) == ("yyyy-mm-dd", "yyyy-mm-dd hh:mm")
    assert sheet["G1"].value == "Response deadline (Europe/Istanbul)"


def test_a_deadline_that_is_only_a_day_has_no_hour(tmp_path: Path) -> None:
    row = local_row(due_at=None, due_on=date(2026, 4, 1))

    cell = opened(tmp_path, make_report(), [row])["Notices"]["G2"]

    assert cell.number_format == "yyyy-mm-dd"


def test_the_head_is_bold_frozen_and_filters(tmp_path: Path) -> None:
    sheet = opened(tmp_path, make_report(), [local_row()] * 5)["Notices"]

    assert sheet.freeze_panes == "A2"
    assert sheet.auto_filter.ref == "A1:N6"
    assert all(cell.font.bold for cell in sheet[1])
    assert sheet.column_dimensions["B"].width > 50


@pytest.mark.parametrize(
    "text",
    [
        "=cmd|' /C calc'!A0",
        "+1+1",
        "-1-1",
        "@SUM(A1)",
        "\t=1+1",
        "{=1+1}",
        "https://evil.example/",
        "mailto:a@b.example",
        "0012",
        "ığüşöçİ 漢字 🚀 \x07 \ufffe & < >",
    ],
)
def test_a_text_stays_a_text(tmp_path: Path, text: str) -> None:
    book = opened(
        tmp_path,
        make_report(tenant_name=text),
        [local_row(title=text, award_currency=text, notice_type=text)],
    )

    cell = book["Notices"]["B2"]
    assert (cell.data_type, cell.hyperlink) == ("s", None)
    shown = openpyxl.utils.escape.unescape(cell.value)
    assert shown in {text, text.replace("\r", "\n")}
    assert not [c for sheet in book for row in sheet for c in row if c.data_type == "f"]


def test_a_text_that_looks_like_markup_of_the_library_is_escaped(tmp_path: Path) -> None:
    attack = '<r><t>a</t></r></is></c><c r="Z9"><f>1+1</f></c><c><is><r></r>'

    sheet = opened(tmp_path, make_report(), [local_row(title=attack)])["Notices"]

    assert sheet["B2"].value.strip() == attack
    assert sheet["Z9"].value is None


def test_a_text_too_long_for_a_cell_is_cut_visibly(tmp_path: Path) -> None:
    sheet = opened(tmp_path, make_report(), [local_row(title="x" * 40_000)])["Notices"]

    assert len(sheet["B2"].value) == xlsx.MAX_TEXT
    assert sheet["B2"].value.endswith("x…")


def test_the_table_goes_on_in_the_next_sheet(tmp_path: Path) -> None:
    rows = [local_row(notice_id=str(number)) for number in range(8)]

    book = opened(tmp_path, make_report(), rows, max_rows=5)

    assert book.sheetnames == ["Summary", "Notices", "Notices 2"]
    found = [sheet.cell(row, 1).value for sheet in book.worksheets[1:] for row in range(2, 6)]
    assert found == [str(number) for number in range(8)]
    assert [sheet.auto_filter.ref for sheet in book.worksheets[1:]] == ["A1:N5", "A1:N5"]


def test_without_rows_there_is_a_head(tmp_path: Path) -> None:
    sheet = opened(tmp_path, make_report(), [])["Notices"]

    assert (sheet.max_row, sheet["A1"].value) == (1, "Notice ID")


def test_the_summary_has_the_figures_and_a_chart(tmp_path: Path) -> None:
    report = make_report("tr")

    sheet = opened(tmp_path, report, [local_row()])["Özet"]

    lines = {row[0].value: row[1].value for row in sheet if row[0].value}
    assert sheet["A1"].value == "İhale fırsatları"
    assert lines["Hazırlanan kurum"] == "Iğdır Yapı A.Ş."
    assert lines["Veri zamanı (Europe/Istanbul)"] == datetime(2026, 3, 20, 14, 5)  # noqa: DTZ001 - a cell knows no zones
    assert (lines["İlanlar"], lines["Teklife açık"], lines["Oca 26"]) == (8, 4, 5)
    assert lines["Sözleşmeye bağlanan (USD)"] == 100.1
    assert len(sheet._charts) == 1


def test_sums_are_numbers_and_shares_are_percentages(tmp_path: Path) -> None:
    sheet = opened(tmp_path, *make_analytics())["Opportunity analytics"]

    row = next(row for row in sheet if row[1].value == "Award Notice")
    assert (row[2].value, row[3].value, row[3].number_format) == (1, 0.125, "0.0%")


def test_the_same_report_is_the_same_bytes(tmp_path: Path) -> None:
    first = made(tmp_path, make_report(), [local_row()] * 3)

    assert made(tmp_path, make_report(), [local_row()] * 3) == first
    created = openpyxl.load_workbook(io.BytesIO(first)).properties.created
    assert created.replace(tzinfo=UTC) == datetime(2026, 3, 20, 11, 5, tzinfo=UTC)
    assert not list(tmp_path.iterdir())


def test_days_before_the_calendar_of_excel_are_texts(tmp_path: Path) -> None:
    row = local_row(due_at=None, due_on=date(1815, 6, 18))

    assert opened(tmp_path, make_report(), [row])["Notices"]["G2"].value == "1815-06-18"


def test_amounts_are_exact_as_far_as_a_cell_can_hold_them(tmp_path: Path) -> None:
    row = local_row(award_amount=Decimal("9999999999999.99"), award_currency=None)

    file = made(tmp_path, make_report(), [row])

    with zipfile.ZipFile(io.BytesIO(file)) as book:
        assert b"<v>9999999999999.99</v>" in book.read("xl/worksheets/sheet2.xml")
