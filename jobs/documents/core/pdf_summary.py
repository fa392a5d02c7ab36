"""The first page's upper half: headline, figures, chart and counts."""

from collections.abc import Iterator
from math import ceil
from typing import Any

from reportlab.graphics.charts.barcharts import VerticalBarChart
from reportlab.graphics.shapes import Drawing, String
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.platypus import Flowable, Spacer, Table, TableStyle

from jobs.documents.core import formats
from jobs.documents.core.labels import text
from jobs.documents.core.model import Figure, Money, Report, Series
from jobs.documents.core.pdf_text import (
    ACCENT,
    BOLD,
    INK,
    LINE,
    MUTED,
    NAVY,
    REGULAR,
    ZEBRA,
    paragraph,
    printable,
    style,
)

_CHART_HEIGHT = 168
_COUNTS_SHOWN = 8
_CARD_WIDTH = 130
_BAR_WIDTH = 44
_GAP = 8
_CARD_PADDING = 10
_CARD = (
    ("FONT", (0, 0), (-1, -1), REGULAR),
    ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ("LEFTPADDING", (0, 0), (-1, -1), _CARD_PADDING),
    ("RIGHTPADDING", (0, 0), (-1, -1), _CARD_PADDING - 1),
    ("TOPPADDING", (0, 0), (-1, -1), 6),
    ("BOTTOMPADDING", (0, 0), (-1, -1), 8),
)
_MOST_LABELS_FLAT = 9


def summary(report: Report, width: float) -> list[Flowable]:
    """The flowables of the summary, `width` points wide."""
    return [
        *_headline(report),
        Spacer(1, 12),
        *_cards(report, width),
        Spacer(1, 8),
        _chart_and_counts(report, width),
    ]


def _headline(report: Report) -> list[Flowable]:
    language = report.language
    return [
        paragraph(report.tenant_name, style(10, is_bold=True, textColor=ACCENT)),
        paragraph(report.title, style(24, is_bold=True, textColor=NAVY)),
        Spacer(1, 2),
        paragraph(formats.period(report.period, language), style(11, textColor=MUTED)),
    ]


