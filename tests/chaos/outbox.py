"""`python -m tests.chaos.outbox`: what is committed runs to its end, and nothing else runs.

Transactions write a row and enqueue its run; a third are rolled back, some by a connection that
breaks. Workers, and the relays in them, are killed at random meanwhile, and Redis loses all its
data, twice. Exits with 1 when a committed run never ended, or another one began.
"""

import argparse
import asyncio
import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import asyncpg
from redis import Redis

from tests.chaos import marks
from tests.chaos.fleet import Fleet
from tests.chaos.marks import Interval
from tests.chaos.plays import Play, succeed, succeed_in_silence
from tests.chaos.servers import Postgres, Valkey
from tests.chaos.world import Background
from tests.saying import say
from worker.migrate import migrate
from worker.outbox import enqueue_in

_PRODUCERS = 4
_FLUSHES = (0.35, 0.7)  # of the time that the transactions take
_LEASE = 3.0  # seconds
# Seconds until others take over what a killed worker had read of ends, and had not written.
_TAKEN_OVER_WITHIN = 100
_SOON = 2_000_000_000  # ns in which a worker that is killed may have told of an end that it saw
_JOBS = (succeed, succeed_in_silence)  # the latter leaves no result that would tell of it


@dataclass(frozen=True, slots=True)
class Options:
    """So many transactions within so many seconds, and `rest` seconds to end in."""

    runs: int
    seconds: float
    workers: int
    kill_every: float
    rest: float
    seed: int


@dataclass(frozen=True, slots=True)
class Deeds:
    """When somebody was killed, and when Redis lost its data, as `time.monotonic_ns`."""

    kills: list[int]
    flushes: list[int]

    def excuse(self, first: Interval, second: Interval) -> bool:
        """Was the end of the first lost, so that the run had to begin again?"""
        return any(first.begin <= at <= second.begin for at in self.flushes) or any(
            first.end <= at <= first.end + _SOON for at in self.kills
        )


@dataclass(frozen=True, slots=True)
class Place:
    valkey: Valkey
    postgres: Postgres
    background: Background
    fleet: Fleet


def main() -> int:
    options = _options()
    directory = Path(tempfile.mkdtemp(prefix="deskhand-outbox-"))
    directory.chmod(0o711)  # PostgreSQL of a root without namespaces runs as nobody
    began = time.monotonic()
    say(f"{options}, in {directory}")
    with _place(directory) as place:
        promised, deeds = _play(place, options)
        left = place.background.run(_count(place.postgres.url, "outbox"))
    left = left if options.rest >= _TAKEN_OVER_WITHIN else 0
    violations = _reckon(place.fleet, directory, promised, left, deeds)
    say(f"{time.monotonic() - began:.0f} s in all")
    if violations:
        say(f"logs, marks and data are in {directory}")
        return 1
    shutil.rmtree(directory, ignore_errors=True)
    return 0


@contextmanager
def _place(directory: Path) -> Iterator[Place]:
    for name in ("marks", "starts", "logs"):
        (directory / name).mkdir()
    with ExitStack() as stack:
        valkey, postgres, background = Valkey(directory), Postgres(directory), Background()
        stack.callback(background.close)
        stack.callback(valkey.kill)
        valkey.start()
        postgres.start()
        stack.callback(postgres.stop)
        background.run(migrate(postgres.url))
        environment = {
            "PATH": os.defpath,
            "DATABASE_URL": postgres.url,
            "REDIS_URL": valkey.url,
            "VAR_DIR": str(directory / "var"),
            "PORT": "0",
            "RUN_LEASE": f"{_LEASE:g}",
            "QUEUE_CONCURRENCY": '{"default": 20}',
            "DATABASE_POOL_SIZE": "5",
        }
        fleet = Fleet(directory, environment, name="outbox")
        stack.callback(fleet.end)
        yield Place(valkey, postgres, background, fleet)


def _play(place: Place, options: Options) -> tuple[list[tuple[str, bool]], Deeds]:
    """Returns what was promised, by run id, and what was done to whom."""
    chance = random.Random(options.seed)  # noqa: S311 - a plan that can be played again
    deeds = Deeds([], [])
    fleet, url = place.fleet, place.postgres.url
    fleet.keep(options.workers)
    producing = place.background.start(_produce(url, options, chance.randrange(2**32)))
    began = time.monotonic()
    flushes = [began + share * options.seconds for share in _FLUSHES]
    next_kill = began + options.kill_every
    redis = Redis.from_url(place.valkey.url)
    while not producing.done() or flushes:
        fleet.tend()
        now = time.monotonic()
        if flushes and now >= flushes[0]:
            flushes.pop(0)
            redis.flushall()
            deeds.flushes.append(time.monotonic_ns())
        if now >= next_kill and (steady := fleet.steady()):
            fleet.kill(chance.choice(steady))
            deeds.kills.append(time.monotonic_ns())
            next_kill = now + options.kill_every * chance.uniform(0.5, 1.5)
        time.sleep(0.02)
    promised = producing.result()
    deadline = time.monotonic() + options.rest
    while time.monotonic() < deadline and place.background.run(_count(url, "outbox")):
        fleet.tend()
        time.sleep(0.2)
    fleet.end()
    redis.close()
    kept = place.background.run(_kept(url))
    return [(run_id, run_id in kept) for run_id in promised], deeds


