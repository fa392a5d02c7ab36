"""A report as a PDF: summary first, then the table over as many pages as it takes.

The same report and rows make the same bytes. Lengths are points (1/72 inch).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, BinaryIO

from reportlab.lib.pagesizes import A4, landscape
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.platypus import (
    CondPageBreak,
    Flowable,
    LongTable,
    NextPageTemplate,
    Spacer,
    TableStyle,
)

from jobs.documents.core import formats
from jobs.documents.core.labels import text
from jobs.documents.core.model import Kind, Report, Row
from jobs.documents.core.pdf_page import MARGIN, document, numbered_canvas
from jobs.documents.core.pdf_summary import summary
from jobs.documents.core.pdf_text import (
    INK,
    LINE,
    MAX_TEXT,
    MUTED,
    NAVY,
    REGULAR,
    WHITE,
    ZEBRA,
    paragraph,
    printable,
    style,
)

# Some 300 pages: nobody reads more, and a PDF is laid out in memory.
MAX_ROWS = 5000

_PADDING = 4
_MOST_COLUMNS_UPRIGHT = 7
_ON_THE_RIGHT = frozenset({Kind.COUNT, Kind.SHARE, Kind.MONEY})
_SIZE = 7
_MOST_LINES = 24
_LEFT = style(_SIZE)
_RIGHT = style(_SIZE, alignment=2)


def write(target: BinaryIO, report: Report, rows: Iterable[Row]) -> int:
    """Write the PDF; returns the number of rows. The caller keeps them under MAX_ROWS."""
    columns = [column for column in report.columns if column.weight]
    size = A4 if len(columns) <= _MOST_COLUMNS_UPRIGHT else landscape(A4)
    width = size[0] - 2 * MARGIN
    table = _Tables(report, width)
    story = [NextPageTemplate("next"), *summary(report, width), Spacer(1, 14)]
    story.extend(table.flowables(rows))
    document(target, report, size).build(story, canvasmaker=numbered_canvas(report))
    return table.number


@dataclass(slots=True)
class _Tables:
    """The report's table as flowables; `number` counts its rows."""

    report: Report
    width: float
    number: int = 0

    def flowables(self, rows: Iterable[Row]) -> Iterator[Flowable]:
        heading = style(12, is_bold=True, textColor=NAVY, spaceAfter=5, spaceBefore=10)
        groups: Iterator[tuple[str, Iterator[Row]]]
        if self.report.is_grouped:
            groups = ((str(title), found) for title, found in groupby(rows, key=lambda row: row[0]))
        else:
            groups = iter([(self.report.table_title, iter(rows))])
        for title, found in groups:
            lines = [self._line(row) for row in found]
            if self.report.is_grouped:
                _blank_repeats(lines)
            self.number += len(lines)
            yield CondPageBreak(90)
            yield paragraph(title, heading)
            yield self._table(lines) if lines else self._nothing()

    def _nothing(self) -> Flowable:
        return paragraph(text("nothing", self.report.language), style(9, textColor=MUTED))

    def _table(self, lines: list[list[Any]]) -> Flowable:
        head = style(_SIZE, is_bold=True, textColor=WHITE)
        right = style(_SIZE, is_bold=True, textColor=WHITE, alignment=2)
        titles = [
            paragraph(column.title, right if column.kind in _ON_THE_RIGHT else head)
            for column in self.report.columns
            if column.weight
        ]
        return LongTable(
            [titles, *lines], colWidths=self._widths(), repeatRows=1, style=self._look()
        )

    def _look(self) -> TableStyle:
        shown = [column for column in self.report.columns if column.weight]
        return TableStyle(
            [
                ("FONT", (0, 0), (-1, -1), REGULAR, _SIZE, 9),
                ("TEXTCOLOR", (0, 1), (-1, -1), INK),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("BACKGROUND", (0, 0), (-1, 0), NAVY),
                ("ROWBACKGROUNDS", (0, 1), (-1, -1), [WHITE, ZEBRA]),
                ("LINEBELOW", (0, 1), (-1, -1), 0.3, LINE),
                ("LEFTPADDING", (0, 0), (-1, -1), _PADDING),
                ("RIGHTPADDING", (0, 0), (-1, -1), _PADDING),
                ("TOPPADDING", (0, 0), (-1, -1), 3),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 4),
                *(
                    ("ALIGN", (at, 0), (at, -1), "RIGHT")
                    for at, column in enumerate(shown)
                    if column.kind in _ON_THE_RIGHT
                ),
            ]
        )

    def _widths(self) -> list[float]:
        weights = [column.weight for column in self.report.columns if column.weight]
        return [self.width * weight / sum(weights) for weight in weights]

    def _line(self, row: Row) -> list[Any]:
        columns = self.report.columns
        link = next((row[at] for at, c in enumerate(columns) if c.kind is Kind.LINK), None)
        widths = iter(self._widths())
        line: list[Any] = []
        for at, column in enumerate(columns):
            if column.weight:
                currency = str(row[at + 1] or "") if column.kind is Kind.MONEY else ""
                shown = formats.cell(row[at], column.kind, self.report.language, currency=currency)
                # The first column stands for the row, and leads to it.
                target = str(link) if link and not line else None
                line.append(_cell(shown, column.kind, next(widths), target))
        return line


def _cell(shown: str, kind: Kind, width: float, link: str | None) -> Any:
    room = width - 2 * _PADDING
    # The widest letters are as wide as high. A row higher than its page would be an error.
    limit = min(MAX_TEXT, int(room / _SIZE * _MOST_LINES))
    shown = printable(shown, limit=limit)
    if link is None and stringWidth(shown, REGULAR, _SIZE) <= room:
        return shown  # not a paragraph: it needs no wrapping, and is ten times faster
    return paragraph(shown, _RIGHT if kind in _ON_THE_RIGHT else _LEFT, limit=limit, link=link)


def _blank_repeats(lines: list[list[Any]]) -> None:
    """A value that goes on in a second line is named in its first."""
    named: Any = None
    for line in lines:
        if line[0] == named:
            line[0] = ""
        else:
            named = line[0]
