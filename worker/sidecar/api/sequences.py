"""Sequences and dunning on demand: start, pause, go on, stop, and look at one contact's.

What is to be done is a run of the job that has the name `<kind>-<action>` (an alias), for some
contacts of a tenant at once; the later steps of a contact are delayed runs on the kind's queue.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date, datetime
from typing import Literal, TypeAlias
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field

from jobs.dunning.holds.queries import find_hold
from jobs.kit import discover
from jobs.nurture import queries as nurture
from jobs.nurture.planning import job_name
from worker import history
from worker.ending import State
from worker.history import Filter, LiveRun, PastRun
from worker.sidecar.access.principal import Role
from worker.sidecar.api.auditing import audited_outside
from worker.sidecar.api.errors import ApiError, invalid, not_found, within
from worker.sidecar.api.jobs import check_admitted, headers_of
from worker.sidecar.api.operation import Answered, Body, Call, Parameters, operation
from worker.telemetry.redaction import MASK

Kind = Literal["nurture", "dunning"]
# With its sequence's name, and its next step's channel.
_Enrolled: TypeAlias = tuple[str, str | None, nurture.Enrolment]
_MOST_CONTACTS = 1000
_FINAL = tuple(state for state in State if state.is_final)
_MOST_STEPS = 100  # that are shown: ahead, and behind


class Acting(Parameters):
    kind: Kind
    action: Literal["start", "pause", "resume", "stop"]


class OneContact(Parameters):
    kind: Kind
    contact_id: UUID
    tenant_id: UUID | None = Field(None, description="For callers that are bound to none.")


class Contacts(Body):
    """`tenant_id` is for callers that are bound to none; `sequence` is for nurture alone."""

    tenant_id: UUID | None = Field(None, strict=False)
    contact_ids: list[UUID] = Field(min_length=1, max_length=_MOST_CONTACTS, strict=False)
    sequence: str | None = Field(None, min_length=1, max_length=200)
    reason: str | None = Field(None, min_length=1, max_length=500)


class Acted(Answered):
    """The run that does it, for so many contacts."""

    run_id: str
    is_new: bool
    contacts: int


class Step(Answered):
    """A step that is ahead (`due_at`), or one that is over. `run_id` is null while a step of
    nurture is further away than a day: its run waits in the outbox.
    """

    run_id: str | None
    job: str
    state: str
    due_at: AwareDatetime | None
    finished_at: AwareDatetime | None


class EnrolmentShown(Answered):
    """Where a contact is in a nurture sequence. `next_due_at` is null while it pauses or rests."""

    enrolment_id: UUID
    sequence_id: UUID
    sequence: str
    state: str
    end_reason: str | None
    started_at: AwareDatetime
    ended_at: AwareDatetime | None
    paused_at: AwareDatetime | None
    last_step_at: AwareDatetime | None
    next_step_id: UUID | None
    next_due_at: AwareDatetime | None


class HoldShown(Answered):
    """Why a contact is asked for nothing. `until` is the first day on which it is again, in the
    tenant's calendar; null: when somebody resumes it (paused) or starts it (stopped). The reason is
    masked, as in runs: the audit log has it.
    """

    state: Literal["paused", "stopped"]
    since: AwareDatetime
    until: date | None
    reason: str | None


class Steps(Answered):
    """The next of them first, and the newest of those that are over first. `enrolments` are of
    nurture, the newest first; `hold` is of dunning.
    """

    ahead: list[Step]
    over: list[Step]
    enrolments: list[EnrolmentShown]
    hold: HoldShown | None


class _Payload(BaseModel):
    tenant_id: UUID
    contact_ids: list[UUID]
    sequence: str | None
    reason: str | None


@operation(
    "POST",
    "/sequences/{kind}/{action}",
    tag="sequences",
    role=Role.OPERATOR,
    tenants=True,
    action="sequence.change",
    status=202,
    errors=(404,),
    summary="Start, pause, resume or stop nurture or dunning for up to 1000 contacts.",
)
async def change_sequences(call: Call[Acting, Contacts]) -> Acted:
    asked, body = call.parameters, call.body
    tenant_id = _tenant(call, body.tenant_id)
    job = discover().get(f"{asked.kind}-{asked.action}")
    if job is None:
        raise ApiError(404, "not_found", f"this version cannot {asked.action} {asked.kind}")
    fields = _Payload(
        tenant_id=tenant_id,
        contact_ids=list(dict.fromkeys(body.contact_ids)),
        sequence=body.sequence,
        reason=body.reason,
    )
    payload = job.validate(fields.model_dump(mode="json", exclude_none=True))
    await check_admitted(call, job, [payload])
    async with audited_outside(call, targets=fields.contact_ids, reason=body.reason):
        enqueued = await call.services.pool.enqueue(job, payload, headers=headers_of(call))
        call.affected = len(fields.contact_ids)
    return Acted(run_id=enqueued.run_id, is_new=enqueued.is_new, contacts=len(fields.contact_ids))


@operation(
    "GET",
    "/sequences/{kind}/contacts/{contact_id}",
    tag="sequences",
    role=Role.VIEWER,
    tenants=True,
    errors=(404,),
    summary="A contact's steps: those ahead, and the newest of those that are over.",
)
async def get_steps(call: Call[OneContact, None]) -> Steps:
    """Of the steps ahead those are found that are due within the first some thousand."""
    asked = call.parameters
    tenant_id = _tenant(call, asked.tenant_id)
    which = Filter(tenant_id=tenant_id, text=str(asked.contact_id))
    async with within():
        ahead = [
            run
            for state in ("active", "waiting", "delayed")
            for run in (
                await history.list_live(
                    call.services.pool, asked.kind, state, which=which, limit=_MOST_STEPS
                )
            ).runs
        ]
        over = await history.list_runs(
            call.services.db,
            Filter(states=_FINAL, queue=asked.kind, tenant_id=which.tenant_id, text=which.text),
            limit=_MOST_STEPS,
        )
        found = await _enrolments(call, tenant_id)
        hold = await _hold(call, tenant_id)
    # One may have ended in between.
    done = {run.run_id for run in over}
    return Steps(
        ahead=[
            *(_ahead(run) for run in ahead if run.run_id not in done),
            *_further_ahead(found, ahead, now=call.services.clock()),
        ],
        over=[_over(run) for run in over],
        enrolments=_shown(found),
        hold=hold,
    )


async def _hold(call: Call[OneContact, None], tenant_id: UUID) -> HoldShown | None:
    asked, services = call.parameters, call.services
    if asked.kind != "dunning":
        return None
    found = await find_hold(services.db, tenant_id, asked.contact_id, services.clock())
    if found is None:
        return None
    shown = {**asdict(found), "reason": None if found.reason is None else MASK}
    return HoldShown(**shown)


async def _enrolments(call: Call[OneContact, None], tenant_id: UUID) -> list[_Enrolled]:
    asked = call.parameters
    if asked.kind != "nurture":
        return []
    return await nurture.of_contact(
        call.services.db, tenant_id, asked.contact_id, limit=_MOST_STEPS
    )


def _further_ahead(
    found: Sequence[_Enrolled], live: Sequence[LiveRun], *, now: datetime
) -> list[Step]:
    """What is planned for these, and has no run in Redis yet."""
    there = {
        (payload.get("enrolment_id"), payload.get("turn"))
        for payload in (run.payload or {} for run in live)
    }
    planned = sorted(
        (one.next_due_at, str(one.enrolment_id), channel)
        for _, channel, one in found
        if one.next_due_at is not None
        and channel is not None
        and (str(one.enrolment_id), one.turn) not in there
    )
    return [
        Step(
            run_id=None,
            job=job_name(channel),
            state="delayed" if due_at > now else "waiting",
            due_at=due_at,
            finished_at=None,
        )
        for due_at, _, channel in planned
    ]


def _shown(found: Sequence[_Enrolled]) -> list[EnrolmentShown]:
    return [
        EnrolmentShown(
            enrolment_id=one.enrolment_id,
            sequence_id=one.sequence_id,
            sequence=name,
            state=one.state,
            end_reason=one.end_reason,
            started_at=one.started_at,
            ended_at=one.ended_at,
            paused_at=one.paused_at,
            last_step_at=one.last_step_at,
            next_step_id=one.next_step_id,
            next_due_at=one.next_due_at,
        )
        for name, _, one in found
    ]


def _tenant(call: Call[Acting, Contacts] | Call[OneContact, None], given: UUID | None) -> UUID:
    """Whose contacts they are. Raises ApiError."""
    bound: UUID | None = call.tenant_id
    if bound is not None and given not in (None, bound):
        raise not_found("tenant")
    tenant_id = bound or given
    if tenant_id is None:
        raise invalid({"tenant_id": "say whose contacts they are"})
    return tenant_id


def _ahead(run: LiveRun) -> Step:
    return Step(
        run_id=run.run_id, job=run.job, state=run.state, due_at=run.due_at, finished_at=None
    )


def _over(run: PastRun) -> Step:
    return Step(
        run_id=run.run_id, job=run.job, state=run.state, due_at=None, finished_at=run.finished_at
    )
