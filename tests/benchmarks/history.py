"""`python -m tests.benchmarks.history`: pages of history, with a million runs that are over.

    runs      kinds of filters: the first page, and one that begins behind a third of all runs
    naive     the same beside what one writes first: `order by … offset`, without our indexes, and
              `ilike` without an index of texts

Each kind is asked for with other values each time where there are some (tenants, requests, ids).
Figures are milliseconds: the median and the 95th percentile. Exits with 1 when the median of a kind
that is not marked misses the target; a text that many runs nearly have (`*`) is known to.
"""

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, TypeAlias
from urllib.parse import urlencode
from uuid import UUID

import asyncpg

from tests.conftest import with_database
from tests.saying import say
from worker.clock import utc_now
from worker.embedded import start_postgres
from worker.ending import State
from worker.history import Cursor, Filter, list_runs
from worker.migrate import migrate

Db: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

_TARGET = 50.0  # ms
_PAGE = 50
_BIG = UUID(int=0xB16)
_BULK = "bulk"  # the request that enqueued every fourth run
_TENANTS = 1000
# Of a thousand runs one is dead, five are cancelled; three of a thousand notes say "sometimes".
_FILL = """
insert into job_runs (run_id, job, queue, tenant_id, state, label, correlation_id, attempt,
                      enqueued_at, started_at, finished_at, event_id, payload)
select run_id, job, queue, tenant_id, state, label, correlation_id, 1,
       at - interval '2 s', at - interval '1 s', case when state <> 'retrying' then at end,
       n || '-0',
       json_build_object('tenant_id', tenant_id, 'invoice_id', md5(run_id), 'step', n % 5,
                         'amount', ((n * 7919::bigint) % 1000003) || '.00',
                         'note', case when n % 331 = 5 then 'sometimes said'
                                      else 'Ödeme hatırlatması' end)::text
  from (select n, md5(n::text) as run_id, 'domain' || n % 14 || '.send_thing_' || n % 56 as job,
               'queue' || n % 14 as queue, now() - n * interval '1 second' as at,
               case when n % 10 < 8 then lpad(to_hex((n * 7919::bigint) % 1000), 32, '0')::uuid
                    when n % 10 = 8 then $1::uuid end as tenant_id,
               case when n % 1000 = 1 then 'dead' when n % 200 = 3 then 'cancelled'
                    when n % 5000 = 7 then 'retrying' else 'succeeded' end as state,
               case when n % 50 = 0 then 'label' || n % 3000 end as label,
               case when n % 4 = 0 then 'bulk' else 'request-' || n / 3 end as correlation_id
          from generate_series(1, $2::int) as n) as runs
"""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of page: a filter for a random number."""

    name: str
    which: Callable[[random.Random], dict[str, Any]]
    is_known_to_miss: bool = False


def _number(chance: random.Random) -> int:
    return chance.randrange(1, 900_000)


def _tenant(chance: random.Random) -> UUID:
    return UUID(int=chance.randrange(_TENANTS))


def _job(chance: random.Random) -> str:
    number = chance.randrange(56)
    return f"domain{number % 14}.send_thing_{number}"


def _hour(chance: random.Random) -> dict[str, Any]:
    until = utc_now() - timedelta(seconds=_number(chance))
    return {"since": until - timedelta(hours=1), "until": until}


_DEAD = (State.DEAD,)
KINDS = (
    Kind("all", lambda _: {}),
    Kind("state", lambda _: {"states": _DEAD}),
    Kind("queue", lambda chance: {"queue": f"queue{chance.randrange(14)}"}),
    Kind("queue, state", lambda _: {"queue": "queue1", "states": _DEAD}),
    Kind("job", lambda chance: {"job": _job(chance)}),
    Kind(
        "job, two states", lambda chance: {"job": _job(chance), "states": (*_DEAD, State.CANCELLED)}
    ),
    Kind("tenant", lambda chance: {"tenant_id": _tenant(chance)}),
    Kind("large tenant", lambda _: {"tenant_id": _BIG}),
    Kind("large tenant, state", lambda _: {"tenant_id": _BIG, "states": _DEAD}),
    Kind("large tenant, job", lambda chance: {"tenant_id": _BIG, "job": _job(chance)}),
    Kind("request", lambda chance: {"correlation_id": f"request-{_number(chance) // 3}"}),
    Kind("large request", lambda _: {"correlation_id": _BULK}),
    Kind("label", lambda chance: {"label": f"label{chance.randrange(60) * 50}"}),
    Kind(
        "label, queue",
        lambda chance: {"label": f"label{chance.randrange(60) * 50}", "queue": "queue2"},
    ),
    Kind("an hour", _hour),
    Kind("text of most", lambda _: {"text": "hatırlat"}),
    Kind("text of some", lambda _: {"text": "SOMETIMES"}),
    Kind("text of few", lambda chance: {"text": f"{chance.randrange(10_000, 99_999)}"}),
    Kind("text of none", lambda chance: {"text": f"nowhere {_number(chance)}"}),
    Kind("text of few, tenant", lambda _: {"text": "sometimes", "tenant_id": _BIG}),
    Kind(
        "text of none, queue",
        lambda chance: {"text": f"nowhere {_number(chance)}", "queue": "queue3"},
    ),
    Kind("text, state", lambda _: {"text": "sometimes", "states": _DEAD}),
    Kind(
        "text of parts that all have *",
        lambda _: {"text": '"amount" : "7777'},
        is_known_to_miss=True,
    ),
)


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="deskhand-bench-") as name:
        directory = Path(name)
        directory.chmod(0o711)  # PostgreSQL of a root without namespaces runs as nobody
        server = start_postgres(directory, is_durable=False)
        try:
            return asyncio.run(_measure(server.url, options))
        finally:
            server.stop()


async def _measure(url: str, options: argparse.Namespace) -> int:
    connection = await asyncpg.connect(url)
    await connection.execute("create database history")
    await connection.close()
    url = with_database(url, "history")
    await migrate(url)
    missed = False
    async with asyncpg.create_pool(url, min_size=1, max_size=1, command_timeout=600) as db:
        await fill(db, options.runs)
        deep = await place(db, options.runs // 3)
        ours = {}
        say(f"{options.runs:,} runs; ms: median / 95th percentile, first page and a deep one")
        for kind in KINDS:
            first = await _times(db, kind, None, options.times)
            behind = await _times(db, kind, deep, options.times)
            ours[kind.name] = statistics.median(first)
            late = (
                not kind.is_known_to_miss and max(map(statistics.median, (first, behind))) > _TARGET
            )
            missed = missed or late
            say(f"{kind.name:32} {both(first)}   {both(behind)}{'   MISSED' if late else ''}")
        await _beside(db, ours, options)
    return 1 if missed else 0


async def fill(db: Db, runs: int) -> None:
    """With so many runs; indexes afterwards, which is several times as fast."""
    began = perf_counter()
    indexes = await _indexes(db)
    await db.execute("drop index " + ", ".join(indexes))
    await db.execute(_FILL, _BIG, runs)
    await db.execute("set maintenance_work_mem = '256MB'")
    for definition in indexes.values():
        await db.execute(definition)
    await db.execute("vacuum analyze job_runs")
    say(f"filled in {perf_counter() - began:.0f} s")


async def _indexes(db: Db) -> dict[str, str]:
    rows = await db.fetch(
        "select indexname, indexdef from pg_indexes"
        " where tablename = 'job_runs' and indexname <> 'job_runs_pkey'"
    )
    return {row[0]: row[1] for row in rows}


async def place(db: Db, depth: int) -> Cursor:
    """Behind so many runs."""
    row = await db.fetchrow(
        "select coalesce(finished_at, started_at) as at, run_id from job_runs"
        " order by 1 desc, 2 desc offset $1 limit 1",
        depth,
    )
    assert row is not None
    return Cursor(row["at"], row["run_id"])


def paths(kind: Kind, after: str | None, times: int) -> Iterator[str]:
    """The same pages over HTTP."""
    chance = random.Random(7)  # noqa: S311 - the same values each time, of no secret
    for _ in range(times):
        asked: dict[str, Any] = {"limit": _PAGE, **({} if after is None else {"after": after})}
        for name, value in kind.which(chance).items():
            if name == "states":
                asked["state"] = [state.value for state in value]
            else:
                asked[name] = value.isoformat() if isinstance(value, datetime) else str(value)
        yield "/api/v1/runs?" + urlencode(asked, doseq=True)


async def _times(db: Db, kind: Kind, after: Cursor | None, times: int) -> list[float]:
    chance = random.Random(7)  # noqa: S311 - the same values each time, of no secret
    await list_runs(db, Filter(**kind.which(chance)), after=after, limit=_PAGE)  # to warm up
    return [
        await _timed(lambda: list_runs(db, Filter(**kind.which(chance)), after=after, limit=_PAGE))
        for _ in range(times)
    ]


async def _timed(call: Callable[[], Awaitable[object]]) -> float:
    began = perf_counter()
    await call()
    return (perf_counter() - began) * 1000


async def _beside(db: Db, ours: dict[str, float], options: argparse.Namespace) -> None:
    """What one writes first, on the same rows."""
    await db.execute("drop index " + ", ".join(await _indexes(db)))
    for name, condition, offset in _naive(options.runs):
        statement = (
            f"select * from job_runs where {condition}"  # noqa: S608 - own words
            f" order by enqueued_at desc limit {_PAGE} offset {offset}"
        )
        times = [await _timed(partial(db.fetch, statement)) for _ in range(3)]
        naive = statistics.median(times)
        say(f"naive: {name:25} {naive:8.1f} ms, {naive / ours[name]:,.0f} times as long")


def _naive(runs: int) -> Iterator[tuple[str, str, int]]:
    yield "all", "true", runs // 3
    yield "large tenant, state", f"tenant_id = '{_BIG}' and state = 'dead'", 0
    yield "text of few", "payload ilike '%77123%'", 0
    yield "text of none", "payload ilike '%nowhere 77%'", 0


def _p95(times: list[float]) -> float:
    return statistics.quantiles(times, n=20)[-1]


def both(times: list[float]) -> str:
    """The median and the 95th percentile."""
    return f"{statistics.median(times):7.1f} /{_p95(times):7.1f}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.history", description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=20, help="each kind of page")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
