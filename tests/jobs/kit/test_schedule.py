from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import ValidationError

from jobs.kit import Cron, Tick


@pytest.mark.parametrize(
    "line",
    ["0 8 * * *", "15 6 * * 1-5", "*/15 * * * *", "0 9 1,15 * *", "0 8 L * *", "5 4 * * SUN"],
)
def test_a_crontab_line_is_kept_as_it_was_written(line: str) -> None:
    assert Cron(line) == Cron(line, tz=None)
    assert Cron(line).line == line


@pytest.mark.parametrize(
    "line",
    ["", "8", "0 8 * *", "60 * * * *", "0 24 * * *", "0 0 30 2 *", "*/0 * * * *", "soon", "@daily"],
)
def test_a_line_that_cron_cannot_read_is_refused_and_shown(line: str) -> None:
    with pytest.raises(ValueError, match=r"^Cron: '.*' is not a crontab line: ") as refused:
        Cron(line)

    assert repr(line) in str(refused.value)


def test_a_line_with_seconds_is_refused() -> None:
    with pytest.raises(ValueError, match="is not a crontab line"):
        Cron("*/5 * * * * *")


@pytest.mark.parametrize("tz", ["America/New_York", "Europe/Istanbul", "UTC"])
def test_a_schedule_may_name_its_zone(tz: str) -> None:
    assert Cron("0 8 * * *", tz=tz).tz == tz


@pytest.mark.parametrize("tz", ["", "Mars/Olympus", "europe/nowhere", "../etc/passwd", "America"])
def test_a_zone_that_does_not_exist_is_refused(tz: str) -> None:
    with pytest.raises(ValueError, match=r"^Cron: there is no time zone ") as refused:
        Cron("0 8 * * *", tz=tz)

    assert repr(tz) in str(refused.value)


def test_a_tick_knows_the_instant_it_was_due_however_it_travels() -> None:
    tick = Tick(due_at=datetime(2026, 3, 1, 8, tzinfo=timezone(timedelta(hours=3))))

    arrived = Tick.model_validate_json(tick.model_dump_json())

    assert arrived.due_at == datetime(2026, 3, 1, 5, tzinfo=UTC)


def test_a_tick_without_a_zone_is_refused() -> None:
    with pytest.raises(ValidationError, match="timezone"):
        Tick.model_validate({"due_at": "2026-03-01T08:00:00"})
