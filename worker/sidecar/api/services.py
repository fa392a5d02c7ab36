"""What operations work with."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from worker.enqueuer import Pool
from worker.settings import Settings

if TYPE_CHECKING:
    import asyncpg


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """There as soon as PostgreSQL and Redis are; until then the API answers 503."""

    settings: Settings
    db: "asyncpg.Pool[asyncpg.Record]"
    pool: Pool
    clock: Callable[[], datetime]
