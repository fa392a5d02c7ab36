"""Jobs with controls. Each attempt leaves its marks in one file."""

import asyncio
import os
import time
from datetime import timedelta
from pathlib import Path

from jobs.kit import (
    Debounce,
    Fixed,
    JobContext,
    Payload,
    RateLimit,
    RateLimited,
    Retry,
    TenantPayload,
    Throttle,
    is_stopping,
    job,
)
from tests.worker.trouble_jobs import Marked, write_mark

RATE, WINDOW, AT_ONCE = 5, 0.5, 2
ONCE = Retry(attempts=1)


class Keyed(Marked):
    key: str = ""


class Failing(Keyed):
    fails: int = 0


class Text(Payload):
    key: str
    text: str = ""


async def nap(ctx: JobContext, payload: Keyed) -> int:
    payload.mark(ctx, "begin")
    await asyncio.sleep(payload.seconds)
    payload.mark(ctx, "end")
    return payload.number


FREE = job("controls.nap", queue="default", retry=ONCE)(nap)
FREE_ELSEWHERE = job("controls.nap_elsewhere", queue="email", retry=ONCE)(nap)
SYNCING = job("controls.nap_syncing", queue="sync", retry=ONCE)(nap)
NARROW = job("controls.nap_narrowly", queue="maintenance", retry=ONCE)(nap)
PREFERRED = job("controls.nap_first", queue="maintenance", retry=ONCE, priority=5)(nap)

RATED = job(
    "controls.call", queue="default", retry=ONCE, rate_limits=(RateLimit("c:{key}", RATE, WINDOW),)
)(nap)
RATED_ELSEWHERE = job(
    "controls.call_elsewhere",
    queue="email",
    retry=ONCE,
    rate_limits=(RateLimit("c:{key}", RATE, WINDOW),),
)(nap)
LIMITED = job(
    "controls.share",
    queue="default",
    retry=Retry(attempts=3, backoff=Fixed(0.2)),
    concurrency_key="{key}",
    concurrency_limit=AT_ONCE,
)(nap)
BOTH = job(
    "controls.call_in_turn",
    queue="default",
    retry=ONCE,
    concurrency_key="{key}",
    rate_limits=(RateLimit("b:{key}", RATE, WINDOW), RateLimit("all", 3 * RATE, WINDOW)),
)(nap)
ONE_BY_ONE = job(
    "controls.call_one_by_one",
    queue="default",
    retry=ONCE,
    rate_limits=(RateLimit("one", 1, 0.3), RateLimit("slow:{key}", 1, 3)),
)(nap)
ONCE_A_KEY = job(
    "controls.nap_once", queue="default", retry=ONCE, idempotency_key="{number}", result_ttl=600
)(nap)
ALONE = job("controls.reconcile", queue="default", retry=ONCE, singleton=True)(nap)


@job(
    "controls.follow",
    queue="default",
    retry=Retry(attempts=5, backoff=Fixed(0.1)),
    partition_key="deal:{key}",
)
async def follow(ctx: JobContext, payload: Failing) -> int:
    payload.mark(ctx, "begin")
    await asyncio.sleep(payload.seconds)
    if ctx.run.attempt <= payload.fails:
        payload.mark(ctx, "fail")
        raise ValueError("once more")
    payload.mark(ctx, "end")
    return payload.number


@job(
    "controls.be_told",
    queue="default",
    retry=ONCE,
    rate_limits=(RateLimit("told:{key}", 1000, 1),),
)
async def be_told(ctx: JobContext, payload: Keyed) -> int:
    """The service says at the first call that it is too much, and for how long."""
    payload.mark(ctx, "begin")
    if payload.number == 0 and payload.seconds:
        count = payload.marks.read_text().count(" begin 0\n")
        if count == 1:
            raise RateLimited(timedelta(seconds=payload.seconds))
    payload.mark(ctx, "end")
    return payload.number


@job("controls.index", queue="default", debounce=Debounce("{key}", wait=0.4, at_most=1.2))
async def index(ctx: JobContext, payload: Text) -> str:
    return payload.text


@job("controls.publish", queue="default", throttle=Throttle("{key}", per=0.6))
async def publish(ctx: JobContext, payload: Text) -> str:
    return payload.text


@job("controls.summarise", queue="default", retry=ONCE, cache_key="{key}", cache_for=600)
async def summarise(ctx: JobContext, payload: Text) -> str:
    if payload.text == "fail":
        raise ValueError("not today")
    return f"{payload.key} by {ctx.run.run_id}"


@job("controls.welcome", queue="default", idempotency_key="{key}", unique_for=2, result_ttl=0)
async def welcome(ctx: JobContext, payload: Text) -> None:
    """Nothing to do."""


@job("controls.notify", queue="default", unique_for=600, result_ttl=0)
async def notify(ctx: JobContext, payload: Text) -> None:
    """Nothing to do."""


class TenantMarked(TenantPayload):
    """`number` of a run stands for its tenant in the marks."""

    marks: Path
    number: int
    seconds: float = 0


@job("controls.work_for_tenant", queue="default", retry=ONCE)
async def work_for_tenant(ctx: JobContext, payload: TenantMarked) -> int:
    write_mark(payload.marks, ctx.run.queue, ctx.run.attempt, "begin", payload.number)
    await asyncio.sleep(payload.seconds)
    return payload.number


@job("controls.count_for_tenant", queue="default", retry=ONCE, result_ttl=0)
async def count_for_tenant(ctx: JobContext, payload: TenantMarked) -> None:
    if payload.number:  # the one that is waited for
        write_mark(payload.marks, ctx.run.queue, ctx.run.attempt, "begin", payload.number)
    await asyncio.sleep(payload.seconds)


@job("controls.spin_in_thread", queue="default", retry=ONCE, timeout=60)
async def spin_in_thread(ctx: JobContext, payload: Keyed) -> None:
    payload.mark(ctx, "begin")
    await asyncio.to_thread(_spin, payload)


def _spin(payload: Keyed) -> None:
    """Nobody can stop a thread: it asks."""
    while not is_stopping():
        time.sleep(0.02)
    write_mark(payload.marks, "-", 0, "asked", payload.number)


@job("controls.spin_in_process", queue="default", retry=ONCE, timeout=60)
async def spin_in_process(ctx: JobContext, payload: Keyed) -> None:
    with ctx.scratch() as folder:
        (folder / "draft").write_text("half of it")
        await ctx.offload(spin_in_c, payload.marks, payload.number)


def spin_in_c(marks: Path, number: int) -> None:
    """One call of a C function, which looks at no signal handler of Python's for a minute."""
    write_mark(marks, str(os.getpid()), 0, "begin", number)
    pow(7, 10**8)


@job("controls.read_pages", queue="default", retry=Retry(attempts=2, backoff=Fixed(0.05)))
async def read_pages(ctx: JobContext, payload: Failing) -> int:
    """A page of ten each 40 ms; of itself it says more than anybody could read."""
    for page in range(1, 11):
        ctx.progress(page / 10, f"page {page} of 10")
        ctx.log.info("Page read", page=page, of="ayse.isik@anadolu.example")
        await asyncio.to_thread(ctx.log.info, "From a thread")
        await asyncio.sleep(payload.seconds)
    if ctx.run.attempt <= payload.fails:
        raise ValueError("once more")
    return 10


@job("controls.chatter", queue="default", retry=ONCE)
async def chatter(ctx: JobContext, payload: Keyed) -> None:
    for number in range(1000):
        ctx.log.info("Line", number=number, text="x" * 2000)
