"""Jobs for the tests of the kit."""

import asyncio
import os
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from clients.errors import RequestRejectedError, ServiceUnavailableError
from clients.mail import Mail
from jobs.kit import (
    Cancel,
    Debounce,
    Fixed,
    JobContext,
    Payload,
    RateLimit,
    Retry,
    Snooze,
    TenantPayload,
    job,
)


class End(Payload):
    how: str
    instants: tuple[datetime, ...] = ()


@job("rigged.end", queue="default", retry=Retry(attempts=3, backoff=Fixed(60, 0)), timeout=0.2)
async def end(ctx: JobContext, payload: End) -> Any:  # noqa: C901, PLR0912 - one branch for each way to end
    match payload.how:
        case "tuple":
            return (1, ctx.now())
        case "object":
            return object()
        case "error":
            raise OSError("the disk is full")
        case "away":
            raise ServiceUnavailableError("closed", retry_after=timedelta(hours=2))
        case "rejected":
            raise RequestRejectedError("no such tenant")
        case "cancel":
            raise Cancel("nothing to do")
        case "snooze":
            raise Snooze(90, "too early")
        case "slow":
            await asyncio.sleep(5)
        case "run":
            return ctx.run
        case "db":
            return await ctx.db.fetchval("select 1")
        case "scratch":
            with ctx.scratch() as folder:
                (folder / "file").write_text("x")
                return str(folder)
        case "log":
            ctx.log.info("Looked", found=3)
        case "count":
            ctx.meter.sync(integration="sam_gov", operation="import", status="success", added=2)
    return None


@job("rigged.find_worker", queue="default")
async def find_worker(ctx: JobContext, payload: Payload) -> int:
    return await ctx.offload(os.getpid)


class Chain(Payload):
    left: int
    wait: float = 0


@job("rigged.count_down", queue="email", idempotency_key="{left}")
async def count_down(ctx: JobContext, payload: Chain) -> int:
    if payload.left:
        await ctx.enqueue(
            count_down,
            Chain(left=payload.left - 1, wait=payload.wait),
            delay=timedelta(seconds=payload.wait) if payload.wait else None,
        )
    return payload.left


@job("rigged.take_turns", queue="email", concurrency_key="{left}", priority=1)
async def take_turns(ctx: JobContext, payload: Chain) -> int:
    return payload.left


class For(TenantPayload):
    user_id: UUID


@job("rigged.greet", queue="email", retry=Retry(attempts=2, backoff=Fixed(60, 0)))
async def greet(ctx: JobContext, payload: For) -> str:
    mail = Mail(template="greeting", to="ada@tenant.example", subject="Hi", text="Hi!", html="")
    return (await ctx.mailer.send(mail, key=f"greet:{payload.user_id}")).status


@job("rigged.fail_twice", queue="sync", retry=Retry(attempts=3, backoff=Fixed(600, 0)))
async def fail_twice(ctx: JobContext, payload: Payload) -> str:
    if ctx.run.attempt < 3:
        raise OSError(f"attempt {ctx.run.attempt}")
    return ctx.now().isoformat()


@job("rigged.breed", queue="default")
async def breed(ctx: JobContext, payload: Payload) -> None:
    await ctx.enqueue(breed, Payload())


class Numbered(Payload):
    number: int


class Page(Payload):
    page: int
    text: str


@job("rig.call_service", queue="default", rate_limits=(RateLimit("rig-service", 2, 3600),))
async def call_service(ctx: JobContext, payload: Numbered) -> int:
    return payload.number


@job("rig.index_page", queue="default", debounce=Debounce("{page}", wait=300))
async def index_page(ctx: JobContext, payload: Page) -> str:
    return payload.text
