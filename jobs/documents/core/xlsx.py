"""A report as an Excel workbook: a summary with a chart, and the table on typed cells.

Rows go to disk as they come (`constant_memory`); nothing of a text is ever read as a formula.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, BinaryIO

from xlsxwriter import Workbook

from jobs.documents.core import formats
from jobs.documents.core.labels import text
from jobs.documents.core.model import Cell, Kind, Money, Report, Row

# https://support.microsoft.com: "Excel specifications and limits".
MAX_ROWS = 1_048_576
MAX_TEXT = 32_767
_FIRST_DAY = date(1900, 3, 1)  # before it Excel's calendar has a day that never was

_DAY = "yyyy-mm-dd"
_INSTANT = "yyyy-mm-dd hh:mm"
_CURRENCY_LENGTH = 3


def write(
    target: BinaryIO, report: Report, rows: Iterable[Row], *, tmpdir: str, max_rows: int = MAX_ROWS
) -> int:
    """Write the workbook; returns the number of rows below the heads.

    tmpdir    where rows wait until the file is packed; about as large as the table
    max_rows  rows a sheet may have, its head included; the table goes on in the next sheet
    """
    workbook = Workbook(
        target,
        {
            "constant_memory": True,
            "strings_to_formulas": False,
            "strings_to_urls": False,
            "strings_to_numbers": False,
            "tmpdir": tmpdir,
        },
    )
    # Not the clock: the same report is the same bytes.
    created = report.as_of.astimezone(UTC).replace(tzinfo=None, microsecond=0)
    workbook.set_properties({"title": report.title, "author": "deskhand", "created": created})
    styles = _Styles(workbook)
    _write_summary(workbook, styles, report)
    number = _write_table(workbook, styles, report, rows, max_rows)
    workbook.close()
    return number


def safe(value: str) -> str:
    """A text that fits in a cell, and stays a text."""
    if len(value) > MAX_TEXT:
        value = value[: MAX_TEXT - 1] + "…"
    # xlsxwriter takes such a text for markup of its own, and writes it unescaped.
    return value + " " if value.startswith("<r>") and value.endswith("</r>") else value


@dataclass(slots=True)
class _Styles:
    """The workbook's formats, each made once."""

    workbook: Any
    made: dict[str, Any] = field(default_factory=dict)

    def get(self, name: str, **properties: Any) -> Any:
        if name not in self.made:
            base = {"font_name": "Calibri", "font_size": 11, "valign": "top"}
            self.made[name] = self.workbook.add_format(base | properties)
        return self.made[name]

    def head(self) -> Any:
        return self.get(
            "head", bold=True, font_color="#FFFFFF", bg_color="#16324F", text_wrap=True, border=0
        )

    def number(self, pattern: str) -> Any:
        return self.get(pattern, num_format=pattern)

    def money(self, currency: Cell) -> Any:
        # Only what looks like a code: the pattern is no place for other people's text.
        is_code = (
            isinstance(currency, str)
            and len(currency) == _CURRENCY_LENGTH
            and currency.isascii()
            and currency.isalpha()
        )
        return self.number(f"#,##0.00 [${currency}]" if is_code else "#,##0.00")


def _write_cell(sheet: Any, styles: _Styles, at: tuple[int, int], cell: Cell, style: Any) -> None:
    row, column = at
    match cell:
        case None:
            pass
        case str():
            sheet.write_string(row, column, safe(cell), style)
        case date() if _day_of(cell) < _FIRST_DAY:
            sheet.write_string(row, column, cell.isoformat(), style)
        case datetime():
            # On the clock of its zone, which the head names: a cell knows no zones.
            naive = cell.replace(tzinfo=None)
            sheet.write_datetime(row, column, naive, styles.number(_INSTANT))
        case date():
            sheet.write_datetime(row, column, cell, styles.number(_DAY))
        case _:
            # A cell holds 15 digits: amounts from 10 trillion on lose their cents in Excel itself.
            sheet.write_number(row, column, cell, style)


def _day_of(value: date) -> date:
    return value.date() if isinstance(value, datetime) else value


def _style(styles: _Styles, kind: Kind, currency: Cell) -> Any:
    match kind:
        case Kind.MONEY:
            return styles.money(currency)
        case Kind.SHARE:
            return styles.number("0.0%")
        case Kind.COUNT:
            return styles.number("#,##0")
        case _:
            return styles.get("plain")


