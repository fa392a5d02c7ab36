"""Adds what a worker counted to PostgreSQL, every few seconds."""

import asyncio
from uuid import uuid4

import asyncpg

from worker.rates import queries
from worker.rates.queries import Db
from worker.rates.tally import Count, Key, Tally
from worker.telemetry.logs import get_logger

_EVERY = 5.0  # seconds
_ROWS = 500  # a transaction
_TROUBLES = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)
_log = get_logger(__name__)


class RateWriter:
    """Run `run()` in the background; `flush()` once at the end."""

    def __init__(self, db: Db, tally: Tally) -> None:
        self._db = db
        self._tally = tally
        self._writer = uuid4().hex
        self._serial = 0
        # What was sent, and maybe written: it is sent again as it was.
        self._pending: dict[Key, Count] = {}

    async def run(self) -> None:
        """For ever; troubles are logged, and what could not be written is kept."""
        while True:
            await asyncio.sleep(_EVERY)
            try:
                await self.flush()
            except _TROUBLES as error:
                _log.warning("Rates wait", error_type=type(error).__name__)

    async def flush(self) -> None:
        """Write what there is. Raises OSError, TimeoutError and asyncpg's errors."""
        while True:
            if not self._pending:
                counts = self._tally.take()
                keys = list(counts)[:_ROWS]
                self._pending = {key: counts.pop(key) for key in keys}
                self._tally.back(counts)
                if not self._pending:
                    return
                self._serial += 1
            await queries.add(self._db, self._pending, writer=self._writer, serial=self._serial)
            self._pending = {}
