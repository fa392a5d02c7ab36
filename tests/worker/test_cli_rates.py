"""`deskhand rates`: what it prints, and refuses."""

import json
from datetime import timedelta
from typing import TYPE_CHECKING

from tests.worker.test_cli import Cli
from tests.worker.test_cli import cli as cli  # noqa: PLC0414 - a fixture is found by its name here
from worker.clock import utc_now
from worker.rates import RateWriter, Tally

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]


async def test_rates_are_told_by_queue(cli: Cli, db: "Db") -> None:
    tally, began = Tally(), (utc_now() - timedelta(minutes=5)).timestamp()
    for outcome, attempts in (("succeeded", 45), ("dead", 15)):
        times = [((began - 1) * 1000, began, began + 2)] * attempts
        tally.add("email", "email.send", outcome, times, ended=began)
    await RateWriter(db, tally).flush()

    table = await cli("rates")
    line = await cli("rates", "--json", "--every", "1m", "--queue", "email", "--since", "1h")

    words = table.stdout.splitlines()[1].split()
    assert words[:6] == ["email", "60", "1.0", "60.0", "25.0%", "1.000"]
    one = json.loads(line.stdout)
    assert (one["attempts"], one["per_minute"], one["length"]) == (60, 60, 60)
    assert one["by_outcome"] == {"dead": 15, "succeeded": 45}
    assert (one["wait"]["mean"], one["duration"]["longest"]) == (1, 2)
    assert (await cli("rates", "--queue", "sync")).stdout == "no attempts\n"


async def test_a_wrong_time_is_told(cli: Cli) -> None:
    told = await cli("rates", "--every", "30s")
    later = await cli("rates", "--since", "1h", "--until", "2h")

    assert (told.exit_code, later.exit_code) == (2, 2)
    assert "period is some whole minutes" in told.stderr
    assert "since is before until" in later.stderr
