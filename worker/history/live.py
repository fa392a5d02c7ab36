"""Runs that wait or run, as Redis has them: a part of a queue, or one of them.

What lies there may be anything; it is shown as far as it can be read.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple, Self, TypeAlias, get_args
from uuid import UUID

import orjson
from redis.asyncio import Redis
from typing_extensions import override

from jobs.kit import QUEUES, discover
from worker.codec import JobMessage, UndecodableError, decode_job
from worker.engine.claims import instant
from worker.engine.scripts import script
from worker.history.runs import Filter
from worker.kept_payload import kept_payload, without_personal
from worker.pausing import UnknownQueueError
from worker.records import UNKNOWN, plain, tenant_of
from worker.redis_cluster import key_tag

LiveState: TypeAlias = Literal["waiting", "delayed", "blocked", "active"]
LIVE_STATES: Final[tuple[LiveState, ...]] = get_args(LiveState)

# Where in a queue runs that stand so are to be found (browse.lua).
_WINDOWS: Final[Mapping[LiveState, Sequence[str]]] = {
    "waiting": ("due", "near"),  # also those that wait for their tenant's turn
    "delayed": ("later",),
    "blocked": ("near",),
    "active": ("leased",),
}
_SCANNED = 1000  # ids that one call looks at
_PER_SCRIPT = 250  # of them in one go: some milliseconds of Redis
_READ = 4_194_304  # bytes of payloads in one go
_MOST = 1000  # on a page for people
_COUNT_DIGITS = 9
_CURSOR_LIMIT = 2000
_ID_LIMIT = 500  # bytes of a foreign id in a place
_EVERYTHING = Filter()
# As Redis writes it; none at the beginning of a window.
_SCORE = re.compile(r"|-?(inf|\d+(\.\d+)?(e[+-]?\d+)?)")


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRun:
    """A run that is not over. `attempt` is the one that runs, or is next.

    `due_at` is when it is, or was, due; of an active run when its lease ends. `payload` is as it
    came, with all that is sensitive; None when it cannot be read, and then `job` is `<unknown>`.
    """

    run_id: str
    state: LiveState
    queue: str
    job: str
    tenant_id: UUID | None
    label: str | None
    correlation_id: str
    replay_of: str | None
    attempt: int
    enqueued_at: datetime | None
    due_at: datetime
    payload: Mapping[str, Any] | None


class LiveCursor(NamedTuple):
    """A place in a queue: the window, and the score and id of the last run that was looked at."""

    window: int
    score: str
    run_id: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError."""
        window, score, name = 0, "", None
        with suppress(ValueError, TypeError):
            window, score, run_id = orjson.loads(urlsafe_b64decode(text[:_CURSOR_LIMIT].encode()))
            is_fit = type(window) is int and 0 <= window < len(_WINDOWS["waiting"])
            name = bytes.fromhex(run_id) if is_fit and _SCORE.fullmatch(score) else None
        if name is None:
            raise ValueError(f"{text[:_CURSOR_LIMIT]!r} is no place in a queue")
        return cls(window, score, name)

    @classmethod
    def behind(cls, window: int, score: bytes, run_id: bytes) -> Self:
        """The place of a run; of ids that begin alike for very long, that of the last of them."""
        is_long = len(run_id) > _ID_LIMIT
        return cls(window, score.decode(), run_id[:_ID_LIMIT] + b"\xff" if is_long else run_id)

    @override
    def __str__(self) -> str:
        place = [self.window, self.score, self.run_id.hex()]
        return urlsafe_b64encode(orjson.dumps(place)).decode()


class LivePage(NamedTuple):
    """Some runs; the next are behind `after`, which is None at the end.

    There may be no run on a page that is not the last: so many were looked at.
    """

    runs: list[LiveRun]
    after: LiveCursor | None


