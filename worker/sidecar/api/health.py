"""How everything is, and which worker processes there are, for who is signed in."""

from functools import partial

from worker.engine.fleet import worker_reports
from worker.sidecar.access.principal import Role
from worker.sidecar.api.operation import Call, NoParameters, Page, PageParameters, operation
from worker.sidecar.api.paging import cursor, page_of, place
from worker.sidecar.details import HealthDetails, ProcessHealth, details, process_of
from worker.sidecar.schedule_health import schedule_health


@operation(
    "GET",
    "/health/details",
    base="",
    tag="health",
    role=Role.VIEWER,
    summary="Queues, processing and schedules as they are now, and what they depend on.",
)
async def get_health_details(call: Call[NoParameters, None]) -> HealthDetails:
    """200 also when something is not well: `/health` is for probes."""
    services = call.services
    return await details(
        services.pool,
        services.health,
        services.rates,
        list(services.settings.queues().values()),
        schedules=partial(schedule_health, services.db),
        clock=services.clock,
    )


@operation(
    "GET",
    "/workers",
    tag="health",
    role=Role.VIEWER,
    summary="Worker processes that live, by name, as their heartbeats say.",
)
async def list_workers(call: Call[PageParameters, None]) -> Page[ProcessHealth]:
    asked = call.parameters
    behind = place(asked.after, str)
    reports = await worker_reports(call.services.pool)
    left = sorted(
        (one for one in reports if behind is None or one.worker > behind),
        key=lambda one: one.worker,
    )
    return page_of(left, asked.limit, process_of, lambda last: cursor(last.worker))
