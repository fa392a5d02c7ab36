"""`python -m tests.chaos.reminders`: each reminder that is due is sent once, whoever is killed.

Appointments in many time zones, around changes of the clock; scans that come late, twice, by hand
or not at all; appointments that are moved, confirmed and cancelled while their reminders are on
their way. Three workers are killed at random, and a mail relay and Twilio fail in every way. Exits
with 1 when a reminder was sent twice, never, or for something else, or a field says otherwise.
"""

import argparse
import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import asyncpg

from tests.chaos.fleet import ROOT, Fleet
from tests.chaos.reminder_checks import Change, Scanned, Verdict, judge
from tests.chaos.reminder_plan import TWILIO_URL, Booking, Plan, Step, make_plan
from tests.chaos.reminder_rows import (
    ask_for_scan,
    change_appointment,
    count_untold,
    insert_plan,
    keep_log,
    open_runs,
    read_seen,
    wakeful_runs,
)
from tests.chaos.servers import Postgres, Valkey
from tests.chaos.world import Background, open_servers
from tests.saying import say
from worker.clock import utc_now
from worker.enqueuer import Pool
from worker.history import promote
from worker.redis_pool import open_redis

T = TypeVar("T")

_WORKERS = 3
_READY_WITHIN = 60  # seconds
_DRAINED_WITHIN = 900  # seconds; the first step after some weeks has much to catch up with
_TAKEN_OVER_WITHIN = 150  # seconds
_TICK = 0.03  # seconds
_SHOWN = 30


@dataclass(frozen=True, slots=True)
class Options:
    """A worker is killed every `kill_every` seconds, on average."""

    appointments: int
    seed: int
    hours: int
    segments: int
    kill_every: float


@dataclass(frozen=True, slots=True)
class Place:
    directory: Path
    postgres: Postgres
    valkey: Valkey
    background: Background
    fleet: Fleet


@dataclass(slots=True)
class Play:
    """What was done, and when; the clock of the play is a file that the workers read."""

    place: Place
    plan: Plan
    chance: random.Random
    kill_every: float
    db: "asyncpg.Pool[asyncpg.Record]"
    pool: Pool
    next_kill: float = 0
    kills: int = 0
    promoted: int = 0
    steps: list[Scanned] = field(default_factory=list)
    changes: dict[UUID, list[Change]] = field(default_factory=dict)

    def run(self) -> None:
        for number, step in enumerate(self.plan.steps):
            self._step(number, step)
            if number % 20 == 19:
                say(f"{utc_now():%H:%M:%S} step {number + 1} of {len(self.plan.steps)}")

    def _step(self, number: int, step: Step) -> None:
        set_clock(self.place.directory, step.now)
        begin = time.monotonic_ns()
        scans = [(f"scan:{number}:{place}", due_at) for place, due_at in enumerate(step.scans)]
        for run_id, due_at in scans:
            self._do(ask_for_scan(self.db, run_id, due_at))
        left, scanned, waiting = step.changes, None, set[str]()
        self._change(self.chance.randint(0, left), step.now)
        deadline = time.monotonic() + _DRAINED_WITHIN
        while time.monotonic() < deadline:
            self._tend()
            self._wake(step.now)
            waiting = self._do(open_runs(self.db, step.now))
            if scanned is None and not waiting & {run_id for run_id, _ in scans}:
                scanned = time.monotonic_ns()
                self._change(left, step.now)
            if not waiting:
                break
            time.sleep(_TICK)
        else:
            # A clock that moves on meanwhile would make every expectation wrong.
            raise TimeoutError(f"step {number} did not end: {sorted(waiting)[:5]}")
        end = time.monotonic_ns()
        due = max(step.scans, default=None)
        self.steps.append(Scanned(step.now, due, begin, scanned or end, end))

    def _tend(self) -> None:
        """Kill somebody, if it is time, and see to it that there are others."""
        fleet, now = self.place.fleet, time.monotonic()
        fleet.tend()
        steady = fleet.steady()
        if now >= self.next_kill and steady:
            fleet.kill(self.chance.choice(steady))
            self.kills += 1
            self.next_kill = now + self.chance.uniform(0.5, 1.5) * self.kill_every

    def _wake(self, now: datetime) -> None:
        """The night is over for some: in earnest they would come back by themselves."""
        for run_id in self._do(wakeful_runs(self.db, now)):
            self.promoted += self._do(promote(self.pool, run_id)) == "promoted"

    def _change(self, number: int, now: datetime) -> None:
        """Something happens to appointments that are soon."""
        soon = [
            one for one in self.plan.bookings if now < self._start(one) < now + timedelta(hours=30)
        ]
        for one in self.chance.sample(soon, min(number, len(soon))):
            before = self._start(one)
            move = timedelta(minutes=5 * self.chance.randint(-30, 300))
            status, start = self.chance.choice(
                (
                    ("cancelled", before),
                    ("confirmed", before),
                    ("confirmed", max(before + move, now + timedelta(minutes=5))),
                    ("confirmed", before + timedelta(hours=24)),
                    ("confirmed", one.starts_at),
                )
            )
            begin = time.monotonic_ns()
            self._do(change_appointment(self.db, one, status, start))
            change = Change(begin, time.monotonic_ns(), status, start)
            self.changes.setdefault(one.appointment_id, []).append(change)

    def _start(self, booking: Booking) -> datetime:
        history = self.changes.get(booking.appointment_id)
        return history[-1].starts_at if history else booking.starts_at

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.place.background.run(work)


def set_clock(directory: Path, now: datetime) -> None:
    fresh = directory / "clock.new"
    fresh.write_text(repr(now.timestamp()))
    fresh.replace(directory / "clock")


