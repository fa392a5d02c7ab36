"""Keeps what this worker has: renews leases and tells that it lives, from a thread of its own.

A job that blocks the event loop must neither lose its lease to another worker nor look dead: this
thread has its own connection, asks nobody, and logs what the loop is busy with. Only what holds
the interpreter's lock (a C extension in a loop) can stop it too.
"""

import asyncio
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import islice
from time import monotonic

from redis import Redis
from redis.exceptions import RedisError

from worker.engine.claims import Claim, held
from worker.engine.scripts import script
from worker.redis_cluster import key_tag
from worker.telemetry.logs import get_logger

_log = get_logger(__name__)

_STEP = 0.5  # seconds
_BATCH = 500  # leases renewed in one call
_STALL = 1.0  # seconds that the event loop may be busy until somebody should know
_STACK_SIGNS = 4000

Lost = Callable[[Sequence[Claim]], None]


class Keeper:
    """`claims` and `beat` are called from the thread, `on_lost` and `on_stall` on the event loop.

    beat      writes that this worker lives; called every `beat_every`
    on_lost   gets the claims whose lease somebody else has
    on_stall  gets the seconds that the loop did not turn, when it does again
    """

    def __init__(
        self,
        redis: Redis,
        *,
        lease: timedelta,
        claims: Callable[[], Sequence[Claim]],
        on_lost: Lost,
        on_stall: Callable[[float], None],
        beat: Callable[[Redis], None],
        beat_every: timedelta,
    ) -> None:
        self._redis = redis
        self._renew_script = redis.register_script(script("renew", key_tag(redis)).text)
        self._lease_ms = int(lease / timedelta(milliseconds=1))
        self._renew_every = lease.total_seconds() / 3
        self._claims = claims
        self._on_lost = on_lost
        self._on_stall = on_stall
        self._beat = beat
        self._beat_every = beat_every.total_seconds()
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._over = threading.Event()
        self._asked_at: float | None = None
        self._is_stall_told = False
        self._lag = 0.0
        self._renewed_at = monotonic()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def lag(self) -> float:
        """Seconds that the event loop last took to answer, or has not answered for."""
        asked_at = self._asked_at
        return self._lag if asked_at is None else max(self._lag, monotonic() - asked_at)

    @property
    def unrenewed(self) -> float:
        """Seconds since all leases were renewed, or there was none to renew."""
        return monotonic() - self._renewed_at

    async def stop(self) -> None:
        """Returns when the thread has ended, or is seen to hang in a call to Redis."""
        self._over.set()
        # Not in a thread of the loop's: jobs that were given up may hold all of those.
        patience = monotonic() + 10
        while self._thread.is_alive() and monotonic() < patience:  # noqa: ASYNC110 - a thread sets no asyncio event
            await asyncio.sleep(0.01)
        self._redis.close()

    def _run(self) -> None:
        next_renewal = next_beat = 0.0
        while not self._over.wait(min(_STEP, self._renew_every / 2)):
            self._watch()
            now = monotonic()
            if now >= next_beat:
                next_beat = now + self._beat_every
                self._try(lambda: self._beat(self._redis))
            # A renewal that failed is tried again at the next step.
            if now >= next_renewal and self._try(self._renew):
                next_renewal = now + self._renew_every
                self._renewed_at = monotonic()

    def _try(self, chore: Callable[[], None]) -> bool:
        try:
            chore()
        except (RedisError, OSError) as error:
            _log.warning("Redis is away, a chore waits", error_type=type(error).__name__)
        except Exception:  # noqa: BLE001 - without this thread all leases would be lost
            _log.exception("A chore failed")
        else:
            return True
        return False

    def _renew(self) -> None:
        claims = iter(self._claims())
        while batch := list(islice(claims, _BATCH)):
            queues, leases = held(batch)
            ends, lost = self._renew_script(keys=queues, args=[self._lease_ms, *leases])
            gone = set(lost)
            for claim in batch:
                if claim.key not in gone:
                    claim.leased_ms = ends
            if gone:
                self._tell(self._on_lost, [claim for claim in batch if claim.key in gone])

    def _watch(self) -> None:
        """Ask the loop for a sign of life; the first long silence is logged with what it does."""
        if self._asked_at is None:
            self._asked_at = monotonic()
            self._tell(self._answer)
        elif not self._is_stall_told and monotonic() - self._asked_at > _STALL:
            self._is_stall_told = True
            frame = sys._current_frames().get(self._loop_thread)  # noqa: SLF001 - documented, for this
            stack = "".join(traceback.format_stack(frame))[-_STACK_SIGNS:] if frame else ""
            _log.error("The event loop is blocked", seconds=_STALL, stack=stack)

    def _answer(self) -> None:
        if self._asked_at is not None:
            self._lag = monotonic() - self._asked_at
            if self._is_stall_told:
                self._on_stall(self._lag)
        self._is_stall_told = False
        self._asked_at = None

    def _tell(self, what: Callable[..., None], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop has ended, and with it everything we could tell
            self._loop.call_soon_threadsafe(what, *arguments)
