"""Every transition of every zone, 2024 to 2030: a daily line fires once on each local day."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo, available_timezones

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.kit import Cron, Every, OnDemand
from worker.schedules.plan import MOST, Plan

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
BEGIN, END = datetime(2024, 1, 1, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)
SPRING = datetime(2026, 3, 28, 12, tzinfo=UTC)
NEW_YORK = ZoneInfo("America/New_York")
# Where the clock goes from 22:59 on Saturday to midnight: these hours have no time behind them.
GAPS_AT_MIDNIGHT = {"America/Godthab", "America/Nuuk", "America/Scoresbysund"}


@cache
def offsets(zone: str) -> tuple[timedelta | None, ...]:
    """On each day."""
    tz = ZoneInfo(zone)
    return tuple((BEGIN + n * DAY).astimezone(tz).utcoffset() for n in range((END - BEGIN).days))


@cache
def transitions(zone: str) -> tuple[datetime, ...]:
    """When the clock is changed there, in UTC."""
    tz, found = ZoneInfo(zone), []
    for number, (before, after) in enumerate(pairwise(offsets(zone))):
        if before == after:
            continue
        low, high = BEGIN + number * DAY, BEGIN + (number + 1) * DAY
        while high - low > MINUTE:
            middle = low + (high - low) // 2
            is_before = middle.astimezone(tz).utcoffset() == before
            low, high = (middle, high) if is_before else (low, middle)
        found.append(low.replace(second=0, microsecond=0) + MINUTE)
    return tuple(found)


@cache
def changing_zones() -> list[str]:
    """One for each history of offsets: many zones are others' by another name."""
    zones = sorted(available_timezones() - {"localtime", "Factory"})
    unlike = {offsets(zone): zone for zone in zones}
    return [zone for zone in unlike.values() if transitions(zone)]


def ticks_between(plan: Plan, begin: datetime, end: datetime) -> list[datetime]:
    return list(takewhile(lambda tick: tick <= end, plan.ticks(begin, anchor=begin)))


def local_day(instant: datetime, zone: str) -> date:
    return instant.astimezone(ZoneInfo(zone)).date()


@st.composite
def changes(draw: st.DrawFn) -> tuple[str, datetime]:
    zone = draw(st.sampled_from(changing_zones()))
    return zone, draw(st.sampled_from(transitions(zone)))


@settings(deadline=None)  # the first one reads all zones
@given(change=changes(), hour=st.integers(0, 23), minute=st.integers(0, 59))
def test_a_daily_line_fires_once_on_each_local_day(
    change: tuple[str, datetime], hour: int, minute: int
) -> None:
    zone, at = change
    plan = Plan(line=f"{minute} {hour} * * *", tz=zone)

    ticks = ticks_between(plan, at - 4 * DAY, at + 4 * DAY)

    days = Counter(local_day(tick, zone) for tick in ticks)
    first, last = local_day(ticks[0], zone), local_day(ticks[-1], zone)
    assert days == Counter(first + n * DAY for n in range((last - first).days + 1))


@pytest.mark.parametrize("hour", [0, 1, 2, 3, 23])
def test_it_does_so_at_every_single_change_there_is(hour: int) -> None:
    plans = {zone: Plan(line=f"30 {hour} * * *", tz=zone) for zone in changing_zones()}

    for zone, plan in plans.items():
        for at in transitions(zone):
            ticks = ticks_between(plan, at - 2 * DAY, at + 2 * DAY)
            days = [local_day(tick, zone) for tick in ticks]
            assert all(after - before == DAY for before, after in pairwise(days)), (zone, at)