async def _produce(url: str, options: Options, seed: int) -> list[str]:
    """The ids of all runs that were enqueued in any transaction."""
    connection = await asyncpg.connect(url)
    await connection.execute("create table promises (run_id text primary key)")
    await connection.close()
    some = [options.runs // _PRODUCERS + (n < options.runs % _PRODUCERS) for n in range(_PRODUCERS)]
    found = await asyncio.gather(
        *(_transact(url, number, options.seconds, random.Random(seed + at))  # noqa: S311 - as above
          for at, number in enumerate(some))
    )  # fmt: skip
    return [run_id for run_ids in found for run_id in run_ids]


async def _transact(url: str, number: int, seconds: float, chance: random.Random) -> list[str]:
    connection, run_ids = await asyncpg.connect(url), []
    began = time.monotonic()
    for at in range(number):
        transaction = connection.transaction()
        await transaction.start()
        run_id = await enqueue_in(connection, chance.choice(_JOBS), Play())
        run_ids.append(run_id)
        await connection.execute("insert into promises values ($1)", run_id)
        if chance.random() < 2 / 3:
            await transaction.commit()
        elif chance.random() < 0.95:
            await transaction.rollback()
        else:
            connection.terminate()
            connection = await asyncpg.connect(url)
        ahead = began + seconds * (at + 1) / number - time.monotonic()
        if ahead > 0:
            await asyncio.sleep(ahead)
    await connection.close()
    return run_ids


async def _kept(url: str) -> set[str]:
    connection = await asyncpg.connect(url)
    rows = await connection.fetch("select run_id from promises")
    await connection.close()
    return {row["run_id"] for row in rows}


async def _count(url: str, table: str) -> int:
    connection = await asyncpg.connect(url)
    number: int = await connection.fetchval(f"select count(*) from {table}")  # noqa: S608 - own word
    await connection.close()
    return number


def _reckon(
    fleet: Fleet,
    directory: Path,
    promised: Sequence[tuple[str, bool]],
    left: int,
    deeds: Deeds,
) -> int:
    """Say what was seen; returns how much of it should not have been."""
    ends = {worker.name: worker.ended or time.monotonic_ns() for worker in fleet.all}
    intervals = marks.read_intervals(directory / "marks", ends)
    closed = {run_id: [one for one in some if one.is_closed] for run_id, some in intervals.items()}
    kept = [run_id for run_id, is_kept in promised if is_kept]
    lost = [run_id for run_id in kept if not closed.get(run_id)]
    unpromised = set(intervals) - set(kept)
    again = [pair for run_id in kept for pair in pairwise(closed.get(run_id, []))]
    without_cause = [pair for pair in again if not deeds.excuse(*pair)]
    errors = fleet.errors()
    say(
        f"transactions  {len(promised)}: {len(kept)} committed, {len(promised) - len(kept)} not\n"
        f"workers       {len(fleet.all)} started, {len(deeds.kills)} killed\n"
        f"flushes       {len(deeds.flushes)}\n"
        f"never ended   {len(lost)} {lost[:5]}\n"
        f"not promised  {len(unpromised)} {sorted(unpromised)[:5]}\n"
        f"rows left     {left}\n"
        f"run again     {len(again)} whose end was lost, with a worker or with the data\n"
        f"without cause {len(without_cause)} {[(str(a), str(b)) for a, b in without_cause[:5]]}\n"
        f"errors logged {dict(errors)}\n"
        f"troubles      {fleet.troubles}"
    )
    missed = len(_FLUSHES) - len(deeds.flushes)
    wrong = len(lost) + len(unpromised) + len(without_cause) + left + missed + len(fleet.troubles)
    say(f"violations    {wrong}")
    return wrong


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.outbox", description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--kill-every", type=float, default=3, help="seconds between two kills")
    parser.add_argument("--rest", type=float, default=150, help="seconds to end in")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the plan")
    return Options(**vars(parser.parse_args()))


if __name__ == "__main__":
    raise SystemExit(main())
