"""Nurture sequences: which messages contacts get one after the other, and what ends that.

They are edited while contacts are in them: a step keeps its id, by which is known who has had it,
and what is next for each contact is planned anew after every change.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from jobs.nurture.core import Step
from jobs.nurture.replan_sequence import ChangedSequence, replan_sequence
from jobs.nurture.sequences import queries
from jobs.nurture.wording import problem_of
from worker.outbox import enqueue_in
from worker.sidecar.access.principal import Role
from worker.sidecar.api.auditing import audited
from worker.sidecar.api.errors import ApiError, invalid, not_found
from worker.sidecar.api.jobs import headers_of
from worker.sidecar.api.nurture_models import (
    NewSequence,
    NewSteps,
    OneSequence,
    SequenceChange,
    SequenceShown,
    WantedStep,
    shown,
)
from worker.sidecar.api.operation import Call, Page, PageParameters, Parameters, operation
from worker.sidecar.api.paging import cursor, page_of, place

if TYPE_CHECKING:
    from jobs.nurture.sequences.queries import Connection, Pool

_MOST = 200  # sequences of one tenant
_MOST_KNOWN = 500  # steps that a sequence ever had


@operation(
    "GET",
    "/nurture-sequences",
    tag="sequences",
    role=Role.VIEWER,
    tenants=True,
    summary="All nurture sequences, or one tenant's.",
)
async def list_nurture_sequences(call: Call[PageParameters, None]) -> Page[SequenceShown]:
    asked, db = call.parameters, call.services.db
    after = place(asked.after, UUID)
    rows = await queries.page(db, call.tenant_id, after=after, limit=asked.limit + 1)
    known = {one.sequence_id: one for one in await shown(db, rows)}
    return page_of(
        rows, asked.limit, lambda row: known[row.sequence_id], lambda row: cursor(row.sequence_id)
    )


@operation(
    "POST",
    "/nurture-sequences",
    tag="sequences",
    role=Role.OPERATOR,
    tenants=True,
    action="nurture_sequence.create",
    status=201,
    errors=(404, 409),
    summary="Make a nurture sequence.",
)
async def create_nurture_sequence(call: Call[Parameters, NewSequence]) -> SequenceShown:
    tenant_id, body = call.tenant_id or call.body.tenant_id, call.body
    if tenant_id is None:
        raise invalid({"tenant_id": "say whose sequence it is"}, where="body")
    if body.tenant_id not in (None, tenant_id):
        raise not_found("tenant")
    sequence_id = uuid4()
    async with audited(call, targets=[sequence_id]) as connection:
        is_there, number = await queries.lock_tenant(connection, tenant_id)
        if not is_there:
            raise not_found("tenant")
        if number >= _MOST:
            raise ApiError(409, "too_many", f"a tenant has {_MOST} sequences at most")
        await _check_name(connection, tenant_id, sequence_id, body.name)
        await queries.insert(
            connection,
            tenant_id,
            sequence_id,
            name=body.name,
            exit_on=sorted(set(body.exit_on)),
            values=body.values,
        )
        await _put_steps(connection, tenant_id, sequence_id, body.steps, body.values)
        return await _one(connection, tenant_id, sequence_id)


@operation(
    "GET",
    "/nurture-sequences/{sequence_id}",
    tag="sequences",
    role=Role.VIEWER,
    tenants=True,
    errors=(404,),
    summary="One nurture sequence, with its steps.",
)
async def get_nurture_sequence(call: Call[OneSequence, None]) -> SequenceShown:
    return await _one(call.services.db, call.tenant_id, call.parameters.sequence_id)


@operation(
    "PATCH",
    "/nurture-sequences/{sequence_id}",
    tag="sequences",
    role=Role.OPERATOR,
    tenants=True,
    action="nurture_sequence.change",
    errors=(404, 409),
    summary="Rename a nurture sequence, change what ends it or what it says, have it rest.",
)
async def change_nurture_sequence(call: Call[OneSequence, SequenceChange]) -> SequenceShown:
    async with audited(call) as connection:
        known = await _locked(connection, call)
        asked = {name: value for name, value in call.body if value is not None}
        wanted = {
            "name": known.name,
            "is_active": known.is_active,
            "exit_on": known.exit_on,
            "values": known.values,
            **asked,
        }
        await _check_name(connection, known.tenant_id, known.sequence_id, wanted["name"])
        steps = await queries.steps_of(connection, [known.sequence_id])
        await _check_templates(
            connection, known.tenant_id, steps[known.sequence_id], wanted["values"]
        )
        wanted["exit_on"] = sorted(set(wanted["exit_on"]))
        await queries.update(connection, known.tenant_id, known.sequence_id, **wanted)
        await _replan(connection, call, known)
        return await _one(connection, known.tenant_id, known.sequence_id)


@operation(
    "PUT",
    "/nurture-sequences/{sequence_id}/steps",
    tag="sequences",
    role=Role.OPERATOR,
    tenants=True,
    action="nurture_sequence.edit",
    errors=(404, 409),
    summary="Give a nurture sequence other steps, another order, other delays.",
)
async def put_nurture_steps(call: Call[OneSequence, NewSteps]) -> SequenceShown:
    """Contacts who are in it get each step once, and none that is due is left out. A step that was
    taken out may come back under its id.
    """
    async with audited(call) as connection:
        known = await _locked(connection, call)
        if call.body.version not in (None, known.version):
            raise ApiError(
                409, "changed", f"somebody changed it: it has version {known.version} now"
            )
        await _put_steps(
            connection, known.tenant_id, known.sequence_id, call.body.steps, known.values
        )
        await queries.update(
            connection,
            known.tenant_id,
            known.sequence_id,
            name=known.name,
            is_active=known.is_active,
            exit_on=known.exit_on,
            values=known.values,
        )
        await _replan(connection, call, known)
        return await _one(connection, known.tenant_id, known.sequence_id)


async def _locked(connection: "Connection", call: Call[OneSequence, Any]) -> queries.Row:
    """Two who change it at once do so one after the other."""
    sequence_id = call.parameters.sequence_id
    await queries.lock(connection, call.tenant_id, sequence_id)
    known = await queries.find(connection, call.tenant_id, sequence_id)
    if known is None:
        raise not_found("sequence")
    return known


async def _replan(connection: "Connection", call: Call[Any, Any], known: queries.Row) -> None:
    payload = ChangedSequence(tenant_id=known.tenant_id, sequence_id=known.sequence_id)
    await enqueue_in(connection, replan_sequence, payload, headers=headers_of(call))


async def _one(db: "Pool | Connection", tenant_id: UUID | None, sequence_id: UUID) -> SequenceShown:
    row = await queries.find(db, tenant_id, sequence_id)
    if row is None:
        raise not_found("sequence")
    return (await shown(db, [row]))[0]


async def _check_name(
    connection: "Connection", tenant_id: UUID, sequence_id: UUID, name: str
) -> None:
    if await queries.is_taken(connection, tenant_id, name, sequence_id=sequence_id):
        raise ApiError(409, "taken", "another sequence has this name")


async def _put_steps(
    connection: "Connection",
    tenant_id: UUID,
    sequence_id: UUID,
    wanted: Sequence[WantedStep],
    values: Mapping[str, str],
) -> None:
    """Raises ApiError, which names the step that does not fit."""
    known = await queries.known_steps(connection, tenant_id, sequence_id)
    said = [step.step_id for step in wanted if step.step_id is not None]
    for number, step in enumerate(wanted):
        if step.step_id is not None and step.step_id not in known:
            raise invalid({f"steps.{number}.step_id": "this sequence never had such a step"})
        if step.step_id is not None and said.count(step.step_id) > 1:
            raise invalid({f"steps.{number}.step_id": "stands here twice"})
    steps = [step.step() for step in wanted]
    if len(known.union(step.step_id for step in steps)) > _MOST_KNOWN:
        raise ApiError(409, "too_many", f"a sequence has had {_MOST_KNOWN} steps at most")
    await _check_templates(connection, tenant_id, steps, values)
    await queries.put_steps(connection, tenant_id, sequence_id, steps)


async def _check_templates(
    connection: "Connection", tenant_id: UUID, steps: Sequence[Step], values: Mapping[str, str]
) -> None:
    """Raises ApiError."""
    for number, step in enumerate(steps):
        problem = await problem_of(connection, tenant_id, step.template, frozenset(values))
        if problem is not None:
            raise invalid({f"steps.{number}.template": problem})