def main() -> int:
    options = _options()
    directory = Path(tempfile.mkdtemp(prefix="deskhand-reminders-"))
    directory.chmod(0o711)  # PostgreSQL of a root without namespaces runs as nobody
    began = time.monotonic()
    say(f"{options}, in {directory}")
    plan = make_plan(
        options.appointments, hours=options.hours, segments=options.segments, seed=options.seed
    )
    with _place(directory, options.seed) as place:
        play, verdict = _play(place, plan, options)
    _report(play, verdict)
    say(f"{time.monotonic() - began:.0f} s in all")
    if verdict.violations:
        say(f"logs, marks and data are in {directory}")
        return 1
    shutil.rmtree(directory, ignore_errors=True)
    return 0


@contextmanager
def _place(directory: Path, seed: int) -> Iterator[Place]:
    with ExitStack() as stack:
        valkey, postgres, background = stack.enter_context(open_servers(directory))
        outside = stack.enter_context(_outside(directory, seed))
        environment = {
            "PATH": os.defpath,
            "DATABASE_URL": postgres.url,
            "REDIS_URL": valkey.url,
            "VAR_DIR": str(directory / "var"),
            "PORT": "0",
            "SCHEDULER": "false",
            "RUN_LEASE": "3",
            "SHUTDOWN_GRACE": "2",
            "WORKER_QUEUES": "reminders",
            "QUEUE_CONCURRENCY": '{"reminders": 20}',
            "DATABASE_POOL_SIZE": "8",
            "EMAIL_PROVIDER": "smtp",
            "EMAIL_FROM": "chaos@ours.example",
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(outside["smtp_port"]),
            "SMTP_SECURITY": "none",
            TWILIO_URL: str(outside["twilio_url"]),
        }
        fleet = Fleet(directory, environment, name="reminder", app="tests.chaos.reminder_app")
        stack.callback(fleet.end)
        yield Place(directory, postgres, valkey, background, fleet)


@contextmanager
def _outside(directory: Path, seed: int) -> Iterator[dict[str, Any]]:
    accepted = str(directory / "accepted")
    command = ["-m", "tests.chaos.reminder_outside", "--accepted", accepted, "--seed", str(seed)]
    with (directory / "outside.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, stderr=log
        )
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(10)


def _play(place: Place, plan: Plan, options: Options) -> tuple[Play, Verdict]:
    background, url = place.background, place.postgres.url
    db = background.run(_pool(url))
    pool = open_redis(place.valkey.url, Pool)
    background.run(keep_log(db))
    background.run(insert_plan(db, plan))
    set_clock(place.directory, plan.steps[0].now)
    chance = random.Random(options.seed + 1)  # noqa: S311 - a plan that can be played again
    play = Play(place, plan, chance, options.kill_every, db, pool)
    place.fleet.keep(_WORKERS)
    _wait_until_started(place)
    play.next_kill = time.monotonic() + options.kill_every
    play.run()
    _come_to_rest(play)
    accepted = place.directory / "accepted"
    seen = background.run(read_seen(db, plan, play.steps, play.changes, accepted))
    verdict = judge(seen)
    verdict.violations += place.fleet.troubles
    background.run(_close(db, pool))
    return play, verdict


def _come_to_rest(play: Play) -> None:
    """What a killed worker had read of ends, and had not written, others write in time."""
    fleet, background = play.place.fleet, play.place.background
    deadline = time.monotonic() + _TAKEN_OVER_WITHIN
    while background.run(count_untold(play.db)) and time.monotonic() < deadline:
        fleet.tend()
        time.sleep(0.5)
    fleet.keep(0)
    for worker in fleet.all:
        if worker.ended is None and not worker.is_steady:
            fleet.kill(worker)  # one that has only begun to start cannot be asked to stop
    fleet.stop()


def _wait_until_started(place: Place) -> None:
    """Raises TimeoutError, with the last words of those who did not start."""
    deadline = time.monotonic() + _READY_WITHIN
    while len([one for one in place.fleet.all if "Worker started" in one.log.read_text()]) < 1:
        if time.monotonic() > deadline or any(one.process.poll() for one in place.fleet.all):
            raise TimeoutError("; ".join(one.last_words() for one in place.fleet.all))
        time.sleep(_TICK)


async def _pool(url: str) -> "asyncpg.Pool[asyncpg.Record]":
    pool = asyncpg.create_pool(url, min_size=1, max_size=4)
    return await pool


async def _close(db: "asyncpg.Pool[asyncpg.Record]", pool: Pool) -> None:
    await asyncio.wait_for(db.close(), 10)
    await pool.aclose()


def _report(play: Play, verdict: Verdict) -> None:
    scans = sum(len(step.scans) for step in play.plan.steps)
    changes = sum(map(len, play.changes.values()))
    say(
        f"appointments  {len(play.plan.bookings)} of {len(play.plan.tenants)} tenants,"
        f" {changes} changes\n"
        f"scans         {scans} in {len(play.plan.steps)} steps;"
        f" {play.promoted} SMS waited for the morning\n"
        f"workers       {len(play.place.fleet.all)} started, {play.kills} killed"
    )
    for what, count in sorted(verdict.counts.items()):
        say(f"  {count:6} {what}")
    say(f"errors logged {dict(play.place.fleet.errors())}")
    say(f"violations    {len(verdict.violations)}")
    for line in verdict.violations[:_SHOWN]:
        say(f"  {line}")


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.reminders", description=__doc__)
    parser.add_argument("--appointments", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the plan")
    parser.add_argument("--hours", type=int, default=36, help="around each change of the clock")
    parser.add_argument("--segments", type=int, default=4, help="changes of the clock")
    parser.add_argument("--kill-every", type=float, default=6, help="seconds")
    return Options(**vars(parser.parse_args()))


if __name__ == "__main__":
    raise SystemExit(main())