async def list_live(
    pool: Redis,
    queue: str,
    state: LiveState,
    *,
    which: Filter = _EVERYTHING,
    after: LiveCursor | None = None,
    limit: int = 50,
) -> LivePage:
    """Runs of a queue that stand so, the first due first; it looks at 1000 at most.

    Of a filter job, tenant_id, correlation_id, label and text count; the text is looked for where
    history would: not in what is sensitive. Active runs of stock ARQ workers, which stay at the
    head of a queue, are left out. Raises UnknownQueueError, ValueError, RedisError.
    """
    _check(queue, state, which, after)
    windows = _WINDOWS[state]
    place = after or LiveCursor(0, "", b"")
    command = pool.register_script(script("browse", key_tag(pool)).text)
    limit = min(limit, _MOST)
    runs: list[LiveRun] = []
    for _ in range(_SCANNED // _PER_SCRIPT):
        is_more, score, last, *found = await command(
            keys=[QUEUES[queue].key],
            args=[state, windows[place.window], place.score, place.run_id, _PER_SCRIPT, _READ],
        )
        for run_id, at, due, raw, spent in zip(*[iter(found)] * 5, strict=True):
            run = live_run(run_id, queue, state, due=due, raw=raw, spent=spent)
            if is_meant(which, run):
                runs.append(run)
            if len(runs) == limit:
                return LivePage(runs, LiveCursor.behind(place.window, at, run_id))
        place = LiveCursor.behind(place.window, score, last)
        if not is_more:
            if place.window + 1 == len(windows):
                return LivePage(runs, None)
            place = LiveCursor(place.window + 1, "", b"")
    return LivePage(runs, place)


def _check(queue: str, state: LiveState, which: Filter, after: LiveCursor | None) -> None:
    if queue not in QUEUES:
        raise UnknownQueueError(f"there is no queue {queue!r}; known: {', '.join(sorted(QUEUES))}")
    if state not in LIVE_STATES:
        raise ValueError(f"state is {', '.join(LIVE_STATES)}, not {state!r}")
    if which.states or which.queue or which.since or which.until:
        raise ValueError("of runs in a queue no states, queue, since or until can be asked for")
    if after is not None and after.window >= len(_WINDOWS[state]):
        raise ValueError(f"{str(after)!r} is a place in another list")


async def look(pool: Redis, run_id: str) -> LiveRun | None:
    """A run that waits or runs; None when it is in no queue. Raises RedisError."""
    names = list(QUEUES)
    command = pool.register_script(script("look", key_tag(pool)).text)
    name = run_id.encode("utf-8", "surrogateescape")
    found = await command(keys=[QUEUES[one].key for one in names], args=[name])
    if not found:
        return None
    number, stands, due, raw, spent = found
    return live_run(name, names[number - 1], stands.decode(), due=due, raw=raw, spent=spent)


def live_run(
    run_id: bytes, queue: str, state: LiveState, *, due: bytes, raw: bytes, spent: bytes
) -> LiveRun:
    name = run_id.decode("utf-8", "surrogateescape")
    message = _message(raw)
    headers = message.headers if message else {}
    is_count = spent.isdigit() and len(spent) <= _COUNT_DIGITS
    return LiveRun(
        run_id=name,
        state=state,
        queue=queue,
        job=plain(message.function) if message else UNKNOWN,
        tenant_id=tenant_of(message),
        label=plain(headers.get("label")),
        correlation_id=plain(headers.get("cid", name)),
        replay_of=plain(headers.get("replay")),
        attempt=(int(spent) if is_count else 0) + 1,
        enqueued_at=message.enqueued_at if message else None,
        due_at=instant(float(due)),
        payload=message.arguments if message else None,
    )


def _message(raw: bytes) -> JobMessage | None:
    try:
        return decode_job(raw)
    except UndecodableError:
        return None


def is_meant(which: Filter, run: LiveRun) -> bool:
    """Does what the filter says of live runs apply?"""
    return (
        (which.job is None or run.job in which.job_names)
        and which.tenant_id in (None, run.tenant_id)
        and which.correlation_id in (None, run.correlation_id)
        and which.label in (None, run.label)
        and (which.text is None or _has_text(which.text, run))
    )


def _has_text(text: str, run: LiveRun) -> bool:
    job = discover().get(run.job)
    if run.payload is None or job is None:  # nobody knows what is sensitive
        return False
    kept = kept_payload(run.payload, job.sensitive) or ""
    # First as it is, which is quicker, and then as people see it.
    return _is_in(text, kept) and _is_in(text, without_personal(kept))


def _is_in(text: str, kept: str) -> bool:
    kept = kept.casefold()
    return text.casefold() in kept or orjson.dumps(text)[1:-1].decode().casefold() in kept