def _write_table(
    workbook: Any, styles: _Styles, report: Report, rows: Iterable[Row], max_rows: int
) -> int:
    kinds = [column.kind for column in report.columns]
    source, number, sheets = iter(rows), 0, 0
    row = next(source, None)
    while row is not None or sheets == 0:
        sheets += 1
        sheet = _add_sheet(workbook, styles, report, sheets)
        at = 1
        while row is not None and at < max_rows:
            _write_row(sheet, styles, at, row, kinds)
            row = next(source, None)
            at += 1
        sheet.autofilter(0, 0, at - 1, len(kinds) - 1)
        number += at - 1
    return number


def _write_row(sheet: Any, styles: _Styles, at: int, row: Row, kinds: list[Kind]) -> None:
    for index, (kind, cell) in enumerate(zip(kinds, row, strict=True)):
        if cell is not None:
            currency = row[index + 1] if kind is Kind.MONEY else None
            _write_cell(sheet, styles, (at, index), cell, _style(styles, kind, currency))


def _add_sheet(workbook: Any, styles: _Styles, report: Report, number: int) -> Any:
    name = report.table_title if number == 1 else f"{report.table_title} {number}"
    sheet = workbook.add_worksheet(name)
    sheet.freeze_panes(1, 0)
    sheet.set_landscape()
    sheet.repeat_rows(0)
    for index, column in enumerate(report.columns):
        sheet.set_column(index, index, column.width)
    for index, column in enumerate(report.columns):
        sheet.write_string(0, index, column.title, styles.head())
    return sheet


def _write_summary(workbook: Any, styles: _Styles, report: Report) -> None:
    """Facts, figures, counts and the chart's numbers, one below the other; the chart beside."""
    language = report.language
    sheet = workbook.add_worksheet(text("summary", language))
    sheet.hide_gridlines(2)
    sheet.set_column(0, 0, 34)
    sheet.set_column(1, 1, 28)
    title = styles.get("title", bold=True, font_size=18, font_color="#16324F")
    sheet.write_string(0, 0, safe(report.title), title)
    at = _write_pairs(sheet, styles, 1, _facts(report))
    at = _write_pairs(sheet, styles, at + 1, [(f.label, f.value) for f in report.figures])
    if report.counts is not None:
        sheet.write_string(at + 1, 0, report.counts.title, styles.head())
        sheet.write_string(at + 1, 1, text("notices", language), styles.head())
        at = _write_pairs(sheet, styles, at + 2, [(b.label, b.value) for b in report.counts.bars])
    sheet.write_string(at + 1, 0, report.chart.title, styles.head())
    sheet.write_string(at + 1, 1, text("notices", language), styles.head())
    first = at + 2
    last = _write_pairs(sheet, styles, first, [(b.label, b.value) for b in report.chart.bars]) - 1
    chart = workbook.add_chart({"type": "column"})
    chart.add_series(
        {
            "categories": [sheet.name, first, 0, last, 0],
            "values": [sheet.name, first, 1, last, 1],
            "fill": {"color": "#1F7A8C"},
            "gap": 60,
        }
    )
    chart.set_title({"name": report.chart.title, "name_font": {"size": 12, "color": "#16324F"}})
    chart.set_legend({"none": True})
    chart.set_y_axis({"num_format": "#,##0", "major_gridlines": {"visible": True}})
    sheet.insert_chart(1, 3, chart, {"x_scale": 1.6, "y_scale": 1.3})


def _facts(report: Report) -> list[tuple[str, Cell]]:
    language = report.language
    return [
        (text("tenant", language), report.tenant_name),
        (text("period", language), formats.period(report.period, language)),
        (text("as_of", language, zone=report.zone), report.as_of),
    ]


def _write_pairs(
    sheet: Any, styles: _Styles, at: int, pairs: Iterable[tuple[str, Cell | Money]]
) -> int:
    """Write label and value from line `at` on; returns the next free line."""
    label_style = styles.get("label", font_color="#44546A")
    for label, value in pairs:
        sheet.write_string(at, 0, safe(label), label_style)
        cell, style = (
            (value.amount, styles.money(value.currency))
            if isinstance(value, Money)
            else (value, styles.number("#,##0"))
        )
        _write_cell(sheet, styles, (at, 1), cell, style)
        at += 1
    return at
