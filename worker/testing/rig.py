"""A rig: runs jobs in a test as a worker would, and keeps what they did."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID, uuid4

import httpx
import orjson

from clients.llm import LanguageModel
from clients.local_storage import LocalStorage
from clients.mail import Sender
from clients.object_storage import ObjectStorage
from clients.sms import Sms
from jobs.kit import Job, Payload
from jobs.kit.context import Offload
from jobs.kit.sending import Meter
from worker.codec import dump_value
from worker.engine.attempt import Attempts
from worker.engine.claims import Claim
from worker.engine.hands import Hands, Stop
from worker.engine.hooks import Hooks
from worker.enqueuer import known_job
from worker.message import NOW, headers_of, message
from worker.offload import Offloader
from worker.settings import Settings, load_settings
from worker.testing.attempts import Told, ended_of, runner_of
from worker.testing.captured import Counted, NotGivenError, Outbox, SentMail, TextOutbox
from worker.testing.clock import Clock
from worker.testing.draining import drain
from worker.testing.ended import Ended
from worker.testing.enqueued import Waiting, enqueued
from worker.testing.pool import RigPool
from worker.testing.tools import RigResources, given

if TYPE_CHECKING:
    import asyncpg

_RELEASE_WITHIN = 10.0  # seconds that a job has to end when its test is cancelled


class Rig:
    """Runs jobs with a real context, on what the test gives it.

    db        an asyncpg pool; without one a job that asks for it fails the test with a sentence
    http      an httpx client, with `httpx.MockTransport` or to a stand-in; the same
    storage   an ObjectStorage; a directory that goes with the rig, unless given
    pool      of `open_rig_pool`: what jobs enqueue lies in Redis, and `drain()` runs it; without
              one it is remembered in memory
    clock     what `ctx.now()` says, and what delays follow; the pool's, or this instant
    meter     counts; `rig.counted` remembers, unless given
    offload   runs functions in processes, as a worker does, unless given
    model     `ctx.model`; none, unless given

    Mails are kept in `mails`, SMS in `texts`, lines of `ctx.log` in `logs`. `outbox.error` is what
    sending a mail raises, `text_outbox.error` the same of an SMS.
    A context manager: its directory goes at the end, what was given stays open.
    """

    def __init__(
        self,
        *,
        db: "asyncpg.Pool[asyncpg.Record] | None" = None,
        http: httpx.AsyncClient | None = None,
        storage: ObjectStorage | None = None,
        pool: RigPool | None = None,
        clock: Clock | None = None,
        meter: Meter | None = None,
        offload: Offload | None = None,
        model: LanguageModel | None = None,
        settings: Settings | None = None,
    ) -> None:
        self.clock = clock or (pool.clock if pool is not None else Clock())
        if pool is not None:
            pool.clock = self.clock
        self._folder = Path(tempfile.mkdtemp(prefix="deskhand-rig-"))
        self._missing: NotGivenError | None = None
        self._told: dict[str, Told] = {}
        self.counted = Counted()
        # What jobs said of how far they are: run id, fraction, message.
        self.progress: list[tuple[str, float, str]] = []
        self.settings = settings or load_settings(var_dir=self._folder)
        self.outbox = Outbox(Sender.parse(self.settings.email_from), self.clock)
        self.text_outbox = TextOutbox()
        links = self.settings.public_url or self.settings.sidecar_url
        self.pool = pool
        scratch = self._folder / "tmp"
        scratch.mkdir()
        self.resources = RigResources(
            settings=self.settings,
            db=given(db, "db", self._notice),
            http=given(http, "http", self._notice),
            storage=storage or LocalStorage(self._folder / "storage"),
            mail=self.outbox,
            sms=self.text_outbox,
            meter=meter or self.counted,
            offload=offload or Offloader(),  # type: ignore[arg-type]  # any that can be called so
            scratch=scratch,
            model=model,
            pool=given(pool, "pool", self._notice),
            clock=self.clock,
            links=str(links).rstrip("/"),
            outbox=self.outbox,
            text_outbox=self.text_outbox,
            progress=lambda run, fraction, message: self.progress.append(
                (run.run_id, fraction, message)
            ),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the rig's directory. Safe to call twice."""
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def mails(self) -> list[SentMail]:
        """The mails that left, in order."""
        return self.outbox.mails

    @property
    def texts(self) -> list[Sms]:
        """The SMS that left, in order."""
        return self.text_outbox.texts

    @property
    def storage(self) -> ObjectStorage:
        """`ctx.storage`."""
        return self.resources.storage

    @property
    def logs(self) -> list[Any]:
        """Lines of `ctx.log`, as dicts: `event`, `log_level`, `run_id`, and what they carry."""
        return self.resources.logs.entries

    async def enqueued(self) -> list[Waiting]:
        """All that waits: in Redis, or without a pool what the jobs enqueued."""
        if self.pool is not None:
            return await enqueued(self.pool)
        return list(self.resources.waiting)

    async def run(
        self,
        job: Job[Any, Any] | str,
        payload: Mapping[str, Any] | Payload,
        *,
        attempt: int = 1,
        run_id: str | None = None,
        key: str | None = None,
        tenant_id: UUID | None = None,
        correlation_id: str | None = None,
        replay_of: str | None = None,
        enqueued_at: datetime | None = None,
        crashes: int = 0,
        is_checked: bool = True,
    ) -> Ended:
        """Run one attempt of `job` here and now, and say how it ended. Nothing is enqueued for it.

        The payload goes through JSON. `key`, `tenant_id` and `enqueued_at` stand in for what the
        run would find out about itself; `crashes` workers died of it before. A payload that does
        not fit raises PayloadError, as enqueuing it would; with `is_checked=False` it is run as a
        worker would find it in Redis. Raises NotGivenError when the job asked for something that
        the rig lacks.
        """
        declared = known_job(job) if isinstance(job, str) else job
        run_id = run_id or uuid4().hex
        headers = {"replay": replay_of} if replay_of else {}
        if correlation_id:
            headers["cid"] = correlation_id
        data = declared.validate(payload) if is_checked else payload
        words = declared.words_of(data) if isinstance(data, Payload) else []
        head, tail = message(declared.name, NOW, headers_of(headers), words)
        fields = data.model_dump(mode="json") if isinstance(data, Payload) else data
        told = self._told[run_id] = Told(
            key=key, tenant_id=tenant_id, enqueued_at=enqueued_at or self.clock()
        )
        queues = self.settings.queues()
        claim = Claim(
            run_id=run_id,
            queue=queues[declared.queue],
            token="rig",  # noqa: S106 - of a lease, not of a person
            raw=head + orjson.dumps(orjson.loads(dump_value(fields))) + tail,
            due_ms=time.time() * 1000,
            attempts_spent=attempt - 1,
            leased_ms=0,
            epoch="",
            crashes=crashes,
        )
        try:
            return await self._attempt(declared, claim, told)
        finally:
            del self._told[run_id]

    async def _attempt(self, job: Job[Any, Any], claim: Claim, told: Told) -> Ended:
        runner = runner_of(
            {job.name: job}, self.resources, self._told, moved=lambda: self.clock.moved
        )
        attempts = Attempts(runner, clock=time.time, worker_id="rig", hooks=Hooks())
        is_done = asyncio.Event()
        attempts.hands = hands = Hands(attempts, clock=time.time, on_free=is_done.set)
        hands.start(claim)
        try:
            await is_done.wait()
        finally:
            if not is_done.is_set():
                hands.stop(Stop.SHUTDOWN)
                await hands.wait(_RELEASE_WITHIN)
            hands.close()
        self._raise_missing()
        (hand,) = hands.done(1)
        return ended_of(hand, told)

    async def drain(
        self,
        *,
        until: timedelta = timedelta(0),
        limit: int = 1000,
        within: float = 30,
    ) -> list[Ended]:
        """Run all that is due in Redis, and what that enqueues, on this event loop.

        Returns how each attempt ended, in that order. `until` also runs what comes due within so
        long, retries too, and moves the clock to when it does. Raises DrainError after `limit`
        attempts or `within` seconds, NotGivenError as `run` does, ValueError without a pool.
        """
        if self.pool is None:
            raise ValueError("drain() runs what lies in Redis: make the rig with Rig(pool=…)")
        ended = await drain(
            self.pool, self.resources, self._told, until=until, limit=limit, within=within
        )
        self._raise_missing()
        return ended

    def _notice(self, error: NotGivenError) -> None:
        self._missing = self._missing or error

    def _raise_missing(self) -> None:
        """Whatever the job made of it, the test is what is wrong."""
        missing, self._missing = self._missing, None
        if missing is not None:
            raise missing
