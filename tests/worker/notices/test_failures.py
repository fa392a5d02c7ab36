"""Acceptance row O-15: failures of one kind are one notice, however many they are."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.worker.ledger.records import attempt
from tests.worker.notices.conftest import HOUR, MINUTE, SECOND, START, Scene
from worker.ending import State
from worker.ledger.rows import write_attempts
from worker.notices.build import forget_notices
from worker.notices.policy import Rules
from worker.rates import RateWriter, Tally
from worker.records import TICK

KIND = {"job": "testing.add_line", "error_type": "ValueError"}


async def test_failures_of_one_kind_are_one_notice(scene: Scene) -> None:
    run_ids = await scene.fail(300)

    await scene.look()

    notice = await scene.notice()
    assert (notice.kind, notice.job, notice.error_type) == ("failures", *KIND.values())
    assert (notice.queue, notice.count, notice.dead) == ("default", 300, 300)
    assert (notice.first_at, notice.last_at, notice.opened_at) == (START, START, scene.now)
    assert set(notice.run_ids) <= set(run_ids)
    assert len(notice.run_ids) == 5
    assert await scene.told() == [("failures", "opened", 300)]
    assert len(await scene.enqueued("operations.send_notice_mail")) == 1
    assert scene.counted == [("failures", "opened")]


async def test_failed_attempts_count_though_their_runs_go_on(scene: Scene) -> None:
    await scene.fail(5, state=State.RETRYING)

    await scene.look()

    notice = await scene.notice()
    assert (notice.count, notice.dead) == (5, 0)


@pytest.mark.parametrize(
    "state",
    [State.SUCCEEDED, State.CANCELLED, State.EXPIRED, State.SNOOZED, State.RELEASED],
)
async def test_what_is_no_failure_does_not_count(scene: Scene, state: State) -> None:
    await scene.fail(50, state=state)

    await scene.look()

    assert await scene.notices() == []


async def test_fewer_than_the_threshold_are_none(scene: Scene) -> None:
    await scene.fail(4)
    await scene.look()
    assert await scene.notices() == []

    await scene.fail(1)
    await scene.look()

    assert (await scene.notice()).count == 5


async def test_failures_of_different_kinds_are_not_added_up(scene: Scene) -> None:
    for error_type in ("ValueError", "KeyError"):
        for job in ("testing.add_line", "testing.nap"):
            await scene.fail(4, job=job, error_type=error_type)

    await scene.look()

    assert await scene.notices() == []


async def test_failures_that_lie_far_apart_are_none(scene: Scene) -> None:
    for _ in range(8):
        await scene.fail(1)
        await scene.look(4 * MINUTE)  # four in each quarter of an hour

    assert await scene.notices() == []


async def test_a_run_without_an_error_fails_for_its_reason(scene: Scene) -> None:
    await scene.fail(5, error_type=None, reason="unknown_job", job="no.such_job")

    await scene.look()

    assert (await scene.notice()).error_type == "unknown_job"


async def test_then_there_is_silence_and_reminders_further_and_further_apart(scene: Scene) -> None:
    told_at = []
    for minute in range(24 * 60):
        await scene.fail(1)
        told = len(await scene.told()) if minute % 10 == 0 else 0
        await scene.look()
        if len(await scene.told()) > told > 0 or minute == 4:
            told_at.append(scene.now)
        if minute > 500:
            break

    changes = await scene.told()
    assert [change for _, change, _ in changes] == ["opened", "ongoing", "ongoing", "ongoing"]
    assert [number for _, _, number in changes] == [5, 60, 120, 240]


async def test_when_it_has_been_quiet_that_is_told_once(scene: Scene) -> None:
    await scene.fail(7)
    await scene.look()

    for _ in range(40):
        await scene.look()

    notice = await scene.notice()
    assert notice.closed_at == START + 16 * MINUTE
    assert [change for _, change, _ in await scene.told()] == ["opened", "closed"]

    await scene.fail(5)
    await scene.look()
    assert len(await scene.notices()) == 2


async def test_several_troubles_that_come_together_are_one_mail(scene: Scene) -> None:
    for number in range(25):
        await scene.fail(5, job=f"testing.job{number}")

    await scene.look()

    (mail,) = await scene.enqueued("operations.send_notice_mail")
    assert (len(mail["troubles"]), mail["more"]) == (20, 5)
    assert len(await scene.enqueued()) == 25


async def test_what_is_written_twice_counts_once(scene: Scene) -> None:
    """The ledger delivers again what it did not acknowledge."""
    record = attempt(state=State.DEAD, error_type="ValueError", ended_at=START)
    entries = [
        (f"{number}-0", replace(record, run_id=f"r{number}").to_bytes()) for number in range(3)
    ]

    for _ in range(5):
        await write_attempts(scene.db, entries)
    await scene.look()

    assert await scene.notices() == []
    assert await scene.db.fetchval("select sum(failures) from failure_minutes") == 3


async def test_what_was_written_late_is_not_lost(scene: Scene) -> None:
    """PostgreSQL was away for hours: the failures of that time are judged when they come."""
    await scene.fail(5, at=START - 5 * HOUR)
    await scene.fail(1, at=START - 2 * HOUR)

    await scene.look()
    await scene.look()

    notice = await scene.notice()
    assert (notice.count, notice.first_at) == (6, START - 5 * HOUR)
    assert notice.is_open  # it has just been heard of
    assert await scene.told() == [("failures", "opened", 6)]


async def test_of_many_workers_one_tells(scene: Scene) -> None:
    await scene.fail(300)
    scene.now += MINUTE

    await asyncio.gather(*(scene.watch().step() for _ in range(5)))
    await asyncio.gather(*(scene.watch().look_at_failures() for _ in range(5)))

    assert await scene.told() == [("failures", "opened", 300)]
    assert scene.counted == [("failures", "opened")]


async def test_writers_and_lookers_hold_up_nobody_and_lose_nothing(scene: Scene) -> None:
    async def write() -> None:
        for minute in range(10):
            await scene.fail(3, at=START + (10 - minute) * MINUTE)

    async def look() -> None:
        for _ in range(20):
            await scene.watch().look_at_failures()

    await asyncio.gather(write(), write(), write(), look(), look())
    await scene.watch().look_at_failures()

    assert (await scene.notice()).count == 90


async def test_more_rows_than_one_look_takes_are_looked_at_by_the_next(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.notices.watch._MOST", 2)
    for number in range(5):
        await scene.fail(5, job=f"testing.job{number}")

    await scene.look()

    assert len(await scene.notices()) == 5


async def test_a_schedule_that_fails_once_is_told_of_at_once(scene: Scene) -> None:
    for _ in range(2):
        await scene.fail(1, state=State.RETRYING, run_id=f"{TICK}a")
    await scene.look()
    assert await scene.notices() == []

    await scene.fail(1, run_id=f"{TICK}a")
    await scene.look()

    notice = await scene.notice()
    assert (notice.count, notice.dead, notice.is_scheduled) == (3, 1, True)


async def test_a_schedule_is_well_again_when_a_run_succeeds(scene: Scene) -> None:
    """That nothing failed since yesterday says nothing of a schedule that is due once a day."""
    await scene.fail(1, run_id=f"{TICK}a")
    for _ in range(24):
        await scene.look(HOUR)
    assert (await scene.notice()).is_open

    tally = Tally()
    at = scene.now.timestamp()
    tally.add("default", KIND["job"], "succeeded", [(at * 1000, at, at)], ended=at)
    await RateWriter(scene.db, tally).flush()
    await scene.look()

    assert not (await scene.notice()).is_open
    assert [change for _, change, _ in await scene.told()] == ["opened", "closed"]


async def test_thresholds_of_zero_tell_of_nothing(scene: Scene) -> None:
    scene.rules = Rules(failures=0, scheduled=0)
    await scene.fail(50)
    await scene.fail(1, run_id=f"{TICK}a")

    await scene.look()

    assert await scene.notices() == []


@pytest.mark.parametrize("job", ["operations.send_notice_mail", "operations.send_notice_webhook"])
async def test_a_notice_that_fails_is_no_trouble_of_its_own(scene: Scene, job: str) -> None:
    await scene.fail(100, job=job)

    await scene.look()

    assert await scene.notices() == []


async def test_nothing_personal_is_told(scene: Scene) -> None:
    """Not even where callers chose names and ids that are."""
    personal = "ayse.isik@anadolu.example"
    await scene.fail(
        5,
        job=f"mail to {personal}",
        run_id=f"welcome:{personal}",
        error_message=f"no such user {personal}",
        traceback=f"in send\n{personal}",
        label=personal,
    )

    await scene.look()

    assert personal not in repr(await scene.notice())
    assert (await scene.notice()).run_ids == ()
    assert personal not in str(await scene.enqueued())


async def test_odd_names_and_ids_hold_up_nothing(scene: Scene) -> None:
    await scene.fail(5, job="j\x00b" * 300, error_type="E\n" * 200, run_id="a\nb\x00" * 100)

    await scene.look()

    notice = await scene.notice()
    assert notice.run_ids == ()
    assert len(notice.job or "") <= 200


async def test_counts_and_notices_are_forgotten_when_they_are_old(scene: Scene) -> None:
    await scene.fail(5)
    await scene.look()
    await scene.look(HOUR)
    await scene.fail(5, job="testing.nap")  # nobody has looked at these

    await forget_notices(scene.db, timedelta(days=3650))
    assert len(await scene.notices()) == 1
    assert await scene.db.fetchval("select count(*) from failure_minutes") == 1

    await forget_notices(scene.db, SECOND)
    assert await scene.notices() == []