@settings(deadline=None)
@given(
    change=changes(),
    line=st.sampled_from(
        ["0 8 * * *", "30 2 * * *", "30 1 * * 0", "*/30 * * * *", "0 * * * *", "15 */2 * * *",
         "0 6,18 * * *", "0 9 * * 1-5", "0 0 1 * *", "5 4 * * SUN", "0 0 13 * 5"]
    ),
    start=st.timedeltas(-2 * DAY, 2 * DAY),
)  # fmt: skip
def test_ticks_are_those_of_the_reference(
    change: tuple[str, datetime], line: str, start: timedelta
) -> None:
    zone, at = change
    begin = at - 3 * DAY
    reference = (tick.astimezone(UTC) for tick in CronSim(line, begin.astimezone(ZoneInfo(zone))))
    expected = list(takewhile(lambda tick: tick < at + 3 * DAY, reference))

    plan = Plan(line=line, tz=zone)

    # From wherever one begins: also inside the hour that comes twice.
    after = [tick for tick in expected if tick > at + start]
    assert list(islice(plan.ticks(at + start, anchor=at), len(after))) == after


@pytest.mark.parametrize("zone", sorted(GAPS_AT_MIDNIGHT))
def test_what_a_gap_before_midnight_swallows_fires_on_its_own_day(zone: str) -> None:
    """The reference moves it to midnight: that day would have two, and this one none."""
    plan = Plan(line="15 23 * * *", tz=zone)

    ticks = islice(plan.ticks(SPRING, anchor=SPRING), 2)

    local = [f"{tick.astimezone(ZoneInfo(zone)):%m-%d %H:%M}" for tick in ticks]
    assert local == ["03-28 22:59", "03-29 23:15"]


@pytest.mark.parametrize(
    ("line", "begin", "expected"),
    [
        ("0 8 * * *", (2026, 3, 7), ["03-07 08:00", "03-08 08:00", "03-09 08:00"]),
        ("0 6,18 * * *", (2026, 3, 8), ["03-08 06:00", "03-08 18:00", "03-09 06:00"]),
        ("0 9 * * 1-5", (2026, 3, 6), ["03-06 09:00", "03-09 09:00", "03-10 09:00"]),
        ("30 2 * * *", (2026, 3, 7), ["03-07 02:30", "03-08 03:00", "03-09 02:30"]),
        ("0 8 * * *", (2026, 10, 31), ["10-31 08:00", "11-01 08:00", "11-02 08:00"]),
        ("0 6,18 * * *", (2026, 11, 1), ["11-01 06:00", "11-01 18:00", "11-02 06:00"]),
        ("0 9 * * 1-5", (2026, 10, 30), ["10-30 09:00", "11-02 09:00", "11-03 09:00"]),
        ("30 1 * * *", (2026, 10, 31), ["10-31 01:30", "11-01 01:30", "11-02 01:30"]),
    ],
)
def test_the_four_examples_over_both_changes_in_new_york(
    line: str, begin: tuple[int, int, int], expected: list[str]
) -> None:
    plan = Plan.of(Cron(line), tz="America/New_York")
    start = datetime(*begin, tzinfo=NEW_YORK).astimezone(UTC) - MINUTE

    ticks = islice(plan.ticks(start, anchor=start), len(expected))

    assert [f"{tick.astimezone(NEW_YORK):%m-%d %H:%M}" for tick in ticks] == expected


@pytest.mark.parametrize(("day", "hours"), [((2026, 3, 8), 23), ((2026, 11, 1), 25)])
def test_every_half_hour_is_every_half_hour_of_real_time(
    day: tuple[int, int, int], hours: int
) -> None:
    plan = Plan.of(Cron("*/30 * * * *"), tz="America/New_York")
    begin = datetime(*day, tzinfo=NEW_YORK).astimezone(UTC)

    ticks = ticks_between(plan, begin - MINUTE, begin + hours * HOUR - MINUTE)

    assert ticks == [begin + n * 30 * MINUTE for n in range(2 * hours)]


@given(
    seconds=st.integers(1, 90_000),
    anchor=st.timedeltas(timedelta(0), 2000 * DAY),
    after=st.timedeltas(timedelta(0), 100 * DAY),
)  # fmt: skip
def test_an_interval_counts_on_from_where_it_began(
    seconds: int, anchor: timedelta, after: timedelta
) -> None:
    begun, interval = BEGIN + anchor, timedelta(seconds=seconds)
    plan = Plan.of(Every(seconds), tz="UTC")

    tick = plan.next_after(begun + after, anchor=begun)

    assert tick is not None
    assert (tick - begun) % interval == timedelta(0)
    assert begun + after < tick <= begun + after + interval


