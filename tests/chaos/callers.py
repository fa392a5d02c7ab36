"""People who start scheduled runs by hand, several at once."""

import asyncio
import random
import time
from contextlib import suppress

import asyncpg

from tests.chaos.tick_checks import Ask
from worker.schedules import GoingOnError, run_now

_CALLERS = 4
_NAMES = ("beats.by_hand", "beats.by_hand", "beats.both", "beats.latest_slow")
_PATIENCE = 5  # seconds
_TROUBLES = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError)


async def ask_again_and_again(
    url: str, seconds: float, asks: list[Ask], chance: random.Random
) -> None:
    """For so many seconds; what came of it is added to `asks`."""
    until = time.monotonic() + seconds
    pool = await asyncpg.create_pool(url, min_size=0, max_size=_CALLERS)
    try:
        while time.monotonic() < until:
            asks.append(await _ask(pool, chance.choice(_NAMES)))
            await asyncio.sleep(chance.uniform(0.2, 1.5))
    finally:
        with suppress(*_TROUBLES):
            await asyncio.wait_for(pool.close(), _PATIENCE)


async def _ask(pool: "asyncpg.Pool[asyncpg.Record]", name: str) -> Ask:
    began = time.monotonic()
    started, told = list[str](), list[str]()

    async def one() -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                async with pool.acquire() as connection, connection.transaction():
                    run = await run_now(connection, name, by="chaos")
                started.append(run.run_id)
        except GoingOnError as error:
            told.append(error.run_id)

    ends = await asyncio.gather(*(one() for _ in range(_CALLERS)), return_exceptions=True)
    strange = [end for end in ends if end is not None and not isinstance(end, _TROUBLES)]
    if strange:
        raise strange[0]
    broken = sum(end is not None for end in ends)
    return Ask(name, time.monotonic() - began, started, told, broken)
