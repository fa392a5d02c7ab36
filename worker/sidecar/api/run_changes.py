"""Runs: cancel, retry, promote and delete one; cancel some."""

import asyncio
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from worker import history
from worker.dead_letters import DeadLetterError
from worker.history import Promoted, RunError, UnknownRunError
from worker.sidecar.access.principal import Role
from worker.sidecar.api.auditing import MOST_SECONDS, audited_outside
from worker.sidecar.api.errors import ApiError, not_found
from worker.sidecar.api.operation import Answer, Answered, Body, Call, NoParameters, operation
from worker.sidecar.api.runs import OneRun, RunId, find_run, run_of

MOST_RUNS = 1000
_AT_ONCE = 10
_OVER = "it is over: nothing is left to be done"
_NOT_PUT_OFF: dict[Promoted, str] = {
    "waiting": "it is due already",
    "blocked": "it waits for room under a limit",
    "active": "it runs already",
    "gone": _OVER,
}

Outcome = Literal["cancelled", "stopping", "over", "not_found", "not_tried"]


class Cancel(Body):
    reason: str | None = Field(
        None, min_length=1, max_length=500, description="Why; kept with a run that waited."
    )


class CancelRuns(Cancel):
    run_ids: list[RunId] = Field(min_length=1, max_length=MOST_RUNS)


class Cancelled(Answered):
    """`cancelled`: it waited, and is over. `stopping`: its worker ends it, within a second."""

    run_id: str
    outcome: Literal["cancelled", "stopping"]


class OneOfMany(Answered):
    """`over`: it was before. `not_tried`: there was no time left, ask again."""

    run_id: str
    outcome: Outcome


class ManyCancelled(Answered):
    """`cancelled` counts those that are or will be; `more`: some were not tried."""

    items: list[OneOfMany]
    cancelled: int
    more: bool


class Retried(Answered):
    """`run_id` is the new run; it is not new when somebody asked for the same before."""

    run_id: str
    replay_of: str
    is_new: bool


class RunPromoted(Answered):
    run_id: str


class RunDeleted(Answered):
    run_id: str


@operation(
    "POST",
    "/runs/{run_id}/cancel",
    tag="runs",
    role=Role.OPERATOR,
    tenants=True,
    action="run.cancel",
    also=(202,),
    errors=(404, 409),
    summary="End a run that waits; 202 for one that runs: its worker was told.",
)
async def cancel_run(call: Call[OneRun, Cancel]) -> Answer[Cancelled]:
    run_id = call.parameters.run_id
    await run_of(call, run_id)
    async with audited_outside(call, reason=call.body.reason):
        outcome = await _cancel(call, run_id, call.body.reason)
        if outcome not in ("cancelled", "stopping"):
            raise _conflict(_OVER)
        call.affected = 1
    return Answer(Cancelled(run_id=run_id, outcome=outcome), 200 if outcome == "cancelled" else 202)


@operation(
    "POST",
    "/runs/cancel",
    tag="runs",
    role=Role.OPERATOR,
    tenants=True,
    action="run.cancel",
    summary="End up to 1000 runs that wait or run; says of each what became of it.",
)
async def cancel_runs(call: Call[NoParameters, CancelRuns]) -> ManyCancelled:
    run_ids = list(dict.fromkeys(call.body.run_ids))
    items: list[OneOfMany] = []
    clock = asyncio.get_running_loop().time
    deadline = clock() + MOST_SECONDS
    call.affected = 0
    async with audited_outside(call, targets=run_ids, reason=call.body.reason):
        while len(items) < len(run_ids) and clock() < deadline:
            items += await _cancel_page(call, run_ids[len(items) :][:_AT_ONCE])
    left = [OneOfMany(run_id=one, outcome="not_tried") for one in run_ids[len(items) :]]
    return ManyCancelled(items=[*items, *left], cancelled=call.affected, more=bool(left))