def test_an_interval_begins_at_once_and_a_line_when_it_is_time() -> None:
    assert Plan.of(Every(60), tz="UTC").first_after(BEGIN) == BEGIN
    assert Plan.of(Cron("0 8 * * *"), tz="UTC").first_after(BEGIN) == BEGIN + 8 * HOUR
    assert Plan.of(OnDemand(), tz="UTC").first_after(BEGIN) is None


def test_after_a_downtime_the_newest_tick_fires() -> None:
    due = Plan.of(Every(60), tz="UTC").due(BEGIN, BEGIN + 10 * MINUTE + MINUTE / 2, anchor=BEGIN)

    assert (due.tick, due.following, due.missed) == (BEGIN + 10 * MINUTE, BEGIN + 11 * MINUTE, 10)


def test_or_all_of_the_window_do_one_after_the_other() -> None:
    plan = Plan.of(Every(60, catch_up="all", window=300), tz="UTC")
    now, due = BEGIN + 10 * MINUTE + MINUTE / 2, BEGIN

    fired, missed = list[datetime | None](), 0
    while due <= now:
        step = plan.due(due, now, anchor=BEGIN)
        assert step.following is not None
        fired, missed, due = [*fired, step.tick], missed + step.missed, step.following

    assert fired == [BEGIN + n * MINUTE for n in range(6, 11)]
    assert missed == 6


def test_or_none_that_is_more_than_a_minute_late_does() -> None:
    plan = Plan.of(Cron("0 * * * *", catch_up="skip"), tz="UTC")

    late = plan.due(BEGIN, BEGIN + 2 * MINUTE, anchor=BEGIN)
    fresh = plan.due(BEGIN, BEGIN + MINUTE / 2, anchor=BEGIN)

    assert (late.tick, late.following, late.missed) == (None, BEGIN + HOUR, 1)
    assert (fresh.tick, fresh.following, fresh.missed) == (BEGIN, BEGIN + HOUR, 0)


@pytest.mark.parametrize("policy", ["latest", "all", "skip"])
@pytest.mark.parametrize("schedule", [Every(1), Cron("* * * * *")])
def test_a_year_of_downtime_is_looked_through_in_no_time(
    schedule: Every | Cron, policy: str
) -> None:
    kind = {"catch_up": policy, "window": 60}
    plan = Plan.of(
        Every(1, **kind) if isinstance(schedule, Every) else Cron("* * * * *", **kind),  # type: ignore[arg-type]  # one of three words
        tz="UTC",
    )
    now = BEGIN + 365 * DAY + timedelta(seconds=0.5)

    due = plan.due(BEGIN, now, anchor=BEGIN)

    assert due.tick is not None
    assert now - due.tick <= MINUTE
    assert due.missed >= MOST


@given(
    first=st.integers(0, 5000),
    late=st.integers(0, 20_000),
    policy=st.sampled_from(["latest", "all", "skip"]),
    window=st.integers(60, 3000),
)
def test_whatever_the_policy_what_follows_is_later_and_no_tick_is_dealt_with_twice(
    first: int, late: int, policy: str, window: int
) -> None:
    plan = Plan.of(Every(7, catch_up=policy, window=window), tz="UTC")  # type: ignore[arg-type]  # one of three words
    due_at = BEGIN + timedelta(seconds=7 * first)

    step = plan.due(due_at, due_at + timedelta(seconds=late), anchor=BEGIN)

    assert step.following is not None
    dealt_with = (step.following - due_at) // timedelta(seconds=7)
    assert min(dealt_with, MOST) - 1 <= step.missed <= dealt_with
    assert step.tick is None or due_at <= step.tick < step.following
