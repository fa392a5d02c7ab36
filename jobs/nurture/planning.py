"""Plans: which step an enrolment has next, and the run that will take it.

Progress and the next run are written in one transaction, by whoever has locked the enrolment's row.
Each plan is a turn; a run of an older turn finds that out when it wakes, and does nothing.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from jobs.kit import Job, JobContext, TenantPayload, discover
from jobs.nurture import queries
from jobs.nurture.core import Due, Step, StepState, next_due
from jobs.nurture.queries import Enrolment
from jobs.nurture.sequences import line

if TYPE_CHECKING:
    from jobs.nurture.queries import Connection


class DueStep(TenantPayload):
    """Whichever step is due then; only if nothing was planned since this turn."""

    contact_id: UUID
    sequence_id: UUID
    enrolment_id: UUID
    turn: int


def due_step(enrolment: Enrolment, steps: Sequence[Step], done: Collection[UUID]) -> Due | None:
    """What is next for it; None when it has had all."""
    return next_due(steps, done, counts_from=enrolment.counts_from)


async def plan(
    ctx: JobContext,
    connection: "Connection",
    enrolment: Enrolment,
    of: line.Line | None,
    done: Collection[UUID],
) -> None:
    """Plan what is next, of an enrolment that is locked and becomes, or stays, active.

    Without a step that is left it is completed; in an inactive sequence it waits.
    """
    tenant_id, enrolment_id = enrolment.tenant_id, enrolment.enrolment_id
    if of is None or not of.is_active:
        await queries.plan(connection, tenant_id, enrolment_id, step_id=None, due_at=None)
        return
    due = due_step(enrolment, of.steps, done)
    if due is None:
        await queries.finish(connection, tenant_id, [enrolment_id], None, ctx.now())
        return
    turn = await queries.plan(
        connection, tenant_id, enrolment_id, step_id=due.step.step_id, due_at=due.at
    )
    payload = DueStep(
        tenant_id=tenant_id,
        contact_id=enrolment.contact_id,
        sequence_id=enrolment.sequence_id,
        enrolment_id=enrolment_id,
        turn=turn,
    )
    delay = max(due.at - ctx.now(), timedelta(0))
    await ctx.enqueue_in(connection, _job_of(due.step), payload, delay=delay)


async def finish_step(
    ctx: JobContext,
    connection: "Connection",
    enrolment_id: UUID,
    step_id: UUID,
    state: StepState,
) -> None:
    """Remember that the step is done, and plan the one after it. Harmless when repeated.

    For the transaction in which the step's message becomes sent. Who has left the sequence
    meanwhile, or pauses, had the step all the same.
    """
    assert ctx.run.tenant_id is not None  # noqa: S101 - of a DueStep
    tenant_id, now = ctx.run.tenant_id, ctx.now()
    enrolment = await queries.lock(connection, tenant_id, enrolment_id)
    if enrolment is None or not await queries.add_step(
        connection, tenant_id, enrolment_id, step_id, state, now
    ):
        return
    await queries.count_from(connection, tenant_id, enrolment_id, now, is_step=True)
    if enrolment.state == "active":
        await plan_again(ctx, connection, tenant_id, enrolment_id)


async def plan_again(
    ctx: JobContext, connection: "Connection", tenant_id: UUID, enrolment_id: UUID
) -> None:
    """Plan one enrolment by what its row says now; it is locked already."""
    enrolment = await queries.lock(connection, tenant_id, enrolment_id)
    if enrolment is None:
        return
    of = await line.get_line(connection, tenant_id, enrolment.sequence_id)
    done = await queries.done_steps(connection, tenant_id, [enrolment_id])
    await plan(ctx, connection, enrolment, of, done[enrolment_id])


def is_planned(
    enrolment: Enrolment, of: line.Line, done: Collection[UUID], *, now: datetime
) -> bool:
    """Has it the plan that it should have, and its run yet to come?"""
    due = due_step(enrolment, of.steps, done) if of.is_active else None
    if due is None:
        return not of.is_active and enrolment.next_due_at is None
    is_same = (enrolment.next_step_id, enrolment.next_due_at) == (due.step.step_id, due.at)
    return is_same and due.at > now


def _job_of(step: Step) -> Job[Any, Any]:
    """Found by name: what it does ends with a plan."""
    return discover()[job_name(step.channel)]


def job_name(channel: str) -> str:
    """Of the job that takes a step by this channel."""
    return "nurture.run_step" if channel == "email" else "nurture.run_text_step"
