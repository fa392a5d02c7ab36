"""Opens what all attempts share into ARQ's startup context, and closes it in reverse."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import (
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import asyncpg
import httpx
from arq.worker import Function, func
from structlog.typing import FilteringBoundLogger

from clients.llm import LanguageModel
from clients.local_storage import LocalStorage
from clients.mail import MailProvider, Sender
from clients.object_storage import ObjectStorage
from clients.sms import SmsProvider
from clients.webhook import Webhook
from jobs.kit import Enqueued, Job, JobContext, Payload, Run, all_jobs
from jobs.kit.sending import Mailer, Meter, Poster, Texter
from worker.clock import utc_now
from worker.codec import ORIGIN
from worker.deliveries import RecordedMailer, RecordedPoster, RecordedTexter
from worker.deliveries.throttling import Pause, pause_of
from worker.enqueuer import Pool
from worker.message import When, correlation_id
from worker.offload import Offloader, preload
from worker.outbox import enqueue_in, enqueue_many_in
from worker.outbox.queries import Connection
from worker.providers import mail_provider, model, sms_provider, webhook
from worker.records import OUTBOX, row_id_of
from worker.scratch import scratch_folder, scratch_root
from worker.settings import Settings
from worker.startup import StartupError, until_it_answers
from worker.telemetry.logs import get_logger

if TYPE_CHECKING:
    from arq.typing import WorkerCoroutine

_STATEMENT_TIMEOUT = 60.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What all attempts share."""

    settings: Settings
    db: "asyncpg.Pool[asyncpg.Record]"
    http: httpx.AsyncClient
    storage: ObjectStorage
    mail: MailProvider
    sms: SmsProvider
    meter: Meter
    offload: Offloader
    scratch: Path
    pool: Pool
    clock: Callable[[], datetime]
    links: str
    progress: Callable[[Run, float, str], None]
    webhook: Webhook | None = None
    model: LanguageModel | None = None
    # Rows of the outbox whose runs are being run here.
    in_hand: set[int] = field(default_factory=set)

    @property
    def sender(self) -> Sender:
        """Who a mail is from that has no sender of its own."""
        return self.mail.sender

    def log_of(self, run: Run) -> FilteringBoundLogger:
        """The logger of a run's job."""
        return get_logger(f"jobs.{run.job}")

    def mailer_of(self, run: Run) -> Mailer:
        """Sends the mail of one run."""
        return RecordedMailer(
            db=self.db,
            provider=self.mail,
            meter=self.meter,
            run=run,
            clock=self.clock,
            pause=self.pause_of(run, "email"),
        )

    def texter_of(self, run: Run) -> Texter:
        """Sends the SMS of one run."""
        return RecordedTexter(
            db=self.db,
            provider=self.sms,
            meter=self.meter,
            run=run,
            clock=self.clock,
            pause=self.pause_of(run, "sms"),
        )

    def pause_of(self, run: Run, channel: str) -> Pause:
        """What a 429 of the channel's provider does to others."""
        return pause_of(self.pool, run, channel)

    def poster_of(self, run: Run) -> Poster | None:
        """Posts the events of one run."""
        if self.webhook is None:
            return None
        return RecordedPoster(self, self.webhook, run)

    def scratch_folder(self) -> AbstractContextManager[Path]:
        """A folder that is gone when the `with` ends."""
        return scratch_folder(self.scratch)

    @contextmanager
    def holding(self, row_id: int | None) -> Iterator[None]:
        """Say that a run of the outbox is being run."""
        held = set() if row_id is None else {row_id}
        self.in_hand.update(held)
        try:
            yield
        finally:
            self.in_hand.difference_update(held)

    async def enqueue(
        self,
        run: Run,
        job: Job[Any, Any],
        payload: Payload,
        *,
        delay: timedelta | None = None,
    ) -> Enqueued:
        """Enqueue under the correlation id of this run."""
        wait = delay or timedelta(0)
        return await self.pool.enqueue(
            job,
            job.validate(payload),
            when=When(wait_ms=int(wait / timedelta(milliseconds=1))),
            headers={"cid": run.correlation_id},
        )

    async def enqueue_in(
        self,
        run: Run,
        connection: Connection,
        job: Job[Any, Any],
        payload: Payload,
        *,
        delay: timedelta | None = None,
    ) -> str:
        """The same with a transaction."""
        headers = {"cid": run.correlation_id}
        return await enqueue_in(connection, job, payload, delay=delay, headers=headers)

    async def enqueue_many_in(
        self, run: Run, connection: Connection, job: Job[Any, Any], payloads: Sequence[Payload]
    ) -> list[str]:
        """The same for many."""
        headers = {"cid": run.correlation_id}
        return await enqueue_many_in(connection, job, payloads, headers=headers)


