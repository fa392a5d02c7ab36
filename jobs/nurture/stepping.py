"""One step of one enrolment: look whether it is due, send it, and plan the one after it."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from jobs.kit import Cancel, JobContext, Snooze
from jobs.messaging.profile import Profile, profile_of
from jobs.nurture import queries
from jobs.nurture.contacts.contact import Contact, load_contacts
from jobs.nurture.contacts.queries import last_reply
from jobs.nurture.core import EndReason, Step, end_reason
from jobs.nurture.planning import DueStep, due_step, finish_step
from jobs.nurture.queries import Enrolment
from jobs.nurture.sending import Wanted, send
from jobs.nurture.sequences.line import Line, get_line

if TYPE_CHECKING:
    from jobs.nurture.queries import Connection


@dataclass(frozen=True, slots=True)
class Ready:
    """A step that is due, and may be sent."""

    contact: Contact
    line: Line
    step: Step


async def take_step(ctx: JobContext, payload: DueStep) -> dict[str, Any]:
    """Take whichever step is due now, once however often this is run.

    Raises Cancel when something else was planned since, Snooze when it is too early, and what
    sending raises. The row is not locked while the provider is spoken to: what changes then finds
    the step done, or not, when it is planned anew.
    """
    profile = await profile_of(ctx.db, payload.tenant_id)
    async with ctx.transaction() as connection:
        found = await _look(ctx, connection, payload, profile)
    if not isinstance(found, Ready):
        ctx.log.info("A sequence is over", sequence_id=str(payload.sequence_id), reason=found)
        return {"step_id": None, "state": found}
    step_id = found.step.step_id
    wanted = Wanted(
        template=found.step.template,
        channel=found.step.channel,
        values=found.line.values,
        key=f"nurture:{payload.enrolment_id}:{step_id}",
        personalise=found.step.personalise,
        check=partial(_check, ctx, payload, profile, step_id),
    )
    recording = partial(_record_sent, ctx=ctx, enrolment_id=payload.enrolment_id, step_id=step_id)
    outcome = await send(ctx, profile, found.contact, wanted, recording)
    if not outcome.is_recorded:
        async with ctx.transaction() as connection:
            await finish_step(ctx, connection, payload.enrolment_id, step_id, outcome.state)
    return {"step_id": str(step_id), "state": outcome.state, "reason": outcome.reason}


async def _check(ctx: JobContext, payload: DueStep, profile: Profile, step_id: UUID) -> None:
    """They may have replied since, or somebody paused it. Raises Cancel."""
    async with ctx.transaction() as connection:
        found = await _look(ctx, connection, payload, profile)
    if not isinstance(found, Ready) or found.step.step_id != step_id:
        raise Cancel("the sequence is over for this contact, or goes on elsewhere")


async def _record_sent(
    connection: "Connection", *, ctx: JobContext, enrolment_id: UUID, step_id: UUID
) -> None:
    await finish_step(ctx, connection, enrolment_id, step_id, "sent")


async def _look(
    ctx: JobContext, connection: "Connection", payload: DueStep, profile: Profile
) -> Ready | EndReason | str:
    """The step that is due, or why the sequence is over for this contact, which is written down."""
    enrolment = await queries.lock(connection, payload.tenant_id, payload.enrolment_id)
    if enrolment is None or enrolment.state != "active" or enrolment.turn != payload.turn:
        raise Cancel("something else was planned since")
    line = await get_line(connection, payload.tenant_id, enrolment.sequence_id)
    contacts = await load_contacts(connection, profile, [enrolment.contact_id])
    if line is None or not line.is_active or not contacts:
        raise Cancel("the sequence is not active")
    why = await _end_reason(connection, enrolment, line, contacts[0])
    done = await queries.done_steps(connection, payload.tenant_id, [payload.enrolment_id])
    due = due_step(enrolment, line.steps, done[payload.enrolment_id])
    if why is not None or due is None:
        await queries.finish(connection, payload.tenant_id, [payload.enrolment_id], why, ctx.now())
        return why or "completed"
    if due.at > ctx.now():
        raise Snooze(due.at - ctx.now(), "it was put off")
    return Ready(contacts[0], line, due.step)


async def _end_reason(
    connection: "Connection", enrolment: Enrolment, line: Line, contact: Contact
) -> EndReason | None:
    replied_at = await last_reply(connection, enrolment.tenant_id, enrolment.contact_id)
    return end_reason(
        contact.standing,
        exit_on=line.exit_on,
        started_at=enrolment.started_at,
        replied_at=replied_at,
    )
