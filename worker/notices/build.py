"""A worker's Watch, as its settings say; and what it leaves behind."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from worker.clock import utc_now
from worker.lifespan import Resources
from worker.notices import queries
from worker.notices.queries import Db
from worker.notices.telling import Channels
from worker.notices.watch import Line, Watch
from worker.settings import Settings
from worker.status import Status
from worker.telemetry.metrics import Metrics

# Seconds: the status block reads the queues every minute, mostly for notices too. Less than lies
# between two looks, so that none sees what the one before has seen.
_RECENT: Final = 50.0
_COUNTED_FOR: Final = timedelta(days=2)  # longer than any window in which failures are counted


def watch_of(
    resources: Resources,
    settings: Settings,
    metrics: Metrics,
    status: Status,
    *,
    reads_queues: bool,
) -> Watch:
    """Of several processes of one command only one `reads_queues`."""
    return Watch(
        resources.db,
        settings.notice_rules,
        channels_of(settings),
        queues=(lambda: _lines(status)) if reads_queues else None,
        counted=metrics.notices.told,
        clock=resources.clock,
    )


def channels_of(settings: Settings) -> Channels:
    return Channels(
        addresses=settings.alert_email,
        has_webhook=settings.alert_webhook is not None,
        language=settings.alert_language,
        timezone=settings.timezone,
        service=settings.service_name,
        environment=settings.environment,
    )


async def _lines(status: Status) -> Mapping[str, Line]:
    overview = await status.overview(within=_RECENT)
    return {
        name: Line(view.sizes.ready, is_served=view.may_be_served)
        for name, view in overview.queues.items()
    }


async def forget_notices(db: Db, age: timedelta) -> None:
    """Notices that have been over for so long, and counts that nobody needs any more."""
    now = utc_now()
    await queries.forget(db, closed_before=now - age, counted_before=now - _COUNTED_FOR)
