"""Runs: find them, look at one."""

import asyncio
from typing import Annotated, Any, Literal, get_args
from uuid import UUID

from pydantic import AwareDatetime, Field

from worker import history
from worker.ending import State
from worker.history import (
    LIVE_STATES,
    Cursor,
    Filter,
    LiveCursor,
    LiveRun,
    LiveState,
    PastRun,
    Result,
    RunView,
    redacted_payload,
)
from worker.records import plain
from worker.sidecar.access.principal import Role
from worker.sidecar.api.auditing import audited_outside
from worker.sidecar.api.dead_letters import AttemptItem
from worker.sidecar.api.errors import ApiError, invalid, not_found, refusing, within
from worker.sidecar.api.operation import (
    Answered,
    Call,
    Instant,
    Page,
    PageParameters,
    Parameters,
    operation,
)
from worker.sidecar.api.paging import cursor, page_of, place
from worker.telemetry.redaction import redact

RunState = Literal[
    "waiting", "delayed", "blocked", "active",
    "succeeded", "cancelled", "dead", "expired", "retrying", "snoozed", "released",
]  # fmt: skip
_TRIES, _TRY_EVERY = 15, 0.1  # seconds
RunId = Annotated[str, Field(min_length=1, max_length=500)]


class RunQuery(PageParameters):
    """Which runs: those to which all that is given applies."""

    # Places have foreign ids of runs in them.
    after: str | None = Field(
        None, min_length=1, max_length=3000, description="`next` of the page before."
    )
    state: list[RunState] = Field(
        [],
        max_length=len(get_args(RunState)),
        description="One of these; waiting, delayed, blocked and active go alone, with a queue.",
    )
    queue: str | None = Field(None, max_length=200)
    job: str | None = Field(None, max_length=200, description="Its name, or an alias.")
    tenant_id: UUID | None = None
    correlation_id: str | None = Field(
        None, max_length=500, description="Of the request that led to it."
    )
    label: str | None = Field(None, max_length=200)
    text: str | None = Field(
        None,
        min_length=3,
        max_length=200,
        description="Stands in the payload, but for what is sensitive in there.",
    )
    since: Instant | None = Field(None, description="Ended, or was started last, then or later.")
    until: Instant | None = Field(None, description="Ended, or was started last, before.")


class OneRun(Parameters):
    run_id: RunId


class LookingAtRun(OneRun):
    reveal: bool = Field(
        default=False, description="Payload and result as they are: for admins, and audited."
    )


class RunItem(Answered):
    """A run. `attempt` is the newest, or the next of one that waits; `due_at` of that alone.

    A run that was snoozed, released, or is to be retried waits as well: it is found both ways.
    """

    run_id: str
    state: RunState
    job: str
    queue: str
    tenant_id: UUID | None
    label: str | None
    correlation_id: str
    replay_of: str | None
    attempt: int
    enqueued_at: AwareDatetime | None
    due_at: AwareDatetime | None = None
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None
    reason: str | None = None


class RunResult(Answered):
    """What the job returned, or its error; null, and not `is_shown`, when it is over 64 KB."""

    is_success: bool
    value: Any
    is_shown: bool


class RunProgress(Answered):
    """What an attempt said last; `fraction` is 0 to 1, `lines` are the last of its log."""

    at: AwareDatetime
    attempt: int
    fraction: float | None
    message: str
    lines: list[str]


class RunDetail(RunItem):
    """With all that is known of it: attempts oldest first, progress within the hour."""

    payload: dict[str, Any] | None = Field(
        description="Without what is sensitive, unless revealed; null when it is not kept. Of a"
        " run that is over history keeps masks alone: a field … says so."
    )
    is_revealed: bool
    result: RunResult | None
    progress: RunProgress | None
    attempts: list[AttemptItem]
    dead_letter_id: int | None
    is_in_outbox: bool = Field(description="It waits in PostgreSQL for its day, or for a relay.")


@operation(
    "GET",
    "/runs",
    tag="runs",
    role=Role.VIEWER,
    tenants=True,
    summary="Runs that were started, newest first; or those that wait or run, first due first.",
    errors=(404,),
)
async def list_runs(call: Call[RunQuery, None]) -> Page[RunItem]:
    """What waits or runs in a queue is asked for with one of the states waiting, delayed, blocked
    and active, and without `since` and `until`. Such a page may be empty, and not be the last.
    """
    asked = call.parameters
    live = [one for one in asked.state if one in LIVE_STATES]
    if live:
        return await _live_page(call, live[0])
    states = tuple(State(one) for one in dict.fromkeys(asked.state))
    which = _filter(call, states=states, queue=asked.queue, since=asked.since, until=asked.until)
    after = place(asked.after, Cursor.parse)
    async with within():
        found = await history.list_runs(call.services.db, which, after=after, limit=asked.limit + 1)
    return page_of(found, asked.limit, _item, lambda last: cursor(last.cursor))


