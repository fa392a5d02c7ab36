"""What operations work with."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Self

from clients.mail import Sender
from jobs.kit.context import Offload
from worker.enqueuer import Pool
from worker.lifespan import Resources
from worker.overview import Rates
from worker.settings import Settings
from worker.sidecar.api.tail import Tail
from worker.sidecar.health import Health

if TYPE_CHECKING:
    import asyncpg


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """There as soon as PostgreSQL and Redis are; until then the API answers 503."""

    settings: Settings
    db: "asyncpg.Pool[asyncpg.Record]"
    pool: Pool
    clock: Callable[[], datetime]
    events: Tail
    health: Health
    rates: Rates
    offload: Offload
    sender: Sender
    links: str

    @classmethod
    def of(
        cls,
        resources: Resources,
        health: Health,
        rates: Rates,
    ) -> Self:
        """A worker's own."""
        return cls(
            settings=resources.settings,
            db=resources.db,
            pool=resources.pool,
            clock=resources.clock,
            events=Tail(resources.pool),
            health=health,
            rates=rates,
            offload=resources.offload,
            sender=resources.sender,
            links=resources.links,
        )
