"""What a job may use: one frozen, typed object in place of ARQ's dict."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import httpx
from structlog.typing import FilteringBoundLogger

from clients.llm import LanguageModel
from clients.mail import Sender
from clients.object_storage import ObjectStorage
from jobs.kit.payload import Payload
from jobs.kit.sending import Mailer, Meter, Poster, Texter

if TYPE_CHECKING:
    import asyncpg

    from jobs.kit.job import Job
    from jobs.kit.sending import Connection

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(slots=True)  # not frozen: one is made for every attempt
class Run:
    """Which run this is. `key` makes its effects unique: the idempotency key, else the run's id.

    A replay has the key of the very first run, so that what was done is not done again.
    """

    run_id: str
    job: str
    queue: str
    attempt: int
    key: str
    enqueued_at: datetime
    correlation_id: str
    tenant_id: UUID | None = None
    replay_of: str | None = None


@dataclass(frozen=True, slots=True)
class Enqueued:
    """The run an enqueue led to: a new one, or

    is_cached  one whose result is kept, and is this request's too
    is_merged  one that waits, and has this request's payload now
    none of them: the idempotency key, or the singleton job, has that one already
    """

    run_id: str
    is_new: bool
    is_cached: bool = False
    is_merged: bool = False


class OffloadError(Exception):
    """The process ended without an answer: it was killed, or crashed."""


class Offload(Protocol):
    """Runs a module-level function in another process. Raises what it raises, or OffloadError."""

    def __call__(
        self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Awaitable[R]: ...


class Tools(Protocol):
    """What all attempts of a worker share."""

    @property
    def db(self) -> "asyncpg.Pool[asyncpg.Record]": ...
    @property
    def http(self) -> httpx.AsyncClient: ...
    @property
    def storage(self) -> ObjectStorage: ...
    @property
    def meter(self) -> Meter: ...
    @property
    def offload(self) -> Offload: ...
    @property
    def links(self) -> str: ...
    @property
    def sender(self) -> Sender: ...
    @property
    def clock(self) -> Callable[[], datetime]: ...
    @property
    def model(self) -> LanguageModel | None: ...

    def mailer_of(self, run: Run) -> Mailer: ...

    def texter_of(self, run: Run) -> Texter: ...

    def poster_of(self, run: Run) -> Poster | None: ...

    def log_of(self, run: Run) -> FilteringBoundLogger: ...

    def scratch_folder(self) -> AbstractContextManager[Path]: ...

    @property
    def progress(self) -> Callable[[Run, float, str], None]: ...

    async def enqueue(
        self, run: Run, job: "Job[Any, Any]", payload: Payload, *, delay: timedelta | None = None
    ) -> Enqueued: ...

    async def enqueue_in(
        self,
        run: Run,
        connection: "Connection",
        job: "Job[Any, Any]",
        payload: Payload,
        *,
        delay: timedelta | None = None,
    ) -> str: ...

    async def enqueue_many_in(
        self,
        run: Run,
        connection: "Connection",
        job: "Job[Any, Any]",
        payloads: Sequence[Payload],
    ) -> list[str]: ...


JobPayload = TypeVar("JobPayload", bound=Payload)


@dataclass(slots=True)  # not frozen: one is made for every attempt
class JobContext:
    """Everything a job may touch. Built by the runtime for each attempt, and for nobody else."""

    run: Run
    tools: Tools

    @property
    def log(self) -> FilteringBoundLogger:
        """Its lines carry the run and its correlation id; the last 200 stay with the attempt."""
        return self.tools.log_of(self.run)

    @property
    def db(self) -> "asyncpg.Pool[asyncpg.Record]":
        """PostgreSQL."""
        return self.tools.db

    @property
    def http(self) -> httpx.AsyncClient:
        """The one HTTP client of the process."""
        return self.tools.http

    @property
    def storage(self) -> ObjectStorage:
        """Files."""
        return self.tools.storage

    @property
    def mailer(self) -> Mailer:
        """Sends this run's mail."""
        return self.tools.mailer_of(self.run)

    @property
    def texter(self) -> Texter:
        """Sends this run's SMS."""
        return self.tools.texter_of(self.run)

    @property
    def poster(self) -> Poster | None:
        """Posts this run's events to admins (the setting ALERT_WEBHOOK_URL); None without one."""
        return self.tools.poster_of(self.run)

    @property
    def model(self) -> LanguageModel | None:
        """A language model (the setting LLM_PROVIDER); None without one."""
        return self.tools.model

    @property
    def meter(self) -> Meter:
        """Metrics."""
        return self.tools.meter

    @property
    def offload(self) -> Offload:
        """Runs a module-level function in a process that is killed with the attempt."""
        return self.tools.offload

    @property
    def links(self) -> str:
        """Base address for links in mails (the setting PUBLIC_URL), without a slash at the end."""
        return self.tools.links

    @property
    def sender(self) -> Sender:
        """Who a mail is from that has no sender of its own (the setting EMAIL_FROM)."""
        return self.tools.sender

    def scratch(self) -> AbstractContextManager[Path]:
        """A directory for temporary files, gone when the `with` ends."""
        return self.tools.scratch_folder()

    def progress(self, fraction: float, message: str = "") -> None:
        """Say how far this run is, 0 to 1, for whoever looks. As often as you like: the newest is
        written a few times a second. Raises ValueError for what is no fraction.
        """
        if not 0 <= fraction <= 1:
            raise ValueError(f"progress is a fraction, 0 to 1, not {fraction}")
        self.tools.progress(self.run, fraction, message)

    def now(self) -> datetime:
        """This instant, aware, in UTC."""
        return self.tools.clock().astimezone(UTC)

    def today(self, tz: str = "UTC") -> date:
        """The day it is now in a time zone."""
        return self.tools.clock().astimezone(ZoneInfo(tz)).date()

    async def enqueue(
        self,
        job: "Job[JobPayload, Any]",
        payload: JobPayload,
        *,
        delay: timedelta | None = None,
    ) -> Enqueued:
        """Put a run on the job's queue, under this run's correlation id."""
        return await self.tools.enqueue(self.run, job, payload, delay=delay)

    async def enqueue_in(
        self,
        connection: "Connection",
        job: "Job[JobPayload, Any]",
        payload: JobPayload,
        *,
        delay: timedelta | None = None,
    ) -> str:
        """The same if, and only if, `connection`'s transaction commits; returns the run's id."""
        return await self.tools.enqueue_in(self.run, connection, job, payload, delay=delay)

    async def enqueue_many_in(
        self,
        connection: "Connection",
        job: "Job[JobPayload, Any]",
        payloads: Sequence[JobPayload],
    ) -> list[str]:
        """The same for each payload, with a statement per 1000; returns their ids in this order."""
        return await self.tools.enqueue_many_in(self.run, connection, job, payloads)

    @asynccontextmanager
    async def transaction(
        self,
    ) -> AsyncIterator["asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"]:
        """A connection in a transaction: committed at the end, rolled back on an error."""
        async with self.db.acquire() as connection, connection.transaction():
            yield connection
