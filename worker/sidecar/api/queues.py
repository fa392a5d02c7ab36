"""Queues: what they hold, and whether workers take from them."""

from datetime import timedelta

from pydantic import AwareDatetime, Field

from jobs.kit import QUEUES
from worker.cancelling import cancel_waiting
from worker.dead_letters import count_waiting
from worker.ending import State
from worker.engine.fleet import QueueSizes, oldest_due, sizes
from worker.pausing import UnknownQueueError, pause_queue, paused_queues, resume_queue
from worker.sidecar.access.principal import Role
from worker.sidecar.api.auditing import audited_outside, count_pages
from worker.sidecar.api.errors import invalid
from worker.sidecar.api.operation import (
    Answered,
    Body,
    Call,
    NoParameters,
    Parameters,
    operation,
)
from worker.sidecar.api.services import Services

_LONGEST_PAUSE = 365 * 86_400  # seconds


class OneQueue(Parameters):
    queue: str = Field(max_length=100, description="Its name.")


class Pause(Body):
    seconds: float | None = Field(
        None, gt=0, le=_LONGEST_PAUSE, description="For so long; without it, until it is resumed."
    )


class QueueStats(Answered):
    """What a queue holds now, and what its runs came to since the beginning of this Redis.

    waiting: due; delayed: due later, retries too; blocked: over a limit; active: being run, also
    those whose worker died, until another has them; dead_letters: those that wait for somebody.
    """

    queue: str
    concurrency: int
    waiting: int
    delayed: int
    blocked: int
    active: int
    succeeded: int
    cancelled: int
    expired: int
    dead: int
    retried: int
    dead_letters: int
    oldest_wait_seconds: float | None = Field(
        description="Since the first of the waiting was due; null when none waits."
    )
    is_paused: bool
    paused_until: AwareDatetime | None


class QueueList(Answered):
    items: list[QueueStats]


class Paused(Answered):
    queue: str
    is_paused: bool
    paused_until: AwareDatetime | None


class Drain(Body):
    confirm: str = Field(max_length=100, description="The queue's name, once more.")
    reason: str | None = Field(None, max_length=500, description="Kept with each of the runs.")


class Drained(Answered):
    queue: str
    cancelled: int
    more: bool


class Resumed(Answered):
    queue: str
    was_paused: bool


@operation(
    "GET",
    "/queues",
    tag="queues",
    role=Role.VIEWER,
    summary="All queues, with what they hold.",
)
async def list_queues(call: Call[NoParameters, None]) -> QueueList:
    return QueueList(items=await _stats(call.services, list(QUEUES)))


@operation(
    "GET",
    "/queues/{queue}",
    tag="queues",
    role=Role.VIEWER,
    summary="One queue, with what it holds.",
    errors=(404,),
)
async def get_queue(call: Call[OneQueue, None]) -> QueueStats:
    name = call.parameters.queue
    check_queue(name)
    return (await _stats(call.services, [name]))[0]


@operation(
    "POST",
    "/queues/{queue}/pause",
    tag="queues",
    role=Role.OPERATOR,
    action="queue.pause",
    summary="Let no worker take runs from it; what runs goes on, what waits goes on waiting.",
    errors=(404,),
)
async def pause(call: Call[OneQueue, Pause]) -> Paused:
    name, seconds = call.parameters.queue, call.body.seconds
    until = None if seconds is None else call.services.clock() + timedelta(seconds=seconds)
    check_queue(name)
    async with audited_outside(call, which=None if seconds is None else {"seconds": seconds}):
        await pause_queue(call.services.pool, name, until=until)
    return Paused(queue=name, is_paused=True, paused_until=until)


@operation(
    "POST",
    "/queues/{queue}/resume",
    tag="queues",
    role=Role.OPERATOR,
    action="queue.resume",
    summary="Let workers take runs from it again.",
    errors=(404,),
)
async def resume(call: Call[OneQueue, None]) -> Resumed:
    name = call.parameters.queue
    check_queue(name)
    async with audited_outside(call):
        was_paused = await resume_queue(call.services.pool, name)
        call.affected = int(was_paused)
    return Resumed(queue=name, was_paused=was_paused)


def check_queue(name: str) -> None:
    """Raises UnknownQueueError."""
    if name not in QUEUES:
        raise UnknownQueueError(f"there are the queues {', '.join(QUEUES)}")


@operation(
    "POST",
    "/queues/{queue}/drain",
    tag="queues",
    role=Role.ADMIN,
    action="queue.drain",
    summary="Cancel all its runs that wait, due or delayed; what runs goes on.",
    errors=(404,),
)
async def drain(call: Call[OneQueue, Drain]) -> Drained:
    """At most 10 000 at a time, and as many as there is time for; `more`: ask again."""
    name, pool = call.parameters.queue, call.services.pool
    check_queue(name)
    if call.body.confirm != name:
        raise invalid({"confirm": "is the queue's name, once more"}, where="body")
    reason, call.affected = call.body.reason or "the queue was drained", 0
    async with audited_outside(call, reason=call.body.reason):
        pages = cancel_waiting(pool, name, reason=reason, by=call.principal.name)
        is_more = await count_pages(call, pages)
    return Drained(queue=name, cancelled=call.affected, more=is_more)


async def _stats(services: Services, names: list[str]) -> list[QueueStats]:
    known = services.settings.queues()
    queues = [known[name] for name in names]
    held = await sizes(services.pool, queues)
    oldest = await oldest_due(services.pool, queues)
    paused = await paused_queues(services.pool)
    letters = await count_waiting(services.db)
    return [
        QueueStats(
            queue=queue.name,
            concurrency=queue.concurrency,
            dead_letters=letters.get(queue.name, 0),
            oldest_wait_seconds=None if (run := oldest[queue.name]) is None else run.seconds,
            is_paused=queue.name in paused,
            paused_until=paused.get(queue.name),
            **_counts(held[queue.name]),
        )
        for queue in queues
    ]


def _counts(held: QueueSizes) -> dict[str, int]:
    ended = held.ended
    return {
        "waiting": held.ready,
        "delayed": held.deferred,
        "blocked": held.blocked,
        "active": held.running,
        "succeeded": ended.get(State.SUCCEEDED, 0),
        "cancelled": ended.get(State.CANCELLED, 0),
        "expired": ended.get(State.EXPIRED, 0),
        "dead": ended.get(State.DEAD, 0),
        "retried": ended.get(State.RETRYING, 0),
    }
