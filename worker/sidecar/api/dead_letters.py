"""Dead letters: find them, look into one."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field

from jobs.kit import discover
from worker.dead_letters import (
    Cursor,
    DeadLetter,
    Filter,
    GroupCursor,
    Status,
    attempts_of,
    get_dead_letter,
    list_dead_letters,
    list_groups,
)
from worker.sidecar.access.principal import Role
from worker.sidecar.api.auditing import audited_outside
from worker.sidecar.api.errors import ApiError, not_found, refusing, within
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
from worker.telemetry.redaction import MASK, redact

LetterId = Annotated[int, Field(ge=1, le=2**63 - 1)]


class Which(BaseModel):
    """Which letters: those to which all that is given applies."""

    queue: str | None = Field(None, max_length=200)
    job: str | None = Field(None, max_length=200, description="Its name, or an alias.")
    reason: str | None = Field(None, max_length=200, description="As in `attempts_spent`.")
    error_type: str | None = Field(None, max_length=200)
    error_group: str | None = Field(None, max_length=64, description="Of `groups`.")
    tenant_id: UUID | None = None
    text: str | None = Field(
        None, min_length=3, max_length=200, description="Stands in the error's message."
    )
    since: Instant | None = Field(None, description="Died then or later.")
    until: Instant | None = Field(None, description="Died before that.")


class LetterQuery(Which, PageParameters):
    status: Status = "dead"


class OneLetter(Parameters):
    dead_letter_id: LetterId


class Looking(OneLetter):
    reveal: bool = Field(
        default=False, description="The payload as it is: for admins, and audited."
    )


class DeadLetterItem(Answered):
    """A run that was given up on. Errors are redacted."""

    dead_letter_id: int
    run_id: str
    job: str
    queue: str
    tenant_id: UUID | None
    correlation_id: str
    reason: str
    error_type: str | None
    error_message: str | None
    error_group: str | None
    attempt: int
    enqueued_at: AwareDatetime
    died_at: AwareDatetime
    status: str
    replayed_as: str | None
    discarded_because: str | None
    handled_at: AwareDatetime | None


class AttemptItem(Answered):
    attempt: int
    outcome: str
    started_at: AwareDatetime
    ended_at: AwareDatetime
    worker: str
    error_type: str | None
    error_message: str | None
    traceback: str | None
    log: str | None


class DeadLetterDetail(DeadLetterItem):
    """With what it was, and what happened to it: each of its attempts, oldest first."""

    payload: dict[str, Any] | None = Field(
        description="Without what is sensitive, unless revealed; null when it cannot be read."
    )
    is_revealed: bool
    asked_by: str | None
    attempts: list[AttemptItem]


class DeadLetterGroup(Answered):
    """Letters with one error, which differs in numbers, ids and quoted text alone."""

    error_group: str
    job: str
    error_type: str | None
    template: str | None
    letters: int
    first_at: AwareDatetime
    last_at: AwareDatetime
    example_id: int


class GroupPage(Page[DeadLetterGroup]):
    """`is_partial`: only the newest letters were counted."""

    is_partial: bool


@operation(
    "GET",
    "/dead-letters",
    tag="dead-letters",
    role=Role.VIEWER,
    tenants=True,
    summary="Dead letters, newest first.",
    errors=(404,),
)
async def list_letters(call: Call[LetterQuery, None]) -> Page[DeadLetterItem]:
    asked = call.parameters
    before = place(asked.after, Cursor.parse)
    async with within():
        found = await list_dead_letters(
            call.services.db,
            filter_of(call, asked, asked.status),
            before=before,
            limit=asked.limit + 1,
        )
    return page_of(found, asked.limit, item_of, lambda last: cursor(last.cursor))


@operation(
    "GET",
    "/dead-letters/groups",
    tag="dead-letters",
    role=Role.VIEWER,
    tenants=True,
    summary="Groups of dead letters with one error, those with most letters first.",
    errors=(404,),
)
async def list_letter_groups(call: Call[LetterQuery, None]) -> GroupPage:
    asked = call.parameters
    before = place(asked.after, GroupCursor.parse)
    async with within():
        groups, is_partial = await list_groups(
            call.services.db,
            filter_of(call, asked, asked.status),
            before=before,
            limit=asked.limit + 1,
        )
    page = page_of(
        groups,
        asked.limit,
        lambda group: DeadLetterGroup.model_validate(group, from_attributes=True),
        lambda last: cursor(last.cursor),
    )
    return GroupPage(items=page.items, next=page.next, is_partial=is_partial)


@operation(
    "GET",
    "/dead-letters/{dead_letter_id}",
    tag="dead-letters",
    role=Role.VIEWER,
    tenants=True,
    summary="One dead letter, with its payload and all attempts.",
    errors=(404,),
)
async def get_letter(call: Call[Looking, None]) -> DeadLetterDetail:
    asked = call.parameters
    call.action = "dead_letter.reveal" if asked.reveal else None
    if asked.reveal and call.principal.role < Role.ADMIN:
        raise ApiError(403, "forbidden", "to reveal a payload takes the role admin")
    letter = await letter_of(call, asked.dead_letter_id)
    payload = _shown(letter)
    if asked.reveal:
        async with audited_outside(call, call.action):
            payload = dict(letter.payload) if letter.payload is not None else None
    attempts = await attempts_of(call.services.db, letter.run_id)
    return DeadLetterDetail(
        **item_of(letter).model_dump(),
        payload=payload,
        is_revealed=asked.reveal,
        asked_by=(letter.headers or {}).get("by"),
        attempts=[AttemptItem.model_validate(one, from_attributes=True) for one in attempts],
    )


def filter_of(call: Call[Any, Any], which: Which, status: Status = "dead") -> Filter:
    """What is asked for, of the caller's tenant alone if there is one. Raises ApiError."""
    fields = {name: getattr(which, name) for name in Which.model_fields}
    if call.tenant_id is not None:
        if which.tenant_id not in (None, call.tenant_id):
            raise not_found("tenant")
        fields["tenant_id"] = call.tenant_id
    with refusing("filter"):
        return Filter(status=status, **fields)


async def letter_of(call: Call[Any, Any], dead_letter_id: int) -> DeadLetter:
    """Raises DeadLetterError, ApiError when it is not there for the caller."""
    letter = await get_dead_letter(call.services.db, dead_letter_id)
    if call.tenant_id not in (None, letter.tenant_id):
        raise not_found("dead letter")
    return letter


def item_of(letter: DeadLetter) -> DeadLetterItem:
    return DeadLetterItem.model_validate(letter, from_attributes=True)


def _shown(letter: DeadLetter) -> dict[str, Any] | None:
    """The payload without personal data, secrets, and what its job calls sensitive."""
    if letter.payload is None:
        return None
    job = discover().get(letter.job)
    hidden = job.sensitive if job is not None else frozenset()
    shown = {name: value for name, value in letter.payload.items() if name not in hidden}
    masked = {name: MASK for name in letter.payload if name in hidden}
    redacted = redact(shown)
    return {**redacted, **masked} if isinstance(redacted, dict) else masked
