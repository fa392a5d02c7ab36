"""When a job starts by itself: a crontab line and a time zone, or an interval, beside the job."""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from types import MappingProxyType
from typing import Any, Literal, TypeAlias
from zoneinfo import available_timezones

from cronsim import CronSim, CronSimError
from pydantic import AwareDatetime

from jobs.kit.payload import Payload

CatchUp: TypeAlias = Literal["latest", "all", "skip"]

_FIELDS = 5
_LONGEST_LINE = 200  # characters
_INTERVALS = (1, 366 * 86_400)  # seconds
_WINDOWS = (60, 31 * 86_400)  # seconds
# Any instant does: the line is only parsed here.
_SOME_DAY = datetime(2026, 1, 1, tzinfo=UTC)
_NICKNAMES = MappingProxyType(
    {
        "@yearly": "0 0 1 1 *",
        "@annually": "0 0 1 1 *",
        "@monthly": "0 0 1 * *",
        "@weekly": "0 0 * * 0",
        "@daily": "0 0 * * *",
        "@midnight": "0 0 * * *",
        "@hourly": "0 * * * *",
    }
)
_EVERY = re.compile(r"every ([0-9]{1,8})([smhd]?)")
_UNITS = MappingProxyType({"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400})


@dataclass(frozen=True, slots=True)
class Setting:
    """What a setting says, which is known when the worker starts."""

    name: str


def setting(name: str) -> Setting:
    """The setting of this name, as in `Cron(setting("DAILY_BRIEF_TIME"))`."""
    return Setting(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Policy:
    """What becomes of ticks that could not fire when they were due: nobody was there, or the run
    before still went on.

    catch_up  `latest`: the newest one fires, late; `all`: each one of the last `window` seconds,
              one after the other; `skip`: none that is more than a minute late
    overlaps  may a tick fire while the run of the one before goes on?
    """

    catch_up: CatchUp = "latest"
    window: float = 86_400
    overlaps: bool = False

    def check(self) -> None:
        """Raises ValueError."""
        if self.catch_up not in ("latest", "all", "skip"):
            raise ValueError(f"catch_up is latest, all or skip, not {self.catch_up!r}")
        if not _WINDOWS[0] <= self.window <= _WINDOWS[1]:
            raise ValueError(f"window is {_WINDOWS[0]} to {_WINDOWS[1]} seconds")


@dataclass(frozen=True, slots=True)
class Cron(_Policy):
    """A five-field crontab line, as Debian's cron reads it, or one of its names (`@daily`).

    `tz` is a zone of the IANA database; None stands for the setting TIMEZONE. Over a change of the
    clock a line that names its hours fires once that day, one that counts (`*/30`) follows real
    time. Raises ValueError.
    """

    line: str | Setting
    tz: str | Setting | None = None

    def __post_init__(self) -> None:
        self.check()
        if isinstance(self.line, str):
            object.__setattr__(self, "line", checked_line(self.line))
        if isinstance(self.tz, str):
            checked_zone(self.tz)


@dataclass(frozen=True, slots=True)
class Every(_Policy):
    """Each so many seconds (1 to a year), counted on over restarts, the first time at once.

    Raises ValueError.
    """

    seconds: float | Setting

    def __post_init__(self) -> None:
        self.check()
        if not isinstance(self.seconds, Setting):
            checked_interval(self.seconds)


@dataclass(frozen=True, slots=True)
class OnDemand(_Policy):
    """Never by itself: only when somebody asks for a run, and one at a time."""

    def __post_init__(self) -> None:
        self.check()


Schedule: TypeAlias = Cron | Every | OnDemand


class Tick(Payload):
    """The payload of a scheduled job: the instant it was due, however late it runs.

    A job may take a model of its own built on this, whose other fields have defaults.
    """

    due_at: AwareDatetime


def checked_line(line: str) -> str:
    """The line in its usual form. Raises ValueError, which does not tell what was given."""
    if len(line) > _LONGEST_LINE or not line.isascii():
        raise ValueError("this is no crontab line: it is too long, or has foreign letters")
    plain = _NICKNAMES.get(line.strip().lower(), line)
    fields = plain.split()
    if len(fields) != _FIELDS:  # CronSim also reads lines with seconds
        raise ValueError("this is no crontab line: it has minute, hour, day, month and weekday")
    plain = " ".join(fields)
    try:
        next(CronSim(plain, _SOME_DAY))
    except CronSimError as error:
        raise ValueError(f"this is no crontab line: {error}") from error
    except StopIteration:
        raise ValueError("this is no crontab line: no day is like that") from None
    return plain


def checked_zone(name: str) -> str:
    """The same. Raises ValueError when the IANA database has no such zone."""
    if name not in _zones():
        raise ValueError("there is no such time zone; take a name like Europe/Istanbul")
    return name


@cache
def _zones() -> frozenset[str]:
    """Without those that are not the same on every machine."""
    return frozenset(available_timezones() - {"localtime", "posixrules", "Factory"})


def checked_interval(seconds: float) -> int:
    """Whole seconds. Raises ValueError."""
    shortest, longest = _INTERVALS
    if not shortest <= seconds <= longest or seconds != int(seconds):
        raise ValueError(f"an interval is {shortest} to {longest} whole seconds, not {seconds}")
    return int(seconds)


def changed(schedule: Schedule, text: str) -> Schedule:
    """The schedule with what an operator says of its times; its policies stay.

    `0 9 * * 1-5`, the same with a zone behind it, `every 90s` (or m, h, d), `off`. Raises
    ValueError.
    """
    policies: dict[str, Any] = {
        name: getattr(schedule, name) for name in ("catch_up", "window", "overlaps")
    }
    text = " ".join(text.split())
    if text.lower() == "off":
        return OnDemand(**policies)
    every = _EVERY.fullmatch(text.lower())
    if every is not None:
        return Every(int(every[1]) * _UNITS[every[2]], **policies)
    line, zone = _line_and_zone(text)
    old_zone = schedule.tz if isinstance(schedule, Cron) else None
    new = Cron(line, tz=old_zone, **policies)
    return new if zone is None else replace(new, tz=zone)


def _line_and_zone(text: str) -> tuple[str, str | None]:
    words = text.split(" ")
    fields = 1 if text.startswith("@") else _FIELDS
    if len(words) == fields + 1:
        return " ".join(words[:fields]), words[fields]
    return text, None
