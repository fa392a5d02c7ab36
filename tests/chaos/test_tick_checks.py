"""The reckoning of `python -m tests.chaos.schedules` finds what should not have been."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from jobs.kit import Cron, Every, OnDemand
from tests.chaos.marks import Interval
from tests.chaos.tick_checks import (
    Ask,
    Blow,
    Fired,
    Last,
    Seen,
    ask_troubles,
    expected,
    overlap_troubles,
    run_troubles,
    tick_troubles,
)

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECOND, NS = timedelta(seconds=1), 1_000_000_000
LEASE = 5


def at(seconds: float) -> datetime:
    return NOON + seconds * SECOND


def fired(*seconds: int, late: float = 0) -> list[Fired]:
    return [Fired("a", at(one), at(one + late), f"r{one}", is_by_hand=False) for one in seconds]


def interval(
    run_id: str, begin: float, end: float, worker: str = "w", attempt: int = 1
) -> Interval:
    return Interval(run_id, worker, attempt, int(begin * NS), int(end * NS), is_closed=True)


def troubles(every: Every | Cron, last: Last, ticks: Iterable[Fired]) -> list[str]:
    return list(tick_troubles("a", every, last, ticks))


def test_ticks_are_counted_from_the_anchor_and_by_the_minute() -> None:
    assert expected(Every(5), NOON, at(11)) == [NOON, at(5), at(10)]
    assert expected(Every(5), NOON, at(10)) == [NOON, at(5)]
    assert expected(Cron("* * * * *"), at(1), at(121)) == [at(60), at(120)]
    assert expected(OnDemand(), NOON, at(100)) == []


ALL, LATEST, SKIP = (Every(5, catch_up=policy) for policy in ("all", "latest", "skip"))


@pytest.mark.parametrize(
    ("schedule", "missed", "ticks"),
    [
        (ALL, 0, fired(0, 5, 10)),
        (ALL, 0, fired(0, 5, 10, late=300)),
        (LATEST, 1, fired(0, 10)),
        (SKIP, 2, fired(10, late=59)),
    ],
)
def test_what_its_policy_allows_is_no_trouble(
    schedule: Every, missed: int, ticks: list[Fired]
) -> None:
    assert troubles(schedule, Last(NOON, at(15), missed), ticks) == []


@pytest.mark.parametrize(
    ("schedule", "missed", "ticks", "trouble"),
    [
        (ALL, 0, fired(0, 5, 5, 10), "fired twice"),
        (ALL, 0, fired(0, 10, 5), "out of order"),
        (ALL, 1, fired(0, 10), "never fired"),
        (LATEST, 0, fired(0, 10), "2 fired and 0 missed of 3"),
        (LATEST, 1, fired(0, 6), "though not due"),
        (LATEST, 0, fired(0, 5, 10, late=-1), "too early"),
        (SKIP, 0, fired(0, 5, 10, late=62), "fired later than 0:01:00"),
        (replace(ALL, window=60), 0, fired(0, 5, 10, late=62), "fired later than 0:01:00"),
    ],
)
def test_what_its_policy_does_not_allow_is_found(
    schedule: Every, missed: int, ticks: list[Fired], trouble: str
) -> None:
    assert trouble in " ".join(troubles(schedule, Last(NOON, at(15), missed), ticks))


WELL = Seen(
    fired=fired(0, 5),
    enqueued=["r0", "r5"],
    outcomes={"r0": ["succeeded"], "r5": ["released", "succeeded"]},
    noted={"r0": {NOON}, "r5": {at(5)}},
    intervals={
        "r0": [interval("r0", 0, 1)],
        "r5": [interval("r5", 5, 6), interval("r5", 10, 11, "v")],
    },
    blows=[Blow("w", 6 * NS, 6 * NS)],
)


def test_a_run_that_is_begun_again_after_a_kill_is_no_trouble() -> None:
    assert list(run_troubles(WELL, LEASE)) == []
    assert list(overlap_troubles(WELL, {"a"}, LEASE)) == []


@pytest.mark.parametrize(
    ("seen", "trouble"),
    [
        (replace(WELL, blows=[]), "begun again without a cause"),
        (replace(WELL, blows=[Blow("v", 6 * NS, 6 * NS)]), "begun again without a cause"),
        (replace(WELL, enqueued=["r0"]), "ticks without a run"),
        (replace(WELL, enqueued=["r0", "r5", "r5"]), "enqueued 2 times"),
        (replace(WELL, enqueued=["r0", "r5", "x"]), "runs without a tick"),
        (replace(WELL, fired=fired(0)), "begun without a tick"),
        (replace(WELL, outcomes={"r0": ["succeeded"]}), "r5: ended []"),
        (replace(WELL, outcomes={**WELL.outcomes, "r0": ["succeeded"] * 2}), "r0: ended"),
        (replace(WELL, outcomes={**WELL.outcomes, "r0": ["dead"]}), "not succeeded"),
        (replace(WELL, failing={"a"}), "not dead"),
        (replace(WELL, noted={**WELL.noted, "r0": {at(5)}}), "its attempts were told"),
        (replace(WELL, noted={"r0": {NOON}}), "its attempts were told"),
    ],
)
def test_a_run_that_is_lost_doubled_or_told_wrong_is_found(seen: Seen, trouble: str) -> None:
    assert trouble in " ".join(run_troubles(seen, LEASE))


def test_two_runs_at_once_are_found_where_they_may_not_be() -> None:
    seen = replace(WELL, intervals={**WELL.intervals, "r0": [interval("r0", 0, 5.5)]})

    assert "at once: r0" in " ".join(overlap_troubles(seen, {"a"}, LEASE))
    assert list(overlap_troubles(seen, set(), LEASE)) == []


def test_a_worker_that_was_frozen_past_its_lease_holds_nothing_any_more() -> None:
    seen = replace(WELL, intervals={**WELL.intervals, "r0": [interval("r0", 0, 5.5, "v")]})

    frozen = replace(seen, blows=[*seen.blows, Blow("v", NS, 7 * NS)])

    assert list(overlap_troubles(seen, {"a"}, LEASE)) != []
    assert list(overlap_troubles(frozen, {"a"}, LEASE)) == []


@pytest.mark.parametrize(
    ("ask", "trouble"),
    [
        (Ask("a", 0.1, ["r0"], ["r0", "r0"], 0), None),
        (Ask("a", 0.1, [], ["r5"], 0), None),
        (Ask("a", 0.1, ["r0", "r5"], [], 0), "several callers got a run"),
        (Ask("a", 0.1, ["r0"], ["r12"], 0), "r0 began, others were told of {'r12'}"),
        (Ask("a", 0.1, ["r7"], [], 0), "asked for, and not there"),
        (Ask("a", 0.1, ["r0"], ["r8"], 0), "asked for, and not there"),
    ],
)
def test_of_those_who_ask_at_once_one_gets_the_run(ask: Ask, trouble: str | None) -> None:
    found = " ".join(ask_troubles(replace(WELL, fired=fired(0, 5, 12), asks=[ask])))

    assert trouble in found if trouble else not found
