"""ARQ's hooks: what runs beside the jobs, around the resources that they share."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import asyncpg

from jobs.kit import Queue, all_jobs
from worker import __version__, audit
from worker.background import cancel
from worker.clock import utc_now
from worker.dead_letters import group_older
from worker.deliveries import DoubtChore
from worker.engine.fleet import sizes
from worker.enqueuer import Pool
from worker.group import Member, Siblings
from worker.ledger import Ledger
from worker.ledger.ticks import heal_ticks
from worker.lifespan import Resources, connect, open_resources
from worker.migrate import MigrationError, pending
from worker.notes import Notes
from worker.notices.build import forget_notices, watch_of
from worker.notices.slots import WantedSlots
from worker.notices.watch import Watch
from worker.outbox.chore import OutboxChore
from worker.outbox.relay import Relay
from worker.rates import RateWriter, Tally
from worker.rates import prune as prune_rates
from worker.retention import Keep, Retention
from worker.schedules import Plan, Scheduler, plans_of, reports
from worker.schedules.figures import CronRefresh
from worker.schedules.queries import forget_unseen
from worker.settings import Settings, SettingsError
from worker.settings_hints import hints
from worker.sidecar.api.app import Api
from worker.sidecar.api.services import Services
from worker.sidecar.app import Sidecar
from worker.sidecar.health import Health
from worker.sidecar.unsubscribe import Unsubscribing
from worker.startup import StartupError
from worker.status import Status
from worker.telemetry.logs import get_logger
from worker.telemetry.metrics import Metrics

_CLOCK_SKEW = 5.0  # seconds
_LAST_WORDS = 5.0  # seconds to write the history of the runs that ended last
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Runtime:
    resources: Resources
    metrics: Metrics
    health: Health
    sidecar: Sidecar
    notes: Notes
    status: Status
    tally: Tally


async def startup(ctx: dict[str, Any]) -> None:
    """ARQ's `on_startup`. Raises StartupError."""
    stack = ctx["stack"] = AsyncExitStack()
    member: Member | None = ctx.get("member")
    # Burst mode ends when the queues are empty: whatever else is due is for others.
    looks_out = not ctx.get("is_burst")
    has_schedules = ctx["settings"].scheduler and looks_out
    for hint in hints(ctx["settings"]):
        _log.warning(hint)
    opened = open_runtime(
        ctx["settings"], ctx["redis"], member, has_schedules=has_schedules, looks_out=looks_out
    )
    runtime = await stack.enter_async_context(opened)
    ctx["runtime"] = runtime
    ctx["resources"] = runtime.resources
    if member is not None:
        member.orders.ready()


async def shutdown(ctx: dict[str, Any]) -> None:
    """ARQ's `on_shutdown`: in reverse, also after a start that broke off."""
    stack: AsyncExitStack | None = ctx.pop("stack", None)
    if stack is not None:
        await stack.aclose()


@asynccontextmanager
async def open_runtime(
    settings: Settings,
    pool: Pool,
    member: Member | None = None,
    *,
    has_schedules: bool = False,
    looks_out: bool = False,
) -> AsyncIterator[Runtime]:
    """Health first, so that probes see the start; what writes last, so that it ends first."""
    queues = list(settings.queues().values())
    metrics = Metrics(((job.queue, job.name) for job in all_jobs()), version=__version__)
    health = Health(service=settings.service_name, version=__version__)
    async with AsyncExitStack() as stack:
        unsubscribing, api = Unsubscribing(), Api(settings)
        crons, wanted = CronRefresh(metrics), WantedSlots.of(settings, metrics)
        siblings = None
        if member is not None:
            siblings = Siblings(member, health, patience=settings.start_timeout)
        sidecar = Sidecar(
            health,
            metrics,
            refresh=lambda: _refresh(pool, metrics, queues, crons, wanted),
            merge=siblings.merge if siblings else None,
            routes=[*unsubscribing.routes(), *api.routes()],
        )
        await _start(sidecar, settings, member)
        stack.push_async_callback(sidecar.stop)
        if member is not None and siblings is not None:
            await stack.enter_async_context(siblings.serving(sidecar))
            if not member.is_burst:  # there they end one after the other
                health.add_siblings(siblings.check)
        notes = await stack.enter_async_context(_noting(pool))
        resources = await stack.enter_async_context(
            open_resources(settings, pool=pool, meter=metrics, progress=notes.progress)
        )
        await _require_schema(settings)
        unsubscribing.db = resources.db
        health.add("redis", lambda: _check_redis(pool))
        health.add("postgres", lambda: _check_postgres(resources.db))
        is_first = not (member and member.number)
        status = Status.of(settings, pool, health, tells_queues=is_first)
        services = Services.of(resources, health, status.rates)
        await stack.enter_async_context(api.serving(services))
        plans = _plans(settings)
        scheduler = Scheduler(resources.db, plans, jobs=[reports.JOB])
        crons.db, crons.names, wanted.db = resources.db, list(plans), resources.db
        # They can be started by hand, also where none fires.
        await scheduler.declare(only_new=not has_schedules)
        watch = watch_of(resources, settings, metrics, status, reads_queues=is_first)
        parts: list[Scheduler | Watch] = [*[scheduler] * has_schedules, *[watch] * looks_out]
        for part in parts:
            status.watch(part)
        await stack.enter_async_context(health.watching())
        await stack.enter_async_context(_running(status.run()))
        tally = Tally()
        await stack.enter_async_context(_adding(RateWriter(resources.db, tally)))
        await stack.enter_async_context(_looking_after(resources, settings, metrics))
        for part in parts:
            await stack.enter_async_context(_running(part.run()))
        yield Runtime(resources, metrics, health, sidecar, notes, status, tally)


