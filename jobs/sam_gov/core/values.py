"""Single values, as SAM.gov writes them: its types vary from notice to notice."""

import re
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from urllib.parse import urlsplit, urlunsplit

# How people fill in a date or an amount that they do not have.
_UNKNOWN = frozenset({"-", "--", "n/a", "na", "none", "tba", "tbd", "to be determined"})
# PostgreSQL takes neither NUL nor half a surrogate pair; our texts have one line each.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")
_US_DAY = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})")
_YEARS = range(1900, 2200)
_MONEY = re.compile(
    r"(?:USD|US ?\$|\$)?\s*(-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?|-?\.\d+)\s*(?:USD)?", re.ASCII
)
_CENT = Decimal("0.01")
_TOO_MUCH = Decimal(10) ** 16
_SECRETS = frozenset({"api_key", "token"})


class NoticeError(ValueError):
    """A notice cannot be mapped. Names the field, never its value: that may be personal."""


def text(value: object) -> str | None:
    """A text on one line, without space around it; None for nothing, "null" and what is no text."""
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        return None
    cleaned = _CONTROL.sub(" ", _LONE_SURROGATE.sub("\ufffd", value)).strip()
    return None if cleaned.casefold() in {"", "null"} else cleaned


def day(field: str, value: object) -> date | None:
    """A day as it is written, whatever time stands beside it. Raises NoticeError."""
    when = _when(field, value)
    return when.date() if isinstance(when, datetime) else when


def deadline(field: str, value: object) -> tuple[datetime | None, date | None]:
    """An instant in UTC, or only a day, or neither. Raises NoticeError.

    A time without an offset is no instant: its day is all that is certain.
    """
    when = _when(field, value)
    if not isinstance(when, datetime):
        return None, when
    if when.tzinfo is None:
        return None, when.date()
    return when.astimezone(UTC), None


def money(field: str, value: object) -> Decimal | None:
    """Dollars to the cent, of "800620", "$1,234.5", a number. Raises NoticeError."""
    written = text(value)
    if written is None or written.casefold() in _UNKNOWN:
        return None
    if isinstance(value, str):
        match = _MONEY.fullmatch(written)
        if match is None:
            raise NoticeError(f"{field} is not an amount in dollars")
        written = match[1].replace(",", "")
    amount = Decimal(written)
    if not amount.is_finite() or abs(amount) >= _TOO_MUCH:
        raise NoticeError(f"{field} is no possible amount")
    return amount.quantize(_CENT, rounding=ROUND_HALF_UP)


def claim(field: str, value: object, *, default: bool) -> bool:
    """Yes or no, as text or as a boolean; `default` when nothing is said. Raises NoticeError."""
    if isinstance(value, bool):
        return value
    written = text(value)
    if written is None:
        return default
    match written.casefold():
        case "yes" | "y" | "true" | "1":
            return True
        case "no" | "n" | "false" | "0":
            return False
    raise NoticeError(f"{field} is neither Yes nor No")


def link(value: object, *, is_query_kept: bool = True) -> str | None:
    """An http(s) address without keys in it, else None."""
    written = text(value)
    if written is None or any(map(str.isspace, written)):
        return None
    try:
        parts = urlsplit(written)
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return None
    kept = [
        pair
        for pair in parts.query.split("&")
        if is_query_kept and pair.partition("=")[0].casefold() not in _SECRETS
    ]
    return urlunsplit(parts._replace(query="&".join(kept)))


def _when(field: str, value: object) -> datetime | date | None:
    written = text(value)
    if written is None or written.casefold() in _UNKNOWN:
        return None
    try:
        when = _parse(written)
    except ValueError:
        raise NoticeError(f"{field} is not a date") from None
    if when.year not in _YEARS:
        raise NoticeError(f"{field} is not a date from {_YEARS[0]} to {_YEARS[-1]}")
    return when


def _parse(written: str) -> datetime | date:
    if match := _US_DAY.fullmatch(written):
        month, day_of_month, year = map(int, match.groups())
        return date(year, month, day_of_month)
    try:
        return date.fromisoformat(written)
    except ValueError:
        return datetime.fromisoformat(written)
