"""How a report is called in a mail."""

import re
from datetime import date

from babel.dates import format_interval

_BABEL = {"en": "en_US", "tr": "tr_TR"}
_LONGEST = 60  # characters of the title in a file's name


def period_text(first: date, last: date, *, locale: str) -> str:
    """The days that it is about, as CLDR has them.

    >>> period_text(date(2026, 11, 16), date(2026, 11, 22), locale="en")
    'Nov 16 – 22, 2026'
    """
    text = format_interval(first, last, skeleton="yMMMd", locale=_BABEL[locale])
    return re.sub(r"[\u00a0\u2009\u202f]", " ", text)


def file_name(title: str, first: date, last: date, key: str) -> str:
    """A name for people, with the ending of the storage key.

    >>> file_name("Haftalık / özet", date(2026, 11, 16), date(2026, 11, 22), "reports/7/a.pdf")
    'Haftalık-özet-2026-11-16_2026-11-22.pdf'
    """
    words = re.sub(r"[^\w]+", "-", title)[:_LONGEST].strip("-_") or "report"
    name = key.rpartition("/")[2]
    suffix = f".{name.rpartition('.')[2]}" if "." in name else ""
    return f"{words}-{first}_{last}{suffix}"