@asynccontextmanager
async def _looking_after(
    resources: Resources, settings: Settings, metrics: Metrics
) -> AsyncIterator[None]:
    """What runs leave in Redis and PostgreSQL, and what waits in the outbox."""
    pool, db = resources.pool, resources.db
    sweeps: list[Callable[[], Awaitable[object]]] = [
        partial(group_older, db),
        OutboxChore(pool, db),
        partial(audit.forget, db, age=timedelta(days=settings.keep_audit_days)),
        partial(prune_rates, db),
        partial(heal_ticks, db),
        partial(forget_unseen, db, timedelta(days=settings.keep_days)),
        partial(forget_notices, db, timedelta(days=settings.keep_days)),
        DoubtChore(redis=pool, db=db, sms=resources.sms, meter=metrics, clock=resources.clock),
    ]
    relay = Relay(
        pool,
        db,
        connect=partial(connect, settings),
        in_hand=resources.in_hand,
        lease=timedelta(seconds=settings.run_lease),
        counted=metrics.outbox,
    )
    async with (
        _running(Retention(db, Keep.of(settings), sweeps=sweeps).run()),
        _writing(Ledger(pool, db, keep_completed=settings.keep_completed)),
        _running(relay.run()),
    ):
        yield


def _plans(settings: Settings) -> dict[str, Plan]:
    try:
        return plans_of(settings)
    except SettingsError as error:
        raise StartupError(str(error)) from None


async def _start(sidecar: Sidecar, settings: Settings, member: Member | None) -> None:
    if member is not None:
        await sidecar.start_on(member.sockets)
        return
    try:
        await sidecar.start(settings.host, settings.port)
    except OSError as error:
        raise StartupError(str(error)) from None


async def _require_schema(settings: Settings) -> None:
    try:
        missing = await pending(settings.database_dsn or "")
    except MigrationError as error:
        raise StartupError(str(error)) from None
    except (OSError, asyncpg.PostgresError) as error:
        sentence = f"PostgreSQL (DATABASE_URL) does not answer: {type(error).__name__}"
        raise StartupError(sentence) from None
    if missing:
        raise StartupError(
            f"the database lacks {len(missing)} migrations ({missing[0]} …): run `deskhand migrate`"
        )


@asynccontextmanager
async def _running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        await cancel([task])


@asynccontextmanager
async def _noting(pool: Pool) -> AsyncIterator[Notes]:
    notes = Notes(pool)
    task = asyncio.create_task(notes.run(), name="notes")
    try:
        yield notes
    finally:
        await cancel([task])
        notes.close()


@asynccontextmanager
async def _writing(ledger: Ledger) -> AsyncIterator[None]:
    task = asyncio.create_task(ledger.run())
    try:
        yield
    finally:
        await cancel([task])
        # What cannot be written now stays in Redis for another worker, or the next start.
        try:
            await asyncio.wait_for(ledger.drain(), _LAST_WORDS)
        except Exception as error:  # noqa: BLE001 - history never decides how the worker ends
            _log.warning("Run history is left in Redis", error_type=type(error).__name__)


@asynccontextmanager
async def _adding(writer: RateWriter) -> AsyncIterator[None]:
    task = asyncio.create_task(writer.run())
    try:
        yield
    finally:
        await cancel([task])
        try:
            await asyncio.wait_for(writer.flush(), _LAST_WORDS)
        except Exception as error:  # noqa: BLE001 - rates never decide how the worker ends
            _log.warning("The last rates are lost", error_type=type(error).__name__)


async def _refresh(
    pool: Pool, metrics: Metrics, queues: list[Queue], crons: CronRefresh, wanted: WantedSlots
) -> None:
    """Side by side: where one is away the other is told all the same."""
    found, _ = await asyncio.gather(sizes(pool, queues), crons())
    metrics.set_queue_sizes(found)
    await wanted(found)


async def _check_redis(pool: Pool) -> Mapping[str, object]:
    """Scores are instants by Redis' clock: a worker whose clock is far off misjudges waits."""
    seconds, _ = await pool.time()
    return {"degraded": abs(utc_now().timestamp() - seconds) > _CLOCK_SKEW}


async def _check_postgres(db: "asyncpg.Pool[asyncpg.Record]") -> Mapping[str, object]:
    await db.fetchval("select 1")
    return {}