@operation(
    "GET",
    "/runs/{run_id}",
    tag="runs",
    role=Role.VIEWER,
    tenants=True,
    summary="One run, wherever it is: payload, progress, result and all attempts.",
    errors=(404,),
)
async def get_run(call: Call[LookingAtRun, None]) -> RunDetail:
    """The id is percent-encoded, also its slashes: ids are foreign."""
    asked = call.parameters
    call.action = "run.reveal" if asked.reveal else None
    if asked.reveal and call.principal.role < Role.ADMIN:
        raise ApiError(403, "forbidden", "to reveal a payload takes the role admin")
    view = await run_of(call, asked.run_id)
    if not asked.reveal:
        return _detail(view, is_revealed=False)
    async with audited_outside(call, call.action):
        return _detail(view, is_revealed=True)


async def run_of(call: Call[Any, Any], run_id: str) -> RunView:
    """Raises ApiError when it is not there for the caller."""
    view = await find_run(call, run_id)
    if view is None:
        raise not_found("run")
    return view


async def find_run(call: Call[Any, Any], run_id: str) -> RunView | None:
    """None when nobody knows it, or it is not the caller's to see."""
    db, pool = call.services.db, call.services.pool
    view = await history.get_run(db, pool, run_id)
    if call.tenant_id is not None:
        for _ in range(_TRIES):
            if view is None or not _is_news(view):
                break
            await asyncio.sleep(_TRY_EVERY)
            view = await history.get_run(db, pool, run_id)
    is_hidden = view is not None and call.tenant_id not in (None, view.tenant_id)
    return None if is_hidden else view


def _is_news(view: RunView) -> bool:
    """Redis alone knows that it is over, and not whose it is; history will have heard at once."""
    return view.tenant_id is None and view.result is not None and not view.attempts


async def _live_page(call: Call[RunQuery, None], state: LiveState) -> Page[RunItem]:
    asked = call.parameters
    if len(set(asked.state)) > 1:
        raise invalid({"state": f"{state} goes alone"}, where="query")
    if asked.queue is None:
        raise invalid({"queue": f"say which: {state} runs are looked for in one"}, where="query")
    for name in ("since", "until"):
        if getattr(asked, name) is not None:
            raise invalid({name: f"is not for {state} runs"}, where="query")
    after = place(asked.after, LiveCursor.parse)
    try:
        page = await history.list_live(
            call.services.pool,
            asked.queue,
            state,
            which=_filter(call),
            after=after,
            limit=asked.limit,
        )
    except ValueError:  # of what is asked for only the place can still be wrong
        raise invalid({"after": "is a place in another list"}, where="query") from None
    following = None if page.after is None else cursor(page.after)
    return Page(items=[_item(run) for run in page.runs], next=following)


def _filter(call: Call[RunQuery, None], **more: Any) -> Filter:
    """What is asked for, of the caller's tenant alone if there is one. Raises ApiError."""
    asked = call.parameters
    if call.tenant_id is not None and asked.tenant_id not in (None, call.tenant_id):
        raise not_found("tenant")
    with refusing("filter"):
        return Filter(
            job=asked.job,
            tenant_id=call.tenant_id or asked.tenant_id,
            correlation_id=asked.correlation_id,
            label=asked.label,
            text=asked.text,
            **more,
        )


_FIELDS = tuple(RunItem.model_fields)


def _item(run: PastRun | LiveRun) -> RunItem:
    return RunItem(**_fields(run))


def _fields(run: PastRun | LiveRun | RunView) -> dict[str, Any]:
    fields = {name: getattr(run, name) for name in _FIELDS if hasattr(run, name)}
    is_late = fields["state"] == "active"  # what it says is when its lease ends
    return {**fields, "run_id": plain(run.run_id), **({"due_at": None} if is_late else {})}


def _detail(view: RunView, *, is_revealed: bool) -> RunDetail:
    payload = view.payload if is_revealed else redacted_payload(view.job, view.payload)
    return RunDetail(
        **_fields(view),
        payload=None if payload is None else dict(payload),
        is_revealed=is_revealed,
        result=_result(view.result, is_revealed=is_revealed),
        progress=None
        if view.progress is None
        else RunProgress.model_validate(view.progress, from_attributes=True),
        attempts=[AttemptItem.model_validate(one, from_attributes=True) for one in view.attempts],
        dead_letter_id=view.dead_letter_id,
        is_in_outbox=view.is_in_outbox,
    )


def _result(result: Result | None, *, is_revealed: bool) -> RunResult | None:
    if result is None:
        return None
    value = result.value if is_revealed else redact(result.value)
    return RunResult(is_success=result.is_success, value=value, is_shown=result.is_shown)
