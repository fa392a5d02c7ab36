"""What needs doing now and then in Redis, by whichever worker comes first.

Stock pools let a payload expire 24 h after its run was due, also when no worker has come to it by
then: a waiting run must not lose it. And what foreign callers leave behind is taken away.
"""

from collections.abc import Sequence
from datetime import timedelta

from arq.constants import abort_jobs_ss
from redis.asyncio import Redis

from jobs.kit import Queue
from worker.engine.scripts import script
from worker.engine.store import COUNTS, KEPT
from worker.redis_cluster import key_tag

EVERY = timedelta(minutes=10)
_LEASE_KEY = "deskhand:sweep"
_PAGE = 500
# The first half of a payload's life is time enough for a worker to come round again.
_LONG = timedelta(hours=12)
_STOCK_EXPIRY = timedelta(days=1)  # arq.connections: expires_extra_ms
_NOT_ENDED = ("running", "blocked", "parked")  # of the counts, those that go down again
_ABORTS_KEPT = timedelta(days=1)


async def sweep(redis: Redis, queues: Sequence[Queue], *, long: timedelta = _LONG) -> int:
    """Do it all once; returns how many payloads were kept from expiring. Raises RedisError."""
    lifted = sum([await _keep_payloads(redis, queue, long) for queue in queues])
    now = await _now(redis)
    await redis.zremrangebyscore(abort_jobs_ss, "-inf", now - _ms(_ABORTS_KEPT))
    await redis.zremrangebyscore("deskhand:unknown", "-inf", now - _ms(KEPT))
    # These scores end with a digit that counts (claim.lua).
    await redis.zremrangebyscore("deskhand:crashed", "-inf", 10 * (now - _ms(KEPT)))
    for queue in queues:
        await _correct_running(redis, queue)
    await _mend_lines(redis)
    return lifted


async def sweep_if_due(redis: Redis, queues: Sequence[Queue]) -> int:
    """The same, unless another worker did it lately."""
    is_ours = await redis.set(_LEASE_KEY, "1", nx=True, px=EVERY - timedelta(seconds=5))
    return await sweep(redis, queues) if is_ours else 0


async def _keep_payloads(redis: Redis, queue: Queue, long: timedelta) -> int:
    """In pages by rank: runs that leave meanwhile move others up, which the next sweep sees."""
    sweep_script = redis.register_script(script("sweep", key_tag(redis)).text)
    first, kept = 0, 0
    while True:
        looked: int
        lifted: int
        looked, lifted = await sweep_script(
            keys=[queue.key], args=[first, first + _PAGE - 1, _ms(long), _ms(_STOCK_EXPIRY)]
        )
        kept += lifted
        first += _PAGE
        if looked < _PAGE:
            return kept


async def _mend_lines(redis: Redis) -> None:
    """Lines of limits whose first will not come due by itself for hours."""
    mend = redis.register_script(script("mend", key_tag(redis)).text)
    page: list[bytes] = []
    async for line in redis.scan_iter(match="deskhand:line:*", count=_PAGE):
        page.append(line)
        if len(page) == _PAGE:
            await mend(args=page)
            page = []
    if page:
        await mend(args=page)


async def _correct_running(redis: Redis, queue: Queue) -> None:
    """A stock worker that finished what ours had begun counts nothing: an empty queue runs none."""
    if not await redis.exists(queue.key):
        await redis.hdel(COUNTS, *(f"{queue.key} {what}" for what in _NOT_ENDED))  # type: ignore[misc]  # redis-py: sync or async


async def _now(redis: Redis) -> int:
    seconds, _ = await redis.time()
    return 1000 * int(seconds)


def _ms(delta: timedelta) -> int:
    return int(delta / timedelta(milliseconds=1))
