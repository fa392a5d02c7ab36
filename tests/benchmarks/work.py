"""The job that every Python peer runs, and its place in the tally.

Only the standard library: the peers' own environments import it.
"""

import asyncio
import os
from pathlib import Path
from time import monotonic

from tests.benchmarks.tally import Tally

REDIS_URL = os.environ.get("BENCH_REDIS_URL", "")
DATABASE_URL = os.environ.get("BENCH_DATABASE_URL", "")
SLOTS = int(os.environ.get("BENCH_SLOTS", "100"))
VARIANT = os.environ.get("BENCH_VARIANT", "")
SECONDS = float(os.environ.get("BENCH_SECONDS", "0"))

_DIRECTORY = Path(os.environ.get("BENCH_TALLIES", "."))
_CAPACITY = int(os.environ.get("BENCH_CAPACITY", "1000"))
_tallies: dict[int, Tally] = {}


def ready() -> None:
    """The worker of this process waits for jobs."""
    tally = Tally.create(_DIRECTORY, capacity=_CAPACITY)
    _tallies[0] = tally
    tally.set_ready()


async def work(number: int) -> None:
    """Do nothing, or sleep BENCH_SECONDS, and note it."""
    begun = ended = monotonic()
    if SECONDS:
        await asyncio.sleep(SECONDS)
        ended = monotonic()
    _tallies[0].note(number, begun, ended)