@operation(
    "POST",
    "/runs/{run_id}/retry",
    tag="runs",
    role=Role.OPERATOR,
    tenants=True,
    action="run.retry",
    status=202,
    also=(200,),
    errors=(404, 409),
    summary="Run one that is over again, as a new run; 200 when that was asked for before.",
)
async def retry_run(call: Call[OneRun, None]) -> Answer[Retried]:
    """It has the payload of the first, all its attempts, and does not repeat what that one did."""
    run_id, services = call.parameters.run_id, call.services
    await run_of(call, run_id)
    async with audited_outside(call):
        try:
            again = await history.retry(services.pool, services.db, run_id)
        except UnknownRunError as error:  # it is over, and history has not heard of it
            raise _conflict(str(error)) from None
        except (RunError, DeadLetterError) as error:
            raise _conflict(str(error)) from None
        call.affected = int(again.is_new)
    retried = Retried(run_id=again.run_id, replay_of=run_id, is_new=again.is_new)
    return Answer(retried, 202 if again.is_new else 200)


@operation(
    "POST",
    "/runs/{run_id}/promote",
    tag="runs",
    role=Role.OPERATOR,
    tenants=True,
    action="run.promote",
    errors=(404, 409),
    summary="Let a run that is put off start now: deferred, snoozed, or to be tried again.",
)
async def promote_run(call: Call[OneRun, None]) -> RunPromoted:
    """Limits, pauses and the order of its partition still hold."""
    run_id = call.parameters.run_id
    view = await run_of(call, run_id)
    async with audited_outside(call):
        told = await history.promote(call.services.pool, run_id)
        if told == "gone" and view.is_in_outbox:
            raise _conflict("it waits for a day to come: cancel it and enqueue it anew")
        if told != "promoted":
            raise _conflict(_NOT_PUT_OFF[told])
        call.affected = 1
    return RunPromoted(run_id=run_id)


@operation(
    "DELETE",
    "/runs/{run_id}",
    tag="runs",
    role=Role.OPERATOR,
    tenants=True,
    action="run.delete",
    errors=(404, 409),
    summary="Forget a run that is over: its result, its attempts, its handled dead letter.",
)
async def delete_run(call: Call[OneRun, None]) -> RunDeleted:
    run_id, services = call.parameters.run_id, call.services
    await run_of(call, run_id)
    async with audited_outside(call):
        try:
            await history.delete(services.pool, services.db, run_id)
        except UnknownRunError:  # somebody was faster
            raise not_found("run") from None
        except RunError as error:
            raise _conflict(str(error)) from None
        call.affected = 1
    return RunDeleted(run_id=run_id)


async def _cancel_page(call: Call[Any, CancelRuns], run_ids: Sequence[str]) -> list[OneOfMany]:
    told = await asyncio.gather(*(_cancel_own(call, one) for one in run_ids))
    call.affected = (call.affected or 0) + sum(one in ("cancelled", "stopping") for one in told)
    return [
        OneOfMany(run_id=run_id, outcome=outcome)
        for run_id, outcome in zip(run_ids, told, strict=True)
    ]


async def _cancel_own(call: Call[Any, CancelRuns], run_id: str) -> Outcome:
    if call.tenant_id is not None and await find_run(call, run_id) is None:
        return "not_found"
    outcome = await _cancel(call, run_id, call.body.reason)
    if outcome == "over" and await find_run(call, run_id) is None:
        return "not_found"
    return outcome


async def _cancel(
    call: Call[Any, Any], run_id: str, reason: str | None
) -> Literal["cancelled", "stopping", "over"]:
    services = call.services
    told = await history.cancel(
        services.pool,
        services.db,
        run_id,
        reason=reason or "cancelled",
        by=call.principal.name,
    )
    return told if told in ("cancelled", "stopping") else "over"


def _conflict(why: str) -> ApiError:
    return ApiError(409, "conflict", why)