@asynccontextmanager
async def open_resources(
    settings: Settings,
    *,
    pool: Pool,
    meter: Meter,
    progress: Callable[[Run, float, str], None] = lambda *_: None,
    clock: Callable[[], datetime] = utc_now,
) -> AsyncIterator[Resources]:
    """Connect to everything; closes it all in reverse. Raises StartupError."""
    async with AsyncExitStack() as stack:
        db = await stack.enter_async_context(_database(settings))
        http = await stack.enter_async_context(
            httpx.AsyncClient(timeout=httpx.Timeout(30, connect=10), follow_redirects=False)
        )
        preload([job.function.__module__ for job in all_jobs()])
        mail = mail_provider(settings, http, clock)
        stack.push_async_callback(mail.aclose)
        sms = sms_provider(settings, http, clock)
        stack.push_async_callback(sms.aclose)
        yield Resources(
            settings=settings,
            db=db,
            http=http,
            storage=LocalStorage(settings.storage_path),
            mail=mail,
            sms=sms,
            meter=meter,
            offload=Offloader(),
            scratch=stack.enter_context(scratch_root(settings.var_dir / "tmp")),
            pool=pool,
            clock=clock,
            links=str(settings.public_url or settings.sidecar_url).rstrip("/"),
            progress=progress,
            webhook=webhook(settings, http, clock),
            model=model(settings, http),
        )


def arq_function(job: Job[Any, Any]) -> Function:
    """The job as ARQ sees it: a coroutine function of ARQ's context and the payload's fields."""

    async def coroutine(ctx: dict[str, Any], /, *args: Any, **kwargs: Any) -> Any:
        resources: Resources = ctx["resources"]
        payload = job.read(args[0] if args else kwargs)
        run = _run(job, payload, ctx)
        correlation_id.set(run.correlation_id)  # of this task, which is this attempt's own
        if OUTBOX in ctx.get("headers", ()):
            with resources.holding(row_id_of(ctx["headers"][OUTBOX])):
                return await job.function(JobContext(run, resources), payload)
        return await job.function(JobContext(run, resources), payload)

    return func(
        cast(
            "WorkerCoroutine", coroutine
        ),  # ARQ names the first parameter, and types it dict[Any, Any]
        name=job.name,
        timeout=job.timeout.total_seconds(),
        keep_result=job.result_ttl.total_seconds(),
        max_tries=job.retry.attempts if job.retry else None,
    )


def _run(job: Job[Any, Any], payload: Payload, ctx: dict[str, Any]) -> Run:
    headers, run_id = ctx.get("headers", {}), ctx["job_id"]
    replay_of = headers.get("replay")
    key = None if job.repeats.idempotency is None else job.key_of(payload)
    return Run(
        run_id,
        job.name,
        job.queue,
        ctx["job_try"],
        key or headers.get(ORIGIN) or replay_of or run_id,
        ctx["enqueue_time"],
        headers.get("cid", run_id),
        payload.__dict__.get("tenant_id"),  # getattr on a model that lacks it is slow
        replay_of,
    )


@asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator["asyncpg.Pool[asyncpg.Record]"]:
    if settings.database_dsn is None:
        raise StartupError("DATABASE_URL is not set; `deskhand run` can start a private PostgreSQL")
    await until_it_answers(
        partial(_try_database, settings.database_dsn),
        name="PostgreSQL (DATABASE_URL)",
        within=settings.start_timeout,
        away=(OSError, TimeoutError, asyncpg.CannotConnectNowError),
    )
    pool = await asyncpg.create_pool(
        settings.database_dsn,
        min_size=1,
        max_size=settings.database_pool_size,
        timeout=10,
        command_timeout=_STATEMENT_TIMEOUT,
        server_settings=_session(settings),
    )
    try:
        yield pool
    finally:
        try:
            await asyncio.wait_for(pool.close(), 10)
        except TimeoutError:
            pool.terminate()


async def connect(settings: Settings) -> "asyncpg.Connection[asyncpg.Record]":
    """A connection beside the pool, for whoever listens. Raises what asyncpg raises."""
    return await asyncpg.connect(
        settings.database_dsn,
        timeout=10,
        command_timeout=10,
        server_settings=_session(settings),
    )


def _session(settings: Settings) -> dict[str, str]:
    return {"application_name": settings.service_name, "timezone": "UTC"}


async def _try_database(dsn: str) -> None:
    """A connection of its own: a pool that could not connect once says nothing the next time."""
    try:
        connection = await asyncpg.connect(dsn, timeout=10)
    except asyncpg.CannotConnectNowError:
        raise
    except (asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        sentence = f"PostgreSQL (DATABASE_URL) refuses us: {type(error).__name__}"
        raise StartupError(sentence) from None
    await connection.close(timeout=5)
