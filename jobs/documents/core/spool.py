"""Rows on their way through a file: one JSON array a line, read back by the columns' kinds."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import BinaryIO
from zoneinfo import ZoneInfo

import orjson

from jobs.documents.core.model import Cell, Column, Kind, Row

_DAY_LENGTH = len("2026-01-31")


def dump(rows: Iterable[Row]) -> bytes:
    """Rows as lines. An amount keeps every digit: it travels as text."""
    # `default` is asked for what JSON does not have, which is Decimal alone.
    return b"".join(
        orjson.dumps(row, default=str, option=orjson.OPT_APPEND_NEWLINE) for row in rows
    )


def load(lines: BinaryIO, columns: tuple[Column, ...], zone: ZoneInfo) -> Iterator[Row]:
    """The rows as they were, instants on the zone's clock. One row is in memory at a time."""
    readers = [(at, _READERS[column.kind]) for at, column in enumerate(columns)]
    special = [(at, read) for at, read in readers if read is not None]
    for line in lines:
        cells = orjson.loads(line)
        for at, read in special:
            if cells[at] is not None:
                cells[at] = read(cells[at], zone)
        yield tuple(cells)


def local(instant: datetime, zone: ZoneInfo) -> datetime:
    """The instant on the zone's clock; as it is where the calendar ends (years 1 and 9999)."""
    try:
        return instant.astimezone(zone)
    except OverflowError:
        return instant


def _decimal(text: str, zone: ZoneInfo) -> Cell:
    del zone
    return Decimal(text)


def _day(text: str, zone: ZoneInfo) -> Cell:
    del zone
    return date.fromisoformat(text)


def _deadline(text: str, zone: ZoneInfo) -> Cell:
    if len(text) == _DAY_LENGTH:
        return date.fromisoformat(text)
    return local(datetime.fromisoformat(text), zone)


_READERS: Mapping[Kind, Callable[[str, ZoneInfo], Cell] | None] = MappingProxyType(
    {
        Kind.TEXT: None,
        Kind.LINK: None,
        Kind.COUNT: None,
        Kind.CURRENCY: None,
        Kind.SHARE: _decimal,
        Kind.MONEY: _decimal,
        Kind.DAY: _day,
        Kind.DEADLINE: _deadline,
    }
)
