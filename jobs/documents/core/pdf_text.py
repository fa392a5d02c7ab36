"""Text for a PDF: the embedded font, and only what it can show."""

import re
import unicodedata
from functools import cache
from importlib.resources import as_file, files
from typing import Any
from urllib.parse import urlsplit
from xml.sax.saxutils import escape, quoteattr

from reportlab.lib.colors import HexColor
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import Paragraph

REGULAR = "FiraSans-Regular"
BOLD = "FiraSans-Bold"

INK = HexColor("#1B2733")
MUTED = HexColor("#5B6B7B")
NAVY = HexColor("#16324F")
ACCENT = HexColor("#1F7A8C")
LINE = HexColor("#D7DEE6")
ZEBRA = HexColor("#F4F7FA")
WHITE = HexColor("#FFFFFF")

MAX_TEXT = 240  # characters; more is not read at a glance
_UNKNOWN = "?"
_LOOK_ALIKES = {0x2009: "\u00a0", 0x202F: "\u00a0", 0x2010: "-", 0x2011: "-", 0x2212: "-"}


@cache
def glyphs() -> frozenset[int]:
    """Register the fonts, which are the package's own; returns the characters they have."""
    known: list[set[int]] = []
    for name in (REGULAR, BOLD):
        with as_file(files("fontpkg_fira_sans") / "files" / f"{name}.ttf") as path:
            font = TTFont(name, path)
        pdfmetrics.registerFont(font)
        known.append(set(font.face.charToGlyph))
    pdfmetrics.registerFontFamily(
        REGULAR, normal=REGULAR, bold=BOLD, italic=REGULAR, boldItalic=BOLD
    )
    return frozenset(known[0] & known[1])


def printable(value: str, *, limit: int = MAX_TEXT) -> str:
    """One line of what the font has; `?` for what it lacks, `…` where it was cut."""
    # Composed first: the font has ş, but not s and a cedilla apart.
    composed = unicodedata.normalize("NFC", value[: 4 * limit]).translate(_LOOK_ALIKES)
    shown = "".join(_shown(character) for character in composed)
    line = re.sub(" +", " ", shown).strip()
    return line if len(line) <= limit and len(value) <= 4 * limit else f"{line[: limit - 1]}…"


def _shown(character: str) -> str:
    if character.isspace() and character != "\u00a0":
        return " "
    match unicodedata.category(character):
        case "Cc":
            return " "
        case "Cf":  # joiners, marks of direction: nothing to see
            return ""
        case "Mn" | "Me":  # marks on letters, which are themselves replaced
            return character if ord(character) in glyphs() else ""
        case _:
            return character if ord(character) in glyphs() else _UNKNOWN


def style(size: float, *, is_bold: bool = False, **more: Any) -> ParagraphStyle:
    """A paragraph style. Sizes in points."""
    glyphs()  # the fonts are registered, whatever the paragraph says: it may be empty
    return ParagraphStyle(
        "report",
        fontName=BOLD if is_bold else REGULAR,
        fontSize=size,
        leading=size * 1.28,
        textColor=more.pop("textColor", INK),
        splitLongWords=1,
        **more,
    )


def fitted(value: str, font: str, size: float, width: float) -> str:
    """The text for one line of `width` points, cut with `…` where it is longer."""
    shown = printable(value)
    if pdfmetrics.stringWidth(shown, font, size) <= width:
        return shown
    while shown and pdfmetrics.stringWidth(f"{shown}…", font, size) > width:
        shown = shown[:-1]
    return f"{shown.rstrip()}…"


def paragraph(
    value: str, look: ParagraphStyle, *, limit: int = MAX_TEXT, link: str | None = None
) -> Any:
    """A paragraph that shows the text as it is: what looks like markup is text too."""
    markup = escape(printable(value, limit=limit))
    if link is not None and is_web_link(link):
        markup = f"<a href={quoteattr(link)} color={quoteattr(ACCENT.hexval())}>{markup}</a>"
    return Paragraph(markup, look)


def is_web_link(link: str) -> bool:
    """Only http and https: a PDF may hold links that run programs."""
    try:
        parts = urlsplit(link)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.netloc) and link.isascii()
