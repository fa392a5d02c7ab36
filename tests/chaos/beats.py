"""Twenty schedules of every kind, whose runs mark their begin and end, and note their instant."""

import asyncio
import os
from dataclasses import dataclass
from typing import Final

from jobs.kit import Cron, Every, Fixed, JobContext, OnDemand, Retry, Schedule, Tick, job
from tests.chaos.marks import WORKER, directory, marked

ZONE: Final = "Asia/Kathmandu"  # three quarters of an hour off


@dataclass(frozen=True, slots=True)
class Beat:
    """A schedule, and how its runs go; they take so many `seconds`."""

    name: str
    schedule: Schedule
    seconds: float = 0
    fails: bool = False


BEATS: Final = (
    Beat("beats.latest_1", Every(1)),
    Beat("beats.latest_3", Every(3)),
    Beat("beats.latest_7", Every(7)),
    Beat("beats.latest_slow", Every(2), seconds=3),
    Beat("beats.latest_overlap", Every(2, overlaps=True), seconds=3),
    Beat("beats.latest_cron", Cron("* * * * *", tz=ZONE)),
    Beat("beats.all_1", Every(1, catch_up="all")),
    Beat("beats.all_2", Every(2, catch_up="all", overlaps=True)),
    Beat("beats.all_5", Every(5, catch_up="all")),
    Beat("beats.all_15", Every(15, catch_up="all")),
    Beat("beats.all_slow", Every(2, catch_up="all", window=60), seconds=3),
    Beat("beats.all_overlap", Every(1, catch_up="all", overlaps=True), seconds=2),
    Beat("beats.all_cron", Cron("* * * * *", catch_up="all", tz=ZONE)),
    Beat("beats.skip_1", Every(1, catch_up="skip", overlaps=True)),
    Beat("beats.skip_4", Every(4, catch_up="skip")),
    Beat("beats.skip_slow", Every(3, catch_up="skip"), seconds=4),
    Beat("beats.skip_cron", Cron("* * * * *", catch_up="skip", tz=ZONE)),
    Beat("beats.fail_always", Every(6), fails=True),
    Beat("beats.by_hand", OnDemand(), seconds=1),
    Beat("beats.both", Every(9), seconds=1),  # by itself, and by hand
)
ATTEMPTS: Final = 2  # of the one that fails


def _declare(beat: Beat) -> None:
    @job(
        beat.name,
        queue="default",
        schedule=beat.schedule,
        retry=Retry(attempts=ATTEMPTS, backoff=Fixed(0.2)),
        result_ttl=60,
    )
    async def run(ctx: JobContext, tick: Tick) -> None:
        with marked(ctx.run):
            _note(ctx.run.run_id, tick)
            await asyncio.sleep(beat.seconds)
            if beat.fails:
                raise RuntimeError("as always")


def _note(run_id: str, tick: Tick) -> None:
    """The instant that its run was told it was due, beside the marks."""
    with (directory() / "ticks" / os.environ[WORKER]).open("a") as notes:
        notes.write(f"{run_id} {tick.due_at.isoformat()}\n")


for _beat in BEATS:
    _declare(_beat)
