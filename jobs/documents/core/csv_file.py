"""A report's table as CSV: RFC 4180, UTF-8, one row in memory at a time.

Source of the rule against formulas: OWASP, "CSV Injection".
"""

import csv
import io
import re
from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import BinaryIO

from jobs.documents.core.model import Cell, Report, Row

_FORMULA_STARTS = ("=", "+", "-", "@")
# What a spreadsheet reads as a formula and is none: -1,250.50 and +90 (532) 123-45-67.
_NUMBER = re.compile(r"[+-]?[0-9][0-9.,]*", re.ASCII)
_PHONE = re.compile(r"\+[0-9][0-9 ()-]{5,}", re.ASCII)


def write(target: BinaryIO, report: Report, rows: Iterable[Row], *, with_bom: bool = False) -> int:
    """Write the table, its head first; returns the number of rows below the head.

    Days and instants are ISO 8601 (an instant with its offset); amounts have all their digits.
    `with_bom` is for Excel, which else takes UTF-8 for the system's old code page.
    """
    encoding = "utf-8-sig" if with_bom else "utf-8"
    stream = io.TextIOWrapper(target, encoding=encoding, newline="", write_through=False)
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow([column.title for column in report.columns])
    number = 0
    for row in rows:
        writer.writerow([_written(cell) for cell in row])
        number += 1
    stream.flush()
    stream.detach()
    return number


def harmless(text: str) -> str:
    """The text with an apostrophe in front if a spreadsheet could take it for a formula."""
    if text.startswith(("\t", "\r", "\n")) or (
        text.lstrip().startswith(_FORMULA_STARTS)
        and not _NUMBER.fullmatch(text)
        and not _PHONE.fullmatch(text)
    ):
        return f"'{text}"
    return text


def _written(cell: Cell) -> str:
    match cell:
        case None:
            return ""
        case str():
            return harmless(cell)
        case Decimal():
            return f"{cell:f}"
        case datetime() | date():
            return cell.isoformat()
        case _:
            return str(cell)
