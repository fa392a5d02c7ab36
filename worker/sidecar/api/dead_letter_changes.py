"""Dead letters: replay and discard one, some, or all that a filter finds."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from worker.dead_letters import (
    DeadLetterError,
    Filter,
    discard,
    discard_all,
    get_dead_letter,
    gone_error,
    ids_of_tenant,
    replay,
    replay_all,
)
from worker.sidecar.access.principal import Role
from worker.sidecar.api import auditing
from worker.sidecar.api.auditing import audited, audited_outside, count_pages
from worker.sidecar.api.dead_letters import LetterId, OneLetter, Which, filter_of, letter_of
from worker.sidecar.api.errors import ApiError
from worker.sidecar.api.operation import Answered, Body, Call, NoParameters, operation

_MOST_IDS = 1000
_MOST_FAILED = 100  # that an answer names
_PACE = 500.0  # a second

Reason = Annotated[str, Field(min_length=1, max_length=500)]


class Where(Which, Body):
    """The filter of a selection: waiting letters to which all that is given applies."""


class Selection(Body):
    """By ids, by a filter, or `all` of them."""

    dead_letter_ids: list[LetterId] | None = Field(None, min_length=1, max_length=_MOST_IDS)
    filter: Where | None = None
    all: bool = Field(default=False, description="Every letter that waits: without a filter.")

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        # A client that writes all its options, unset ones as null, asks for nothing with them.
        has_filter = self.filter is not None and any(value is not None for _, value in self.filter)
        if [self.dead_letter_ids is not None, has_filter, self.all].count(True) != 1:
            raise ValueError("give dead_letter_ids, or a filter that is not empty, or all: true")
        return self


class Replaying(Selection):
    pace: float = Field(_PACE, ge=1, le=10_000, description="So many a second, at most.")


class Discarding(Selection):
    reason: Reason = Field(description="Why; kept with each letter.")


class Discard(Body):
    reason: Reason = Field(description="Why; kept with the letter.")


class Replayed(Answered):
    dead_letter_id: int
    run_id: str


class Discarded(Answered):
    dead_letter_id: int


class Unfit(Answered):
    """A letter that was left as it was, and why."""

    dead_letter_id: int
    problem: str


class ManyReplayed(Answered):
    """`failed` are the first of those that could not be; `more`: ask again for the others."""

    replayed: int
    failed: list[Unfit]
    more: bool


class ManyDiscarded(Answered):
    """As of those that are replayed."""

    discarded: int
    failed: list[Unfit]
    more: bool


@operation(
    "POST",
    "/dead-letters/{dead_letter_id}/replay",
    tag="dead-letters",
    role=Role.OPERATOR,
    tenants=True,
    action="dead_letter.replay",
    status=202,
    errors=(404, 409),
    summary="Run it again as a new run, with all its attempts.",
)
async def replay_letter(call: Call[OneLetter, None]) -> Replayed:
    letter_id = call.parameters.dead_letter_id
    await letter_of(call, letter_id)
    async with audited_outside(call):
        try:
            run_id = await replay(call.services.db, call.services.pool, letter_id)
        except DeadLetterError as error:
            raise await _conflict(call, letter_id, error) from None
        call.affected = 1
    return Replayed(dead_letter_id=letter_id, run_id=run_id)


@operation(
    "POST",
    "/dead-letters/{dead_letter_id}/discard",
    tag="dead-letters",
    role=Role.OPERATOR,
    tenants=True,
    action="dead_letter.discard",
    errors=(404, 409),
    summary="Put it away, with a reason.",
)
async def discard_letter(call: Call[OneLetter, Discard]) -> Discarded:
    letter_id, reason = call.parameters.dead_letter_id, call.body.reason
    await letter_of(call, letter_id)
    async with audited(call, reason=reason) as connection:
        try:
            await discard(connection, letter_id, reason=reason)
        except DeadLetterError as error:
            raise await _conflict(call, letter_id, error) from None
        call.affected = 1
    return Discarded(dead_letter_id=letter_id)


@operation(
    "POST",
    "/dead-letters/replay",
    tag="dead-letters",
    role=Role.OPERATOR,
    tenants=True,
    action="dead_letter.replay",
    errors=(404,),
    summary="Run some of them again: by ids, or all of a filter, oldest first.",
)
async def replay_letters(call: Call[NoParameters, Replaying]) -> ManyReplayed:
    """At most 10 000 at a time, and as many as there is time for; `more`: ask again."""
    which, failed = await _selected(call)
    stop = asyncio.Event()
    timer = asyncio.get_running_loop().call_later(auditing.MOST_SECONDS, stop.set)
    call.affected = 0
    try:
        async with _audited(call, which):
            is_more = await count_pages(call, _replayed(call, which, failed, stop))
    finally:
        timer.cancel()
    is_more = is_more or stop.is_set()
    return ManyReplayed(replayed=call.affected, failed=failed[:_MOST_FAILED], more=is_more)


@operation(
    "POST",
    "/dead-letters/discard",
    tag="dead-letters",
    role=Role.OPERATOR,
    tenants=True,
    action="dead_letter.discard",
    errors=(404,),
    summary="Put some of them away: by ids, or all of a filter.",
)
async def discard_letters(call: Call[NoParameters, Discarding]) -> ManyDiscarded:
    """At most 10 000 at a time, and as many as there is time for; `more`: ask again."""
    which, failed = await _selected(call)
    reason = call.body.reason
    call.affected, is_more = 0, False
    if isinstance(which, Filter):
        async with _audited(call, which, reason):
            pages = discard_all(call.services.db, which, reason=reason)
            is_more = await count_pages(call, pages)
    else:
        async with audited(call, targets=which, reason=reason) as connection:
            for letter_id in which:
                try:
                    await discard(connection, letter_id, reason=reason)
                except DeadLetterError as error:
                    failed.append(Unfit(dead_letter_id=letter_id, problem=str(error)))
                else:
                    call.affected += 1
    return ManyDiscarded(discarded=call.affected, failed=failed[:_MOST_FAILED], more=is_more)


async def _selected(call: Call[Any, Any]) -> tuple[Filter | list[int], list[Unfit]]:
    """Which letters, and those of the ids that are not there for the caller."""
    body: Selection = call.body
    if body.dead_letter_ids is None:
        return filter_of(call, body.filter or Where()), []
    asked = list(dict.fromkeys(body.dead_letter_ids))
    if call.tenant_id is None:
        return asked, []
    own = await ids_of_tenant(call.services.db, call.tenant_id, asked)
    foreign = [one for one in asked if one not in set(own)]
    return own, [Unfit(dead_letter_id=one, problem=str(gone_error(one))) for one in foreign]


def _audited(
    call: Call[Any, Any], which: Filter | Sequence[int], reason: str | None = None
) -> AbstractAsyncContextManager[None]:
    if not isinstance(which, Filter):
        return audited_outside(call, targets=which, reason=reason)
    asked = {name: getattr(which, name) for name in Where.model_fields}
    told = {name: value for name, value in asked.items() if value is not None}
    return audited_outside(call, which=told, reason=reason)


async def _replayed(
    call: Call[Any, Replaying],
    which: Filter | Sequence[int],
    failed: list[Unfit],
    stop: asyncio.Event,
) -> AsyncIterator[int]:
    services = call.services
    pages = replay_all(services.db, services.pool, which, pace=call.body.pace, stop=stop)
    async for page in pages:
        failed += [
            Unfit(dead_letter_id=one.dead_letter_id, problem=str(one))
            for one in page.unfit[: _MOST_FAILED - len(failed)]
        ]
        yield len(page.dead_letter_ids)


async def _conflict(call: Call[Any, Any], dead_letter_id: int, error: DeadLetterError) -> ApiError:
    """It is there, but does not wait any more, or cannot run. Raises DeadLetterError otherwise."""
    letter = await get_dead_letter(call.services.db, dead_letter_id)
    message = str(error) if letter.status == "dead" else f"it was {letter.status} before"
    return ApiError(409, "conflict", message)
