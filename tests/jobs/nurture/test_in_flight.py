"""However a sequence is edited under those who are in it: no step comes twice, or early, or never.

Whatever may happen does, in any order, on real PostgreSQL: edits, pauses, time, workers that die
before and after they hand a mail over, two of them at the same run. What should come next is told
by a few lines here that know nothing of the code's own.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any
from unittest.mock import patch
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from clients.errors import ServiceUnavailableError
from jobs.nurture import stepping
from jobs.nurture.core import Step
from jobs.nurture.pause_sequence import pause_sequence
from jobs.nurture.replan_sequence import replan_sequence
from jobs.nurture.resume_sequence import resume_sequence
from jobs.nurture.start_sequence import start_sequence
from tests.conftest import Tenant
from tests.jobs.nurture.conftest import NOW
from tests.jobs.nurture.world import Stage, Waiting, add_contact, add_sequence, put_steps
from worker.testing import Clock, Rig

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

POOL = [uuid4() for _ in range(5)]  # steps that edits put in, take out, put back
HOUR = timedelta(hours=1)
ACCIDENTS = ("die before", "die after", "twins")


def an_edit(random: Random) -> list[tuple[int, int]]:
    """Which steps in which order, and the delay of each in hours."""
    which = random.sample(range(len(POOL)), k=random.randint(1, len(POOL)))
    return [(one, random.choice([0, 1, 5, 24, 24, 72, 72])) for one in which]


def a_story(random: Random) -> list[tuple[Any, ...]]:
    """Long ones: what Hypothesis draws of lists are short ones, in which little happens."""
    return [an_action(random) for _ in range(15)]


def an_action(random: Random) -> tuple[Any, ...]:
    kind = random.choice(["edit", "edit", "time", "time", "time", "pause", "resume", *ACCIDENTS])
    if kind == "edit":
        return kind, [] if random.random() < 0.05 else an_edit(random)
    return (kind, random.choice([1, 4, 24, 48])) if kind == "time" else (kind,)


def steps_of(edit: list[tuple[int, int]]) -> list[Step]:
    return [
        Step(
            step_id=POOL[which],
            delay=hours * HOUR,
            channel="email",
            template=f"nurture_{('welcome', 'first_visit', 'check_in')[which % 3]}",
        )
        for which, hours in edit
    ]


@dataclass
class Story:
    """One contact in one sequence, and what should become of it."""

    db: "Db"
    stage: Stage
    tenant_id: UUID
    sequence_id: UUID
    contact_id: UUID
    steps: list[Step]
    is_paused: bool = False
    is_over: bool = False
    # Time at work since the last step, or the start.
    elapsed: timedelta = timedelta(0)
    had: list[UUID] = field(default_factory=list)

    @property
    def expected(self) -> Step | None:
        return next((step for step in self.steps if step.step_id not in self.had), None)

    async def act(self, action: tuple[Any, ...]) -> None:
        match action:
            case ("edit", edit):
                await self.edit(edit)
            case ("time", hours):
                await self.pass_time(hours)
            case ("pause",):
                await self.tell(pause_sequence)
                self.is_paused = not self.is_over
            case ("resume",):
                await self.tell(resume_sequence)
                self.is_paused = False
            case ("die before",):
                self.stage.rig.outbox.error = ServiceUnavailableError("away")
                await self.attempt_next()
                self.stage.rig.outbox.error = None
            case ("die after",):
                with patch.object(stepping, "finish_step", _dies):
                    await self.attempt_next()
            case ("twins",):
                await self.attempt_next(twice=True)
        await self.settle()

    async def edit(self, edit: list[tuple[int, int]]) -> None:
        self.steps = steps_of(edit)
        await put_steps(self.db, self.tenant_id, self.sequence_id, self.steps)
        # The run that plans anew has its turn among all others that are due.
        payload = {"tenant_id": str(self.tenant_id), "sequence_id": str(self.sequence_id)}
        now = self.stage.rig.clock()
        self.stage.waiting.append(Waiting(now, uuid4().hex, replan_sequence.name, payload))

    async def tell(self, job: Any) -> None:
        payload = {"tenant_id": str(self.tenant_id), "contact_ids": [str(self.contact_id)]}
        (await self.stage.rig.run(job, payload)).succeeded()

    async def pass_time(self, hours: int) -> None:
        for _ in range(hours):
            await self.stage.collect()
            self.stage.rig.clock.move(HOUR)
            if not self.is_paused:
                self.elapsed += HOUR
            await self.settle()

    async def attempt_next(self, *, twice: bool = False) -> None:
        """The run that is due next, if one is, has an attempt that goes wrong."""
        waiting = [
            one for one in await self.stage.collect() if one.due_at <= self.stage.rig.clock()
        ]
        if not waiting:
            # What is due comes at once, so that it is the next step that something happens to.
            return await self.step_now(twice=twice)
        return await self.attempt(waiting[0], twice=twice)

    async def step_now(self, *, twice: bool) -> None:
        """Time goes on to the very moment of the next step."""
        ahead = await self.stage.collect()
        if not ahead or self.is_paused:
            return
        hours = max((ahead[0].due_at - self.stage.rig.clock()) / HOUR, 0)
        passing = timedelta(hours=round(hours))
        self.stage.rig.clock.move(passing)
        self.elapsed += passing
        await self.attempt(ahead[0], twice=twice)

    async def attempt(self, one: Waiting, *, twice: bool) -> None:
        self.stage.waiting.remove(one)
        both = [one, Waiting(one.due_at, uuid4().hex, one.job, one.payload)] if twice else [one]
        runs = (self.stage.rig.run(each.job, each.payload, run_id=each.run_id) for each in both)
        for each, ended in zip(both, await asyncio.gather(*runs), strict=True):
            self.stage.put_back(each, ended)
        await self.check()

    async def settle(self) -> None:
        """Run all that is due until nothing is; retries come soon, and are given their time."""
        for _ in range(50):
            due = [one for one in await self.stage.collect() if self.is_soon(one)]
            if not due:
                break
            one = due[0]
            self.stage.waiting.remove(one)
            await self.stage.run(one)
            await self.check()
        else:
            pytest.fail("there is no end of it")
        expected = self.expected
        self.is_over = self.is_over or (expected is None and not self.is_paused)
        if expected is not None and not self.is_over and not self.is_paused:
            assert self.elapsed < expected.delay, "what is due did not come"

    def is_soon(self, one: Waiting) -> bool:
        return one.due_at <= self.stage.rig.clock() + timedelta(minutes=30)

    async def check(self) -> None:
        """What came is what was due, and came once."""
        keys = [
            UUID(row["key"].rpartition(":")[2])
            for row in await self.db.fetch(
                "select key from deliveries where tenant_id = $1 and status = 'sent'"
                " and key like 'nurture:%' order by sent_at",
                self.tenant_id,
            )
        ]
        for step_id in keys:
            if step_id in self.had:
                continue
            expected = self.expected
            assert expected is not None
            assert not self.is_paused
            assert (step_id, self.elapsed >= expected.delay) == (expected.step_id, True)
            self.had.append(step_id)
            self.elapsed = timedelta(0)
        ids = [sent.message_id for sent in self.stage.rig.mails]
        assert len(ids) == len(set(ids)), "a step came twice"


async def _dies(*_: Any) -> None:
    raise ConnectionResetError("the database is gone")


async def begin(db: "Db", rig: Rig, tenant: Tenant, edit: list[tuple[int, int]]) -> Story:
    stage, steps, tenant_id = Stage(db, rig), steps_of(edit), tenant.tenant_id
    await db.execute("delete from outbox")
    contact_id = await add_contact(db, tenant_id)
    sequence_id = await add_sequence(db, tenant_id, steps, name=uuid4().hex)
    payload = {
        "tenant_id": str(tenant_id),
        "contact_ids": [str(contact_id)],
        "sequence": str(sequence_id),
    }
    (await rig.run(start_sequence, payload)).succeeded()
    await db.execute("delete from deliveries")
    return Story(db, stage, tenant_id, sequence_id, contact_id, steps)


Begin = Callable[[list[tuple[int, int]]], Awaitable[Story]]


@pytest.mark.timeout(300)
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(random=st.randoms(use_true_random=True))
async def test_no_step_comes_twice_or_early_and_none_that_is_due_is_left_out(
    db: "Db", tenant: Tenant, random: Random
) -> None:
    first, story = an_edit(random), a_story(random)
    note(f"{first} {story}")
    with Rig(db=db, clock=Clock(NOW)) as rig:
        told = await begin(db, rig, tenant, first)
        await told.settle()
        for action in story:
            await told.act(action)
        await told.act(("resume",))
        await told.pass_time(24 * 3)
        for _ in POOL:
            await told.pass_time(24 * 3) if not told.is_over else None

        state = await db.fetchval(
            "select state from enrolments where sequence_id = $1", told.sequence_id
        )
        assert state == "completed"
        assert told.is_over