def _cards(report: Report, width: float) -> Iterator[Flowable]:
    """The figures in boxes, as many in a row as are read well."""
    small = style(8, textColor=MUTED)
    rows = ceil(len(report.figures) / (width // _CARD_WIDTH))
    per_row = ceil(len(report.figures) / rows)
    box = (width - _GAP * (per_row - 1)) / per_row
    for start in range(0, len(report.figures), per_row):
        cells: list[Any] = []
        look: list[tuple[Any, ...]] = list(_CARD)
        for figure in report.figures[start : start + per_row]:
            at = (len(cells), 0)
            look += [("BACKGROUND", at, at, ZEBRA), ("LINEBEFORE", at, at, 2.5, ACCENT)]
            value = _figure(figure, report)
            big = style(_fitting(value, box - 2 * _CARD_PADDING), is_bold=True, textColor=NAVY)
            cells += [
                [paragraph(figure.label, small, limit=60), paragraph(value, big, limit=60)],
                "",
            ]
        widths = [box, _GAP] * (len(cells) // 2)
        yield Table([cells], colWidths=widths, style=TableStyle(look), hAlign="LEFT")
        yield Spacer(1, _GAP)


def _fitting(value: str, width: float) -> float:
    """The font size, 16 points at most, at which a figure stays on one line."""
    natural: float = stringWidth(printable(value), BOLD, 16)
    return min(16.0, 16 * width / max(natural, 1))


def _figure(figure: Figure, report: Report) -> str:
    if isinstance(figure.value, Money):
        return formats.money(figure.value.amount, figure.value.currency, report.language)
    return formats.count(figure.value, report.language)


def _chart_and_counts(report: Report, width: float) -> Flowable:
    if report.counts is None or not report.counts.bars:
        return _chart(report.chart, width, report)
    left = width * 0.62
    gap = 20.0
    right = width - left - gap
    cells = [[_chart(report.chart, left, report), "", _counts(report.counts, right, report)]]
    look = [
        ("FONT", (0, 0), (-1, -1), REGULAR),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
        ("RIGHTPADDING", (0, 0), (-1, -1), 0),
        ("TOPPADDING", (0, 0), (-1, -1), 0),
    ]
    return Table(cells, colWidths=[left, gap, right], style=TableStyle(look))


def _counts(counts: Series, width: float, report: Report) -> Flowable:
    """The largest counts; what comes after them is summed in a line of its own."""
    bars = [(bar.label, bar.value) for bar in counts.bars]
    if len(bars) > _COUNTS_SHOWN:
        rest = sum(value for _, value in bars[_COUNTS_SHOWN - 1 :])
        bars = [*bars[: _COUNTS_SHOWN - 1], (text("rest", report.language), rest)]
    plain, number = style(8), style(8, alignment=2)
    head = style(9, is_bold=True, textColor=NAVY)
    lines: list[list[Any]] = [[paragraph(counts.title, head), ""]]
    for label, value in bars:
        shown = formats.count(value, report.language)
        lines.append([paragraph(label, plain, limit=70), paragraph(shown, number)])
    look = [
        ("FONT", (0, 0), (-1, -1), REGULAR),
        ("SPAN", (0, 0), (-1, 0)),
        ("LINEBELOW", (0, 0), (-1, 0), 1, NAVY),
        ("LINEBELOW", (0, 1), (-1, -1), 0.4, LINE),
        ("LEFTPADDING", (0, 0), (-1, -1), 2),
        ("RIGHTPADDING", (0, 0), (-1, -1), 2),
        ("TOPPADDING", (0, 0), (-1, -1), 2.5),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 3.5),
    ]
    return Table(lines, colWidths=[width * 0.78, width * 0.22], style=TableStyle(look))


def _chart(series: Series, width: float, report: Report) -> Drawing:
    drawing = Drawing(width, _CHART_HEIGHT)
    title = String(0, _CHART_HEIGHT - 10, printable(series.title), fontName=BOLD, fontSize=9)
    title.fillColor = NAVY
    drawing.add(title)
    chart = VerticalBarChart()
    bottom = 18 if len(series.bars) <= _MOST_LABELS_FLAT else 34
    chart.x, chart.y, chart.width = 34, bottom, width - 40
    chart.height = _CHART_HEIGHT - 28 - bottom
    chart.data = [[bar.value for bar in series.bars]]
    chart.bars[0].fillColor = ACCENT
    chart.bars[0].strokeColor = None
    # Both are proportions: few bars would else be as broad as they are high.
    room = chart.width / len(series.bars)
    chart.barWidth, chart.groupSpacing = 10, max(4, 10 * (room / _BAR_WIDTH - 1))
    chart.strokeColor = None
    _set_axes(chart, series, report)
    highest = formats.count(max(bar.value for bar in series.bars), report.language)
    if stringWidth(highest, REGULAR, 7) <= room:
        chart.barLabels.fontName, chart.barLabels.fontSize = REGULAR, 7
        chart.barLabels.fillColor, chart.barLabels.nudge = INK, 6
        chart.barLabelFormat = lambda value: formats.count(int(value), report.language)
    drawing.add(chart)
    return drawing


def _set_axes(chart: Any, series: Series, report: Report) -> None:
    values, categories = chart.valueAxis, chart.categoryAxis
    step = _step(max(bar.value for bar in series.bars))
    values.valueMin, values.valueStep = 0, step
    values.valueMax = step * (max(bar.value for bar in series.bars) // step + 1)
    values.labelTextFormat = lambda value: formats.count(int(value), report.language)
    values.visibleGrid, values.gridStrokeColor, values.gridStrokeWidth = 1, LINE, 0.5
    values.strokeColor, values.visibleTicks = None, 0
    categories.categoryNames = [printable(bar.label) for bar in series.bars]
    categories.strokeColor, categories.visibleTicks = MUTED, 0
    for labels in (values.labels, categories.labels):
        labels.fontName, labels.fontSize, labels.fillColor = REGULAR, 7, MUTED
    if len(series.bars) > _MOST_LABELS_FLAT:
        categories.labels.angle, categories.labels.boxAnchor = 45, "ne"


def _step(most: int) -> int:
    """A round step that divides an axis up to `most` in three to five parts: 1, 2, 5, 10, 20 …."""
    power = 1
    while True:
        for digit in (1, 2, 5):
            if most <= 5 * digit * power:
                return digit * power
        power *= 10
