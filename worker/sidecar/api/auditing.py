"""Nothing is changed that the audit log does not tell of, and no attempt of a known caller is lost.

What is done in PostgreSQL goes with its entry in one transaction (`audited`). What is done in Redis
has its entry before (`audited_outside`): if the process dies in between, that says `begun`.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from worker import audit
from worker.audit import Entry, Outcome
from worker.background import cancel
from worker.records import plain
from worker.sidecar.access.principal import Principal
from worker.sidecar.access.throttle import Buckets
from worker.sidecar.api.errors import ApiError, api_error_of
from worker.sidecar.api.operation import Call
from worker.telemetry.logs import get_logger

if TYPE_CHECKING:
    import asyncpg

_USER_AGENT_LIMIT, _TARGET_LIMIT, _REASON_LIMIT = 200, 200, 1000  # characters
_MOST_TARGETS = 1000
# Of one call that changes whatever a filter finds.
MOST_SECONDS, MOST_AFFECTED = 20.0, 10_000
_SERVER_ERROR: Final = 500
# Refusals of one caller that are written: 60 at once, and one a second from then on.
REFUSALS_RATE, REFUSALS_BURST = 1.0, 60.0
_MOST_WRITING = 200  # of all callers, at once
_WRITING_TIMEOUT, _WRITTEN_WITHIN = 10.0, 2.0  # seconds
_log = get_logger(__name__)


@asynccontextmanager
async def audited(
    call: Call[Any, Any],
    action: str | None = None,
    *,
    targets: Sequence[object] = (),
    which: Mapping[str, Any] | None = None,
    reason: str | None = None,
) -> AsyncIterator["asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"]:
    """A transaction for the action's own SQL, which commits with its entry, or not at all.

    Set `call.affected` to how many it changed. The action is the operation's own unless it is
    given; `which` is the filter that finds the targets, which else stand in the path.
    """
    entry = _entry(call, action, targets, which, reason)
    async with call.services.db.acquire() as connection:
        async with connection.transaction():
            audit_id = await audit.add(connection, entry, "begun")
            yield connection
            await audit.end(connection, audit_id, "done", affected=call.affected)
        call.is_audited = True
    _tell(call, entry, "done", audit_id)


@asynccontextmanager
async def audited_outside(
    call: Call[Any, Any],
    action: str | None = None,
    *,
    targets: Sequence[object] = (),
    which: Mapping[str, Any] | None = None,
    reason: str | None = None,
) -> AsyncIterator[None]:
    """The same for what is done elsewhere, or in many transactions: the entry is there before."""
    db = call.services.db
    entry = _entry(call, action, targets, which, reason)
    audit_id = await audit.add(db, entry, "begun")
    call.is_audited = True
    try:
        yield
    except BaseException as error:
        await audit.end(db, audit_id, "failed", affected=call.affected, error=_code(error))
        _tell(call, entry, "failed", audit_id)
        raise
    await audit.end(db, audit_id, "done", affected=call.affected)
    _tell(call, entry, "done", audit_id)


async def count_pages(call: Call[Any, Any], pages: AsyncIterator[int]) -> bool:
    """Add the pages to `call.affected`, up to a bound; True when there may be more of them."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + MOST_SECONDS
    async for done in pages:
        call.affected = (call.affected or 0) + done
        if call.affected >= MOST_AFFECTED or clock() >= deadline:
            return True
    return False


class Refusals:
    """Writes down what known callers tried in vain; so many a second, so that nobody fills it.

    Beside the answer, which does not wait for PostgreSQL.
    """

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets
        self._writing: set[asyncio.Task[None]] = set()

    def write(
        self,
        action: str | None,
        request: web.Request,
        principal: Principal,
        request_id: str,
        *,
        db: "asyncpg.Pool[asyncpg.Record]",
        error: Exception,
    ) -> None:
        """Begin to, of what has an action. Never raises."""
        if action is None or self._buckets.take((principal.credential, principal.name)):
            return
        if len(self._writing) >= _MOST_WRITING:
            _not_audited("Busy")
            return
        targets = list(request.match_info.values())
        entry = _entry_of(action, request, principal, request_id, targets)
        task = asyncio.create_task(_write_refusal(db, entry, error), name="audit-refusal")
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def written(self) -> None:
        """Wait until those that were begun are written, but not for long."""
        if self._writing:
            await asyncio.wait(self._writing, timeout=_WRITTEN_WITHIN)

    async def close(self) -> None:
        await self.written()
        await cancel(self._writing)


async def _write_refusal(
    db: "asyncpg.Pool[asyncpg.Record]", entry: Entry, error: Exception
) -> None:
    known = api_error_of(error)
    is_refused = known is not None and known.status < _SERVER_ERROR
    outcome: Outcome = "refused" if is_refused else "failed"
    try:
        async with asyncio.timeout(_WRITING_TIMEOUT):
            await audit.add(db, entry, outcome, error=_code(error))
    except Exception as trouble:  # noqa: BLE001 - nothing was changed that would need it
        _not_audited(type(trouble).__name__)


def _not_audited(why: str) -> None:
    _log.warning("A refusal is not audited", error_type=why)


def _entry(
    call: Call[Any, Any],
    action: str | None,
    targets: Sequence[object],
    which: Mapping[str, Any] | None,
    reason: str | None,
) -> Entry:
    return _entry_of(
        action or call.operation.action,
        call.request,
        call.principal,
        call.request_id,
        targets or list(call.request.match_info.values()),
        which,
        reason,
    )


def _entry_of(
    action: str | None,
    request: web.Request,
    principal: Principal,
    request_id: str,
    targets: Sequence[object],
    which: Mapping[str, Any] | None = None,
    reason: str | None = None,
) -> Entry:
    if action is None:
        raise TypeError("what is audited has an action: name it where the operation is declared")
    return Entry(
        principal=_text(principal.name, _TARGET_LIMIT),
        role=str(principal.role),
        credential=principal.credential,
        tenant_id=principal.tenant_id,
        action=action,
        targets=tuple(_text(str(target), _TARGET_LIMIT) for target in targets[:_MOST_TARGETS]),
        filter=which,
        reason=None if reason is None else _text(reason, _REASON_LIMIT),
        ip=request.remote or "",
        user_agent=_text(request.headers.get("User-Agent", ""), _USER_AGENT_LIMIT),
        request_id=request_id,
    )


def _text(text: str, limit: int) -> str:
    """As PostgreSQL takes it."""
    return plain(text).replace("\x00", "�")[:limit]


def _code(error: BaseException) -> str:
    known = api_error_of(error) if isinstance(error, Exception) else None
    return known.code if isinstance(known, ApiError) else type(error).__name__


def _tell(call: Call[Any, Any], entry: Entry, outcome: str, audit_id: int) -> None:
    """Without whose deed it was: that stands in the entry."""
    _log.info(
        "Audited",
        action=entry.action,
        outcome=outcome,
        affected=call.affected,
        audit_id=audit_id,
        request_id=call.request_id,
    )
