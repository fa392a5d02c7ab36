"""The reckoning finds each kind of violation, and nothing where there is none."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import plays
from tests.chaos.history import Attempt, Ended, Key, Records
from tests.chaos.invariants import Evidence, overlaps, violations
from tests.chaos.marks import Interval, read_intervals
from tests.chaos.orders import KINDS, Order

RUN = "run"
AT = datetime(2026, 11, 30, tzinfo=UTC)
SECOND = 1_000_000_000


def order(job: Any) -> Order:
    return Order(RUN, next(kind for kind in KINDS if kind.job is job), {})


def evidence(
    job: Any = plays.succeed,
    *outcomes: str,
    state: str = "",
    reason: str | None = None,
    **changes: Any,
) -> Evidence:
    """Of one run that went through these attempts; without any it succeeded at once."""
    names = outcomes or ("succeeded",)
    attempts, spent = [], 1
    for name in names:
        attempts.append(Attempt(spent, name, "w", AT, None))
        spent += name == "retrying"
    last = state or names[-1]
    records = Records(
        runs={RUN: Ended(last, attempts[-1].attempt, reason)},
        attempts={RUN: attempts},
        dead_letters={RUN: 1} if last == "dead" else {},
    )
    return replace(Evidence(orders={RUN: order(job)}, records=records), **changes)


def rules(found: Evidence) -> list[str]:
    return [violation.rule for violation in violations(found)]


def held(worker: str, begin: int, end: int, *, is_closed: bool = True) -> Interval:
    return Interval(RUN, worker, 1, begin * SECOND, end * SECOND, is_closed)


@pytest.mark.parametrize(
    "found",
    [
        evidence(),
        evidence(plays.snooze, "snoozed", "released", "snoozed", "succeeded"),
        evidence(plays.fail_first, "retrying", "retrying", "retrying", "succeeded"),
        evidence(plays.fail_always, "retrying", "retrying", "dead"),
        evidence(plays.cancel, "cancelled"),
        evidence(plays.send_mail, receipts={RUN: 1}),
        evidence(plays.send_mail, "dead", reason="rejected", receipts={RUN: 1}),
        evidence(intervals={RUN: [held("a", 1, 2), held("b", 2, 3)]}),
        evidence(keys=[Key("arq:result:run", 1000), Key("deskhand:events", -1)]),
    ],
)
def test_what_went_well_is_no_violation(found: Evidence) -> None:
    assert rules(found) == []


@pytest.mark.parametrize(
    ("found", "rule"),
    [
        (replace(evidence(), records=Records()), "a run is lost"),
        (evidence(plays.fail_first, "retrying"), "a run is lost"),
        (replace(evidence(), orders={}), "a run that nobody asked for"),
        (evidence(plays.succeed, "succeeded", "succeeded"), "not exactly one terminal record"),
        (evidence(plays.succeed, "released", state="succeeded"), "not exactly one terminal record"),
        (evidence(plays.succeed, "cancelled"), "a wrong ending"),
        (evidence(plays.succeed, "dead", reason="poison"), "poison without its crashes"),
        (evidence(plays.fail_first, *["retrying"] * 4, "succeeded"), "too many attempts"),
        (evidence(plays.fail_always, "retrying", "dead"), "too few attempts"),
        (evidence(plays.send_mail, receipts={RUN: 2}), "a duplicate delivery"),
        (evidence(plays.send_mail), "succeeded without a delivery"),
        (evidence(intervals={RUN: [held("a", 1, 3), held("b", 2, 4)]}), "two live owners"),
        (evidence(intervals={RUN: [held("a", 1, 3), held("a", 2, 4)]}), "two live owners"),
        (evidence(keys=[Key("arq:job:run", 1000)]), "a run's key is left in Redis"),
        (evidence(keys=[Key("arq:abort", -1)]), "a key without end or owner"),
        (evidence(keys=[Key("deskhand:events", -1, 3)]), "records wait in Redis"),
    ],
)
def test_each_violation_is_found(found: Evidence, rule: str) -> None:
    assert rule in rules(found)


def test_a_dead_run_without_a_dead_letter_is_found() -> None:
    found = evidence(plays.fail_always, "retrying", "retrying", "dead")
    forgotten = replace(found, records=replace(found.records, dead_letters={}))

    assert rules(forgotten) == ["dead letters do not fit"]


def test_a_mail_that_is_recorded_as_sent_and_never_arrived_is_found() -> None:
    found = evidence(plays.send_mail, "dead", reason="attempts_spent")
    recorded = replace(found, records=replace(found.records, deliveries={RUN: "sent"}))

    assert "sent, but never received" in rules(recorded)


def test_a_spent_attempt_that_is_not_on_record_is_found() -> None:
    found = evidence(plays.fail_first, "retrying", "succeeded")
    kept = replace(found.records, attempts={RUN: found.records.attempts[RUN][1:]})

    assert rules(replace(found, records=kept)) == ["attempts are miscounted"]


def test_poison_is_right_after_three_crashes() -> None:
    crashes = [held(name, at, at + 1, is_closed=False) for at, name in enumerate("abc")]
    found = evidence(plays.succeed, "dead", reason="poison", intervals={RUN: crashes})

    assert rules(replace(found, killed=frozenset("abc"))) == []
    assert rules(replace(found, killed=frozenset("ab"))) == ["poison without its crashes"]


def test_an_overlap_is_excused_only_for_the_worker_that_was_stopped_and_then() -> None:
    found = evidence(intervals={RUN: [held("a", 10, 20), held("b", 16, 17)]})

    assert len(list(overlaps(found))) == 1
    assert rules(replace(found, stops={"a": [(11 * SECOND, 18 * SECOND)]})) == []
    assert rules(replace(found, stops={"c": [(11 * SECOND, 18 * SECOND)]})) == ["two live owners"]
    assert rules(replace(found, stops={"a": [(1 * SECOND, 7 * SECOND)]})) == ["two live owners"]


def test_marks_are_read_back_and_an_open_one_ends_with_its_process(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("B run 1 10\nB other 2 11\nE run 1 20\n")
    (tmp_path / "b").write_text("B run 1 25\nE run 1 30\n")

    found = read_intervals(tmp_path, {"a": 23, "b": 40})

    assert found == {
        "run": [
            Interval("run", "a", 1, 10, 20, is_closed=True),
            Interval("run", "b", 1, 25, 30, is_closed=True),
        ],
        "other": [Interval("other", "a", 2, 11, 23, is_closed=False)],
    }
