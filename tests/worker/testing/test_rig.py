"""One run in a test: its ending, its context, and what is kept of what it did."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from clients.errors import ServiceUnavailableError
from jobs.kit import PayloadError
from tests.worker.testing.rig_jobs import Chain, count_down, end, find_worker, greet, take_turns
from worker.ending import Reason, State
from worker.testing import (
    Clock,
    NotGivenError,
    Rig,
    assert_enqueued,
    refute_enqueued,
)

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

NOW = datetime(2026, 12, 3, 23, 30, tzinfo=UTC)


@pytest.fixture
def rig() -> Iterator[Rig]:
    with Rig(clock=Clock(NOW)) as rig:
        yield rig


async def test_a_success_has_what_was_returned_and_what_is_kept(rig: Rig) -> None:
    ended = await rig.run(end, {"how": "tuple"})

    assert ended.succeeded() == (1, NOW)
    assert ended.result == [1, "2026-12-03T23:30:00Z"]
    assert (ended.job, ended.attempt, ended.state) == ("rigged.end", 1, State.SUCCEEDED)


async def test_a_job_with_limits_runs_as_any_other(rig: Rig) -> None:
    ended = await rig.run(take_turns, {"left": 1})

    assert ended.succeeded() == 1


async def test_a_result_that_is_no_json_is_not_kept(rig: Rig) -> None:
    ended = await rig.run(end, {"how": "object"})

    assert ended.succeeded() is not None
    assert ended.result is None


async def test_each_way_to_end_is_told_as_a_worker_would(rig: Rig) -> None:
    assert (await rig.run(end, {"how": "error"})).retrying() == timedelta(seconds=60)
    assert (await rig.run(end, {"how": "away"})).retrying() == timedelta(hours=2)
    assert (await rig.run(end, {"how": "snooze"})).snoozed() == timedelta(seconds=90)
    assert (await rig.run(end, {"how": "cancel"})).cancelled() == "nothing to do"
    assert (await rig.run(end, {"how": "rejected"})).dead().message == "no such tenant"
    late = await rig.run(end, {"how": "slow"})
    assert late.retrying() == timedelta(seconds=60)
    assert late.failure is not None
    assert late.failure.error_type == "JobTimeoutError"


async def test_the_last_attempt_is_the_last(rig: Rig) -> None:
    ended = await rig.run(end, {"how": "error"}, attempt=3)

    assert ended.dead().error_type == "OSError"
    assert ended.reason == Reason.ATTEMPTS_SPENT
    assert isinstance(ended.error, OSError)


async def test_a_run_that_killed_three_workers_is_poison(rig: Rig) -> None:
    ended = await rig.run(end, {"how": "tuple"}, crashes=3)

    ended.dead()
    assert ended.reason == Reason.POISON
    assert ended.run is None


async def test_a_wrong_expectation_says_what_happened(rig: Rig) -> None:
    ended = await rig.run(end, {"how": "error"})

    for expect in (ended.succeeded, ended.snoozed, ended.cancelled, ended.dead):
        with pytest.raises(AssertionError, match=r"is retried at attempt 1 for 0:01:00") as told:
            expect()
        assert "OSError: the disk is full" in str(told.value)
        assert isinstance(told.value.__cause__, OSError)
    with pytest.raises(AssertionError, match=r"expected that it is retried, but .* succeeded"):
        (await rig.run(end, {"how": "tuple"})).retrying()


async def test_a_payload_is_checked_and_goes_through_json(rig: Rig) -> None:
    with pytest.raises(PayloadError, match="unknown field who"):
        await rig.run(end, {"how": "tuple", "who": 1})

    ended = await rig.run(end, {"how": 7}, is_checked=False)

    assert ended.reason == Reason.INVALID_PAYLOAD
    assert (await rig.run("rigged.end", {"how": "tuple"})).succeeded()


async def test_a_run_is_told_what_the_test_says(rig: Rig) -> None:
    tenant, before = uuid4(), NOW - timedelta(days=1)

    run = (
        await rig.run(
            end,
            {"how": "run"},
            attempt=2,
            run_id="r1",
            key="k",
            tenant_id=tenant,
            correlation_id="c",
            replay_of="r0",
            enqueued_at=before,
        )
    ).succeeded()

    assert (run.attempt, run.run_id, run.key, run.tenant_id) == (2, "r1", "k", tenant)
    assert (run.correlation_id, run.replay_of, run.enqueued_at) == ("c", "r0", before)


async def test_what_was_not_given_fails_the_test_whatever_the_job_makes_of_it(rig: Rig) -> None:
    with pytest.raises(NotGivenError, match=r"ctx\.db\.fetchval: make the rig with one, Rig\(db="):
        await rig.run(end, {"how": "db"})

    assert (await rig.run(end, {"how": "tuple"})).succeeded()


async def test_what_was_given_is_what_the_job_gets(db: "Db") -> None:
    with Rig(db=db) as rig:
        assert (await rig.run(end, {"how": "db"})).succeeded() == 1


async def test_files_are_gone_with_the_rig() -> None:
    with Rig() as rig:
        scratch = Path((await rig.run(end, {"how": "scratch"})).succeeded())
        await rig.storage.put("a/b", b"x")
        folder = scratch.parent.parent

        assert not scratch.exists()
        assert (folder / "storage/a/b").exists()
    assert not folder.exists()


async def test_lines_and_counts_are_kept(rig: Rig) -> None:
    await rig.run(end, {"how": "log"}, run_id="r1")
    await rig.run(end, {"how": "count"})

    (line,) = rig.logs
    assert (line["event"], line["found"], line["run_id"]) == ("Looked", 3, "r1")
    of = {"integration": "sam_gov", "operation": "import", "status": "success"}
    assert rig.counted.syncs == [{**of, "added": 2}]


async def test_offloaded_work_is_done_elsewhere(rig: Rig) -> None:
    assert (await rig.run(find_worker, {})).succeeded() not in (0, os.getpid())


@pytest.mark.parametrize("has_db", [False, True])
async def test_a_mail_is_kept_and_leaves_once(db: "Db", *, has_db: bool) -> None:
    payload = {"tenant_id": uuid4(), "user_id": uuid4()}
    with Rig(db=db if has_db else None, clock=Clock(NOW)) as rig:
        rig.outbox.error = ServiceUnavailableError("closed")
        assert (await rig.run(greet, payload)).retrying() == timedelta(seconds=60)
        rig.outbox.error = None

        statuses = [(await rig.run(greet, payload)).succeeded() for _ in range(2)]

        assert statuses == ["sent", "already_sent"]
        (sent,) = rig.mails
        assert sent.mail.template == "greeting"
        assert sent.message["To"].addresses[0].addr_spec == "ada@tenant.example"
        assert sent.message["Date"].datetime == NOW


async def test_enqueues_are_remembered_without_redis(rig: Rig) -> None:
    await rig.run(count_down, Chain(left=3, wait=60), correlation_id="c")
    await rig.run(count_down, Chain(left=3, wait=60))  # its key is taken

    (run,) = await assert_enqueued(
        rig, count_down, {"left": 2}, count=1, due_at=NOW + timedelta(seconds=60)
    )
    assert run.headers["cid"] == "c"
    await refute_enqueued(rig, count_down, {"left": 1})


def test_a_clock_stands_until_it_is_moved() -> None:
    clock = Clock(NOW)

    assert clock() == NOW == clock()
    assert clock.move(hours=1, minutes=1) == NOW + timedelta(minutes=61)
    assert clock.move_to(NOW + timedelta(days=1)) == NOW + timedelta(days=1) == clock()
    assert clock.moved == timedelta(days=1)
    with pytest.raises(ValueError, match="does not go back"):
        clock.move_to(NOW)
    with pytest.raises(ValueError, match="aware"):
        Clock(datetime(2026, 1, 1))  # noqa: DTZ001 - the mistake that is meant


async def test_a_job_sees_the_clock(rig: Rig) -> None:
    rig.clock.move(hours=1)

    _, now = (await rig.run(end, {"how": "tuple"})).succeeded()

    assert now == NOW + timedelta(hours=1)
