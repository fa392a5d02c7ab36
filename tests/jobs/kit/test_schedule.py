from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import ValidationError

from jobs.kit import Cron, Every, OnDemand, Schedule, Tick
from jobs.kit.schedule import changed


@pytest.mark.parametrize(
    "line",
    ["0 8 * * *", "15 6 * * 1-5", "*/15 * * * *", "0 9 1,15 * *", "0 8 L * *", "5 4 * * SUN"],
)
def test_a_crontab_line_is_kept_as_it_was_written(line: str) -> None:
    assert Cron(line) == Cron(line, tz=None)
    assert Cron(line).line == line


@pytest.mark.parametrize(
    "line",
    [
        "",
        "8",
        "0 8 * *",
        "60 * * * *",
        "0 24 * * *",
        "0 0 30 2 *",
        "*/0 * * * *",
        "soon",
        "@often",
        "0 8 * * * ş",
    ],
)
def test_a_line_that_cron_cannot_read_is_refused_and_shown(line: str) -> None:
    with pytest.raises(ValueError, match=r"^this is no crontab line: \w"):
        Cron(line)


@pytest.mark.parametrize(
    ("name", "line"), [("@daily", "0 0 * * *"), ("@Hourly", "0 * * * *"), ("@weekly", "0 0 * * 0")]
)
def test_a_line_may_have_a_name(name: str, line: str) -> None:
    assert Cron(name).line == line


@pytest.mark.parametrize("seconds", [0, -1, 0.5, 1.5, 40_000_000, float("nan")])
def test_an_interval_is_whole_seconds_up_to_a_year(seconds: float) -> None:
    with pytest.raises(ValueError, match="an interval is 1 to"):
        Every(seconds)


@pytest.mark.parametrize("options", [{"catch_up": "some"}, {"window": 1}, {"window": 1e9}])
def test_a_policy_that_there_is_not_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"catch_up is|window is"):
        Every(60, **options)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 9 * * 1-5", Cron("0 9 * * 1-5", tz="UTC", catch_up="all")),
        (
            "0  9 * * 1-5  Europe/Istanbul",
            Cron("0 9 * * 1-5", tz="Europe/Istanbul", catch_up="all"),
        ),
        ("@daily Asia/Tokyo", Cron("0 0 * * *", tz="Asia/Tokyo", catch_up="all")),
        ("every 90s", Every(90, catch_up="all")),
        ("every 15m", Every(900, catch_up="all")),
        ("EVERY 2h", Every(7200, catch_up="all")),
        ("off", OnDemand(catch_up="all")),
    ],
)
def test_an_operator_changes_the_times_and_not_the_policies(text: str, expected: Schedule) -> None:
    assert changed(Cron("0 8 * * *", tz="UTC", catch_up="all"), text) == expected


@pytest.mark.parametrize("text", ["", "sometimes", "every 0m", "every -5s", "0 9 * *", "every day"])
def test_what_an_operator_may_not_say_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"crontab line|interval"):
        changed(Cron("0 8 * * *"), text)


def test_a_line_with_seconds_is_refused() -> None:
    with pytest.raises(ValueError, match="is no crontab line"):
        Cron("*/5 * * * * *")


@pytest.mark.parametrize("tz", ["America/New_York", "Europe/Istanbul", "UTC"])
def test_a_schedule_may_name_its_zone(tz: str) -> None:
    assert Cron("0 8 * * *", tz=tz).tz == tz


@pytest.mark.parametrize(
    "tz",
    ["", "Mars/Olympus", "europe/nowhere", "../etc/passwd", "America", "localtime", "posixrules"],
)
def test_a_zone_that_does_not_exist_is_refused(tz: str) -> None:
    with pytest.raises(ValueError, match="there is no such time zone"):
        Cron("0 8 * * *", tz=tz)


def test_a_tick_knows_the_instant_it_was_due_however_it_travels() -> None:
    tick = Tick(due_at=datetime(2026, 3, 1, 8, tzinfo=timezone(timedelta(hours=3))))

    arrived = Tick.model_validate_json(tick.model_dump_json())

    assert arrived.due_at == datetime(2026, 3, 1, 5, tzinfo=UTC)


def test_a_tick_without_a_zone_is_refused() -> None:
    with pytest.raises(ValidationError, match="timezone"):
        Tick.model_validate({"due_at": "2026-03-01T08:00:00"})
