"""Dead letters for people: find, count and understand them; replay, discard and purge them.

A `Filter` says which ones; the commands, the API and the console all speak in filters.
"""

from collections.abc import AsyncIterator

from worker.dead_letters import changes, queries
from worker.dead_letters.changes import replay_id
from worker.dead_letters.letters import (
    STATUSES,
    Attempt,
    Cursor,
    DeadLetter,
    DeadLetterError,
    Filter,
    Group,
    GroupCursor,
    Status,
    gone_error,
)
from worker.dead_letters.queries import (
    SAMPLE,
    Connection,
    Db,
    attempts_of,
    count_waiting,
    ids_of_tenant,
)
from worker.dead_letters.replaying import Replayed, Unfit, replay, replay_all

__all__ = [
    "SAMPLE",
    "STATUSES",
    "Attempt",
    "Cursor",
    "DeadLetter",
    "DeadLetterError",
    "Filter",
    "Group",
    "GroupCursor",
    "Replayed",
    "Status",
    "Unfit",
    "attempts_of",
    "count_dead_letters",
    "count_waiting",
    "discard",
    "discard_all",
    "get_dead_letter",
    "gone_error",
    "group_older",
    "ids_of_tenant",
    "list_dead_letters",
    "list_groups",
    "purge",
    "replay",
    "replay_all",
    "replay_id",
]

_PAGE = 500  # letters that a statement changes, at most
_MOST = 1000  # on a page for people
_EVERYTHING = Filter()


async def list_dead_letters(
    db: Db, which: Filter = _EVERYTHING, *, before: Cursor | None = None, limit: int = 50
) -> list[DeadLetter]:
    """A page of at most 1000, newest first; the next is `before` the last one's `cursor`."""
    return await queries.page(db, which, before=before, limit=min(limit, _MOST))


async def list_groups(
    db: Db, which: Filter = _EVERYTHING, *, before: GroupCursor | None = None, limit: int = 50
) -> tuple[list[Group], bool]:
    """A page of at most 1000 groups of letters with one error, those with most letters first.

    Says also whether only the newest SAMPLE letters were counted: so it is done, lest anybody
    waits for it, when there are more and the filter asks for a tenant, a text or a time.
    """
    limit = min(limit, _MOST)
    is_counted = (which.tenant_id, which.text, which.since, which.until) == (None,) * 4
    # Where few are asked for, the first and the last of a group may be far away among others.
    if is_counted and await queries.counted_letters(db, which) >= SAMPLE:
        return await queries.counted_groups(db, which, before=before, limit=limit), False
    return await queries.sampled_groups(db, which, before=before, limit=limit)


async def get_dead_letter(db: Db, dead_letter_id: int) -> DeadLetter:
    """Raises DeadLetterError when there is none."""
    letter = await queries.get(db, dead_letter_id)
    if letter is None:
        raise DeadLetterError(f"there is no dead letter {dead_letter_id}")
    return letter


async def count_dead_letters(db: Db, which: Filter) -> int:
    """Exact; of a million letters it takes a second or so."""
    return await queries.count(db, which)


async def discard(db: "Db | Connection", dead_letter_id: int, *, reason: str) -> None:
    """Put it away, with a reason. Raises DeadLetterError when it was handled already."""
    if not await changes.discard_one(db, dead_letter_id, reason):
        raise gone_error(dead_letter_id)


async def discard_all(db: Db, which: Filter, *, reason: str) -> AsyncIterator[int]:
    """Put away all waiting letters of a filter, but none that are written meanwhile.

    Yields how many went, after each page of at most 500. Raises ValueError for others than
    waiting ones.
    """
    if which.status != "dead":
        raise ValueError(f"only letters that wait can be discarded, not {which.status} ones")
    newest_id, after, is_more = await changes.newest_id(db), None, True
    while is_more:
        done, after = await changes.discard_page(
            db, which, reason=reason, after=after, newest_id=newest_id, limit=_PAGE
        )
        is_more = after is not None
        yield done


async def purge(db: Db, which: Filter) -> AsyncIterator[int]:
    """Delete all letters of a filter for good, whatever their status; yields as `discard_all`.

    What history knows of their runs stays as long as `KEEP_FAILED` and `KEEP_DAYS` say.
    """
    newest_id, after, is_more = await changes.newest_id(db), None, True
    while is_more:
        done, after = await changes.delete_page(
            db, which, after=after, newest_id=newest_id, limit=_PAGE
        )
        is_more = after is not None
        yield done


async def group_older(db: Db) -> int:
    """Put letters from before there were groups into theirs; returns how many those were.

    Page by page, so that nobody waits for long; cheap when there are none.
    """
    total = 0
    after_id: int | None = 0
    while after_id is not None:
        done, after_id = await changes.group_older(db, after_id=after_id, limit=_PAGE)
        total += done
    return total
