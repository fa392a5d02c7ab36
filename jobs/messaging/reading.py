"""Who reads the text that is being written: filters say dates and amounts their way."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from jobs.messaging.core import formats
from jobs.messaging.core.channels import Channel
from jobs.messaging.core.links import is_harmless


@dataclass(frozen=True, slots=True)
class Reader:
    locale: str
    timezone: str
    channel: Channel

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)


# Macros of an imported template see no variables of the one that imports them, but they see this.
_reader: ContextVar[Reader] = ContextVar("reader")


@contextmanager
def read_by(reader: Reader) -> Iterator[None]:
    """For the length of one rendering."""
    token = _reader.set(reader)
    try:
        yield
    finally:
        _reader.reset(token)


def money(amount: Decimal, currency: str) -> str:
    """As in `amount|money("TRY")`."""
    reader = _reader.get()
    say = formats.money_in_sms if reader.channel == "sms" else formats.money
    return say(amount, currency, locale=reader.locale)


def number(value: Decimal | int) -> str:
    """Replaces nothing of jinja's: 12500|number is 12,500 or 12.500."""
    return formats.number(value, locale=_reader.get().locale)


def _dated(
    function: Callable[..., str],
) -> Callable[[date], str]:
    def say(day: date) -> str:
        reader = _reader.get()
        return function(day, locale=reader.locale, zone=reader.zone)

    return say


def _timed(function: Callable[..., str]) -> Callable[[datetime], str]:
    def say(at: datetime) -> str:
        reader = _reader.get()
        return function(at, locale=reader.locale, zone=reader.zone)

    return say


def _spelt(function: Callable[..., str]) -> Callable[[object], str]:
    def say(text: object) -> str:
        return function(str(text), locale=_reader.get().locale)

    return say


def leading(target: object) -> str:
    """As in `href="{{ url|leading }}"`. Raises ValueError for what a reader's program would run."""
    if not is_harmless(str(target)):
        raise ValueError("a link leads to no page")
    return str(target)


FILTERS: dict[str, Callable[..., str]] = {
    "leading": leading,
    "money": money,
    "number": number,
    "full_date": _dated(formats.full_date),
    "long_date": _dated(formats.long_date),
    "short_date": _dated(formats.short_date),
    "clock_time": _timed(formats.clock_time),
    "date_time": _timed(formats.date_time),
    "zone_name": _timed(formats.zone_name),
    # In the reader's language, where jinja's own know English alone.
    "upper": _spelt(formats.upper),
    "lower": _spelt(formats.lower),
    "capitalize": _spelt(formats.capitalize),
}
