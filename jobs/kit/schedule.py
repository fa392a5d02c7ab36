"""When a job starts by itself: a crontab line and a time zone, beside the job."""

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from pydantic import AwareDatetime

from jobs.kit.payload import Payload

_FIELDS = 5
# Any instant does: the line is only parsed here.
_SOME_DAY = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Cron:
    """A five-field crontab line, as Debian's cron reads it.

    `tz` is a zone of the IANA database; None stands for the setting TIMEZONE.
    """

    line: str
    tz: str | None = None

    def __post_init__(self) -> None:
        if len(self.line.split()) != _FIELDS:  # CronSim also reads lines with seconds
            raise ValueError(f"Cron: {self.line!r} is not a crontab line: it has five fields")
        try:
            CronSim(self.line, _SOME_DAY)
        except CronSimError as error:
            raise ValueError(f"Cron: {self.line!r} is not a crontab line: {error}") from error
        if self.tz is not None:
            try:
                ZoneInfo(self.tz)
            except (ZoneInfoNotFoundError, ValueError, OSError) as error:
                raise ValueError(f"Cron: there is no time zone {self.tz!r}") from error


class Tick(Payload):
    """The payload of a scheduled job: the instant it was due, however late it runs."""

    due_at: AwareDatetime
