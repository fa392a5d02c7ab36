"""Runs for people: find them, look at one, retry, promote and delete.

PostgreSQL has the runs that were started; Redis those that wait or run. A `Filter` says which ones;
the commands, the API and the console all speak in filters.
"""

from worker.history import queries
from worker.history.actions import Promoted, Retried, cancel, delete, promote, retry
from worker.history.live import (
    LIVE_STATES,
    LiveCursor,
    LivePage,
    LiveRun,
    LiveState,
    list_live,
)
from worker.history.queries import Db
from worker.history.results import Result
from worker.history.runs import Cursor, Filter, PastRun, RunError, TooBroadError, UnknownRunError
from worker.history.view import RunView, get_run, redacted_payload

__all__ = [
    "LIVE_STATES",
    "Cursor",
    "Db",
    "Filter",
    "LiveCursor",
    "LivePage",
    "LiveRun",
    "LiveState",
    "PastRun",
    "Promoted",
    "Result",
    "Retried",
    "RunError",
    "RunView",
    "TooBroadError",
    "UnknownRunError",
    "cancel",
    "delete",
    "get_run",
    "list_live",
    "list_runs",
    "promote",
    "redacted_payload",
    "retry",
]

_MOST = 1000  # on a page for people
_EVERYTHING = Filter()


async def list_runs(
    db: Db, which: Filter = _EVERYTHING, *, after: Cursor | None = None, limit: int = 50
) -> list[PastRun]:
    """A page of at most 1000, newest first; the next is `after` the last one's `cursor`.

    Raises TooBroadError when it takes longer than 2 s.
    """
    return await queries.page(db, which, after=after, limit=min(limit, _MOST))
