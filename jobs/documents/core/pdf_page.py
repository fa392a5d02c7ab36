"""What stands on every page: a running head, and a foot with "page x of y"."""

from collections.abc import Callable
from typing import Any, BinaryIO, TypeAlias

from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate

from jobs.documents.core import formats
from jobs.documents.core.labels import text
from jobs.documents.core.model import Report
from jobs.documents.core.pdf_text import BOLD, LINE, MUTED, NAVY, REGULAR, fitted, printable

Size: TypeAlias = tuple[float, float]

MARGIN = 36
_FOOT = 44
_HEAD = 20
_LOCALES = {"en": "en-US", "tr": "tr-TR"}


def document(target: BinaryIO, report: Report, size: Size) -> Any:
    """An empty document with two kinds of page: "first", and "next" with a running head."""
    template = BaseDocTemplate(
        target,
        pagesize=size,
        title=printable(report.title),
        author="deskhand",
        subject=formats.period(report.period, report.language),
        creator="deskhand",
        lang=_LOCALES[report.language],
        invariant=1,  # neither clock nor chance: the same report is the same bytes
    )

    def running_head(canvas: Any, _: Any) -> None:
        _draw_head(canvas, report, size)

    template.addPageTemplates(
        [
            PageTemplate("first", [_frame(size, top=MARGIN)]),
            PageTemplate("next", [_frame(size, top=MARGIN + _HEAD)], onPage=running_head),
        ]
    )
    return template


def numbered_canvas(report: Report) -> Callable[..., Any]:
    """A canvas that writes each page's foot at the end, when the number of pages is known."""

    class NumberedCanvas(Canvas):  # type: ignore[misc] # reportlab has no types
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._pages: list[dict[str, Any]] = []

        def showPage(self) -> None:  # noqa: N802 - reportlab's name
            self._pages.append(dict(self.__dict__))
            self._startPage()

        def save(self) -> None:
            pages = self._pages
            for page in pages:
                self.__dict__.update(page)
                _draw_foot(self, report, len(pages))
                super().showPage()
            super().save()

    return NumberedCanvas


def _frame(size: Size, *, top: float) -> Frame:
    width, height = size
    inner = (width - 2 * MARGIN, height - top - _FOOT)
    return Frame(
        MARGIN, _FOOT, *inner, leftPadding=0, rightPadding=0, topPadding=0, bottomPadding=0
    )


def _draw_head(canvas: Any, report: Report, size: Size) -> None:
    width, height = size
    line = height - MARGIN
    canvas.saveState()
    canvas.setFillColor(NAVY)
    canvas.setFont(BOLD, 8)
    name = fitted(f"{report.tenant_name} \u00b7 {report.title}", BOLD, 8, width * 0.6)
    canvas.drawString(MARGIN, line + 2, name)
    canvas.setFillColor(MUTED)
    canvas.setFont(REGULAR, 8)
    canvas.drawRightString(width - MARGIN, line + 2, formats.period(report.period, report.language))
    canvas.setStrokeColor(LINE)
    canvas.setLineWidth(0.5)
    canvas.line(MARGIN, line - 5, width - MARGIN, line - 5)
    canvas.restoreState()


def _draw_foot(canvas: Any, report: Report, pages: int) -> None:
    width, _ = canvas._pagesize  # noqa: SLF001 - reportlab has no public name for it
    language = report.language
    as_of = formats.instant(report.as_of, language)
    number = text("page_of", language, page=canvas.getPageNumber(), pages=pages)
    canvas.saveState()
    canvas.setStrokeColor(LINE)
    canvas.setLineWidth(0.5)
    canvas.line(MARGIN, 32, width - MARGIN, 32)
    canvas.setFillColor(MUTED)
    canvas.setFont(REGULAR, 7.5)
    left = text("data_as_of", language, instant=as_of, zone=report.zone)
    canvas.drawString(MARGIN, 21, printable(left))
    canvas.drawRightString(width - MARGIN, 21, number)
    canvas.restoreState()
