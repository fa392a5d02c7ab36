from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.dunning.core.stages import (
    DEFAULTS,
    Stage,
    due_stage,
    nearest,
    reached,
    wait_for_morning,
    ways,
)
from jobs.messaging.core.channels import CHANNELS, Channel, Choice

BOTH: set[Channel] = {"email", "sms"}
MAIL: set[Channel] = {"email"}
ISTANBUL = ZoneInfo("Europe/Istanbul")


@st.composite
def some_stages(draw: st.DrawFn) -> list[Stage]:
    """Of a tenant that has thought about it, or not: their days need not grow."""
    days = draw(st.lists(st.integers(1, 120), min_size=1, max_size=8, unique=True))
    return [
        Stage(position=place, days_overdue=day, tone="firm", channels=frozenset({"email"}))
        for place, day in enumerate(days, start=1)
    ]


@pytest.mark.parametrize(
    ("days", "position"),
    [
        (-5, None),
        (0, None),
        (2, None),
        (3, 1),
        (9, 1),
        (10, 2),
        (21, 3),
        (29, 3),
        (30, 4),
        (999, 4),
    ],
)
def test_a_stage_is_reached_on_its_day(days: int, position: int | None) -> None:
    stage = reached(DEFAULTS, days)

    assert (stage and stage.position) == position


def test_stages_that_were_passed_over_are_past() -> None:
    stage = due_stage(DEFAULTS, days_overdue=25, sent=1)

    assert stage == DEFAULTS[2]
    assert due_stage(DEFAULTS, days_overdue=25, sent=3) is None
    assert due_stage(DEFAULTS, days_overdue=29, sent=3) is None


@given(stages=some_stages(), days_looked=st.sets(st.integers(0, 150)))
def test_each_stage_is_sent_once_at_most_and_none_goes_back(
    stages: list[Stage], days_looked: set[int]
) -> None:
    sent: list[int] = []
    for day in sorted(days_looked):
        stage = due_stage(stages, days_overdue=day, sent=sent[-1] if sent else 0)
        if stage is not None:
            assert stage.days_overdue <= day
            sent.append(stage.position)

    assert sent == sorted(set(sent))
    if days_looked and max(days_looked) >= 120:
        assert sent[-1] == len(stages)  # whoever never pays hears the last word


def test_somebody_asked_too_early_is_asked_as_at_first() -> None:
    assert nearest(DEFAULTS, 1) == DEFAULTS[0]
    assert nearest(DEFAULTS, 12) == DEFAULTS[1]


def test_a_stage_with_both_channels_follows_their_preference() -> None:
    assert ways(BOTH, preferred=None, usable=BOTH, opted_out=()) == Choice(CHANNELS)
    assert ways(BOTH, preferred="sms", usable=BOTH, opted_out=()) == Choice(("sms",), "email")
    assert ways(BOTH, preferred="sms", usable={"email"}, opted_out=()) == Choice(("email",))


def test_a_stage_with_one_channel_keeps_to_it_and_has_the_other_in_hand() -> None:
    assert ways(MAIL, preferred="sms", usable=BOTH, opted_out=()) == Choice(("email",), "sms")
    assert ways(MAIL, preferred=None, usable={"sms"}, opted_out=()) == Choice(("sms",))


def test_who_has_unsubscribed_is_not_followed_to_the_telephone() -> None:
    assert not ways(MAIL, preferred=None, usable={"sms"}, opted_out={"email"})
    # This stage would have gone there anyway.
    assert ways(BOTH, preferred=None, usable={"sms"}, opted_out={"email"}) == Choice(("sms",))


@pytest.mark.parametrize(
    ("hour", "minute", "waits"),
    [(8, 59, 1 + 1 / 60), (9, 0, None), (17, 59, None), (18, 0, 16), (0, 0, 10), (23, 0, 11)],
)
def test_mail_about_money_comes_while_people_work(
    hour: int, minute: int, waits: float | None
) -> None:
    now = datetime(2026, 12, 3, hour, minute, tzinfo=ISTANBUL).astimezone(UTC)

    wait = wait_for_morning(now, ISTANBUL)

    assert wait == (None if waits is None else timedelta(hours=waits))


def test_a_wait_over_a_change_of_the_clock_ends_at_ten_all_the_same() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    now = datetime(2026, 10, 24, 20, 0, tzinfo=berlin)  # clocks go back that night

    wait = wait_for_morning(now.astimezone(UTC), berlin)

    assert wait == timedelta(hours=15)
    assert (now.astimezone(UTC) + wait).astimezone(berlin).hour == 10


@given(
    now=st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001 - the zone is beside it
    zone=st.sampled_from(["Europe/Istanbul", "America/New_York", "Asia/Kolkata", "Pacific/Apia"]),
)
def test_nobody_waits_longer_than_until_the_next_search(now: datetime, zone: str) -> None:
    wait = wait_for_morning(now, ZoneInfo(zone)) or timedelta(0)

    assert timedelta(0) <= wait < timedelta(hours=18)
    assert 9 <= (now + wait).astimezone(ZoneInfo(zone)).hour < 18


def test_the_defaults_grow_and_cost_nothing() -> None:
    assert [stage.days_overdue for stage in DEFAULTS] == [3, 10, 21, 30]
    assert [stage.tone for stage in DEFAULTS] == ["friendly", "firm", "firm", "final"]
    assert all(stage.fee_amount is None and stage.fee_percent is None for stage in DEFAULTS)
