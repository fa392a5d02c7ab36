"""From a schedule to the instants at which it is due. Pure: the clock is an argument."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from typing import Any, Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from jobs.kit import Cron, Every, OnDemand, Schedule, Setting
from jobs.kit.schedule import CatchUp, checked_interval, checked_line, checked_zone

ON_DEMAND: Final = "off"
MOST: Final = 1000  # ticks that are counted at once
# How late a tick may be that `skip` lets fire: the time in which somebody looks.
FRESH: Final = timedelta(minutes=1)
# What lines and zones raise that nobody has checked: written into the table by hand.
UNREADABLE: Final = (CronSimError, ValueError, KeyError, OverflowError)
_EVERY: Final = "every "
_LAST_YEAR: Final = 9990  # behind it the calendar ends
_MINUTE: Final = timedelta(minutes=1)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """When something is due. `line` is a crontab line, `every <seconds>`, or `off`; an interval
    counts from `anchor`.
    """

    line: str
    tz: str
    catch_up: CatchUp = "latest"
    window: timedelta = timedelta(days=1)
    overlaps: bool = False

    @classmethod
    def of(cls, schedule: Schedule, *, tz: str) -> "Plan":
        """Of a schedule whose settings are filled in. `tz` is for lines that name none."""
        line, zone = ON_DEMAND, tz
        match schedule:
            case Cron(line=str(line)):
                zone = schedule.tz if isinstance(schedule.tz, str) else tz
            case Every(seconds=float() | int() as seconds):
                line = f"{_EVERY}{int(seconds)}"
            case OnDemand():
                pass
            case _:
                raise TypeError("the schedule's settings are not filled in")
        return cls(
            line=line,
            tz=zone,
            catch_up=schedule.catch_up,
            window=timedelta(seconds=schedule.window),
            overlaps=schedule.overlaps,
        )

    @property
    def interval(self) -> timedelta | None:
        """None for crontab lines. Raises ValueError for one that nobody checked."""
        if not self.line.startswith(_EVERY):
            return None
        return timedelta(seconds=checked_interval(int(self.line.removeprefix(_EVERY))))

    def first_after(self, instant: datetime) -> datetime | None:
        """The first tick of a schedule that is new: an interval begins at once."""
        return instant if self.interval else self.next_after(instant, anchor=instant)

    def next_after(self, instant: datetime, *, anchor: datetime) -> datetime | None:
        """The first tick later than `instant`, in UTC; None when there is none."""
        return next(self.ticks(instant, anchor=anchor), None)

    def ticks(self, after: datetime, *, anchor: datetime) -> Iterator[datetime]:
        """All ticks later than `after`, in UTC, without end. Raises ValueError for a line or a zone
        that somebody broke in the table.
        """
        interval = self.interval
        if interval is not None:
            return _interval_ticks(interval, after, anchor)
        return iter(()) if self.line == ON_DEMAND else _cron_ticks(self.line, self.tz, after)

    def due(self, first: datetime, now: datetime, *, anchor: datetime) -> "Due":
        """What to do at `now`, when `first` was due and did not fire yet."""
        later = list(takewhile(lambda tick: tick <= now, self._some(first, anchor)))
        newest = self._newest(now, anchor) if len(later) == MOST else [first, *later][-1]
        following = self.next_after(newest, anchor=anchor)
        match self.catch_up:
            case "latest":
                return Due(newest, following, len(later))
            case "skip":
                is_fresh = now - newest <= FRESH
                return Due(newest if is_fresh else None, following, len(later) + (not is_fresh))
            case "all":
                oldest = self._oldest(first, now - self.window, anchor)
                if oldest is None or oldest > now:
                    return Due(None, following, len(later) + 1)
                missed = [tick for tick in (first, *later) if tick < oldest]
                # The others stay due, and come one after the other.
                return Due(oldest, self.next_after(oldest, anchor=anchor), len(missed))

    def _some(self, after: datetime, anchor: datetime) -> Iterator[datetime]:
        return islice(self.ticks(after, anchor=anchor), MOST)

    def _oldest(self, first: datetime, since: datetime, anchor: datetime) -> datetime | None:
        is_within = first >= since
        return first if is_within else self.next_after(since - _MICROSECOND, anchor=anchor)

    def _newest(self, now: datetime, anchor: datetime) -> datetime:
        """The last tick up to `now`, where there were many: from further and further back."""
        back, found = _MINUTE, list[datetime]()
        while not found:
            found = list(takewhile(lambda tick: tick <= now, self._some(now - back, anchor)))
            back *= 4
        return found[-1]


@dataclass(frozen=True, slots=True)
class Due:
    """`tick` fires now, if any; `following` is what is due next; `missed` ticks never fire (of very
    many, some MOST are counted).
    """

    tick: datetime | None
    following: datetime | None
    missed: int


def _interval_ticks(interval: timedelta, after: datetime, anchor: datetime) -> Iterator[datetime]:
    number = (after - anchor) // interval + 1
    while True:
        yield (anchor + number * interval).astimezone(UTC)
        number += 1


def _cron_ticks(line: str, tz: str, after: datetime) -> Iterator[datetime]:
    """As Debian's cron: a line that names its hours follows the clock on the wall, one that counts
    them (or minutes) real time.
    """
    line, zone, last = checked_line(line), ZoneInfo(checked_zone(tz)), after
    minute, hour, *_ = line.split()
    is_on_wall = not (minute.startswith("*") or hour.startswith("*"))
    local = after.astimezone(zone)
    for tick in CronSim(line, local.replace(tzinfo=None) if is_on_wall else local):
        if tick.year >= _LAST_YEAR:
            return
        instant = _instant(tick, zone) if is_on_wall else tick.astimezone(UTC)
        # A clock that goes back shows again what was there before, and one gap may swallow
        # several hours that a line names.
        if instant > last:
            last = instant
            yield instant


def _instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """When the clock on the wall shows this for the first time.

    A time that a gap swallows is the first one behind it; or, where that is another day (Greenland
    goes from 22:59 to midnight), the last one before it: so each day has its own tick.
    """
    real = wall
    while _is_swallowed(real, zone):
        real += _MINUTE
    while real.date() != wall.date() or _is_swallowed(real, zone):
        real -= _MINUTE
    return real.replace(tzinfo=zone).astimezone(UTC)


def _is_swallowed(wall: datetime, zone: ZoneInfo) -> bool:
    shown = wall.replace(tzinfo=zone).astimezone(UTC).astimezone(zone)
    return shown.replace(tzinfo=None) != wall


def resolved(schedule: Schedule, said: Callable[[str], Any]) -> Schedule:
    """The schedule with what settings say; `said` knows them by name. Raises ValueError."""

    def value(given: Any) -> Any:
        return said(given.name) if isinstance(given, Setting) else given

    match schedule:
        case Cron():
            return replace(schedule, line=value(schedule.line), tz=value(schedule.tz))
        case Every():
            return replace(schedule, seconds=value(schedule.seconds))
        case OnDemand():
            return schedule
