"""Schedules: when jobs run by themselves, what became of it, and runs out of turn."""

import asyncio
from typing import Any, Literal

from pydantic import AwareDatetime, Field

from worker import schedules
from worker.schedules.views import (
    ScheduleView,
    TickView,
    find_schedule,
    history,
    list_schedules,
)
from worker.sidecar.access.principal import Role
from worker.sidecar.api.auditing import audited
from worker.sidecar.api.errors import not_found
from worker.sidecar.api.operation import (
    Answered,
    Body,
    Call,
    Page,
    PageParameters,
    Parameters,
    operation,
)
from worker.sidecar.api.paging import cursor, page_of, place

_NAME = "Its job's name, or report:<id>."


class OneSchedule(Parameters):
    name: str = Field(max_length=200, description=_NAME)


class TickPage(PageParameters):
    name: str = Field(max_length=200, description=_NAME)


class NextTicks(Parameters):
    name: str = Field(max_length=200, description=_NAME)
    count: int = Field(10, ge=1, le=50, description="So many.")


class SchedulePage(PageParameters):
    kind: Literal["declared", "report"] | None = Field(
        None, description="Those that jobs declare, or those that people set up."
    )


class Why(Body):
    reason: str | None = Field(None, max_length=500, description="Kept in the audit log.")


class TickShown(Answered):
    """A tick that fired, or a run that somebody started (`is_by_hand`).

    state: null until an attempt is over; missed: ticks before this one that never fired.
    """

    due_at: AwareDatetime
    fired_at: AwareDatetime
    run_id: str
    is_by_hand: bool
    fired_by: str | None
    missed: int
    state: str | None
    attempt: int | None
    started_at: AwareDatetime | None
    ended_at: AwareDatetime | None
    duration_seconds: float | None
    error_type: str | None
    result: Any = Field(description="What the job returned, if that was small.")


class ScheduleShown(Answered):
    """line: a crontab line, `every <seconds>`, or `off`; running: its run that is not over;
    is_seen: some worker's code declares it; is_late: it should have fired a minute ago.
    """

    name: str
    job: str
    worker: str | None
    kind: str
    line: str
    words: str
    tz: str
    catch_up: str
    may_overlap: bool
    next_due_at: AwareDatetime | None
    is_paused: bool
    paused_at: AwareDatetime | None
    paused_by: str | None
    running: str | None
    error: str | None
    fired: int
    succeeded: int
    failed: int
    missed: int
    last_success_at: AwareDatetime | None
    is_seen: bool
    is_late: bool
    last: TickShown | None


class Ticks(Answered):
    items: list[AwareDatetime]


class RunStarted(Answered):
    run_id: str
    due_at: AwareDatetime


class Switched(Answered):
    name: str
    is_paused: bool


@operation(
    "GET", "/schedules", tag="schedules", role=Role.VIEWER, summary="All schedules, by name."
)
async def list_all_schedules(call: Call[SchedulePage, None]) -> Page[ScheduleShown]:
    asked = call.parameters
    after = place(asked.after, str) or ""
    rows = await list_schedules(
        call.services.db, after=after, limit=asked.limit + 1, kind=asked.kind
    )
    return page_of(rows, asked.limit, schedule_shown, lambda row: cursor(row.name))


@operation(
    "GET",
    "/schedules/{name}",
    tag="schedules",
    role=Role.VIEWER,
    summary="One schedule, with its last tick.",
    errors=(404,),
)
async def get_schedule(call: Call[OneSchedule, None]) -> ScheduleShown:
    return schedule_shown(await _found(call, call.parameters.name))


@operation(
    "GET",
    "/schedules/{name}/next",
    tag="schedules",
    role=Role.VIEWER,
    summary="When it is due next.",
    errors=(404,),
)
async def next_of_schedule(call: Call[NextTicks, None]) -> Ticks:
    found = await _found(call, call.parameters.name)
    # Decades of a line for leap days take tens of milliseconds.
    return Ticks(items=await asyncio.to_thread(found.next_ticks, call.parameters.count))


@operation(
    "GET",
    "/schedules/{name}/history",
    tag="schedules",
    role=Role.VIEWER,
    summary="Its last ticks, newest first: a hundred are kept.",
    errors=(404,),
)
async def history_of_schedule(call: Call[TickPage, None]) -> Page[TickShown]:
    asked = call.parameters
    await _found(call, asked.name)
    before = place(asked.after, int)
    rows = await history(call.services.db, asked.name, before=before, limit=asked.limit + 1)
    return page_of(rows, asked.limit, tick_shown, lambda tick: cursor(tick.tick_id))


@operation(
    "POST",
    "/schedules/{name}/run",
    tag="schedules",
    role=Role.OPERATOR,
    action="schedule.run",
    status=202,
    errors=(404, 409),
    summary="Start a run now; 409 while one goes on. Its ticks stay as they are.",
)
async def run_schedule(call: Call[OneSchedule, Why]) -> RunStarted:
    """The error `running` says among its fields which `run_id` goes on."""
    async with audited(call, reason=call.body.reason) as connection:
        started = await schedules.run_now(connection, call.parameters.name, by=call.principal.name)
    return RunStarted(run_id=started.run_id, due_at=started.due_at)


@operation(
    "POST",
    "/schedules/{name}/pause",
    tag="schedules",
    role=Role.OPERATOR,
    action="schedule.pause",
    errors=(404,),
    summary="Let no tick fire until it is resumed; those that are due meanwhile are left out.",
)
async def pause_schedule(call: Call[OneSchedule, Why]) -> Switched:
    async with audited(call, reason=call.body.reason) as connection:
        await schedules.pause(connection, call.parameters.name, by=call.principal.name)
    return Switched(name=call.parameters.name, is_paused=True)


@operation(
    "POST",
    "/schedules/{name}/resume",
    tag="schedules",
    role=Role.OPERATOR,
    action="schedule.resume",
    errors=(404,),
    summary="Go on with the next tick from now.",
)
async def resume_schedule(call: Call[OneSchedule, Why]) -> Switched:
    async with audited(call, reason=call.body.reason) as connection:
        await schedules.resume(connection, call.parameters.name)
    return Switched(name=call.parameters.name, is_paused=False)


async def _found(call: Call[Any, Any], name: str) -> ScheduleView:
    found = await find_schedule(call.services.db, name)
    if found is None:
        raise not_found("schedule")
    return found


def tick_shown(tick: TickView) -> TickShown:
    duration = tick.duration
    return TickShown(
        **{name: getattr(tick, name) for name in TickShown.model_fields if hasattr(tick, name)},
        duration_seconds=None if duration is None else round(duration.total_seconds(), 3),
    )


def schedule_shown(one: ScheduleView) -> ScheduleShown:
    same = {name: getattr(one, name) for name in ScheduleShown.model_fields if hasattr(one, name)}
    last = None if one.last is None else tick_shown(one.last)
    return ScheduleShown(**{**same, "is_paused": one.paused_at is not None, "last": last})
