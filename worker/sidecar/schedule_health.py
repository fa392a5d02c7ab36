"""How schedules are, for the details of health."""

from worker.schedules.queries import Db
from worker.schedules.views import ScheduleView, list_schedules
from worker.sidecar.details import MOST, ScheduleHealth


async def schedule_health(db: Db) -> list[ScheduleHealth]:
    """The declared ones; those that people set up are theirs to look at."""
    return [_health(one) for one in await list_schedules(db, kind="declared", limit=MOST)]


def _health(one: ScheduleView) -> ScheduleHealth:
    return ScheduleHealth(
        name=one.name,
        job=one.job,
        is_enabled=one.paused_at is None and one.next_due_at is not None,
        next_due_at=one.next_due_at,
        last_due_at=None if one.last is None else one.last.due_at,
        last_state=None if one.last is None else one.last.state,
        reason=_reason(one),
    )


def _reason(one: ScheduleView) -> str | None:
    if one.error is not None:
        return f"it cannot fire: {one.error}"
    if not one.is_seen:
        return "no worker declares it any more"
    if one.is_late and one.running is not None:
        return f"its run goes on and on: {one.running}"
    if one.is_late:
        return f"it was due at {one.next_due_at:%H:%M:%S} UTC and did not fire"
    if one.last is not None and one.last.state in ("dead", "expired"):
        return f"its last run is {one.last.state}: {one.last.run_id}"
    return None
