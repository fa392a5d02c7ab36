"""Find the appointments that their customers are to be reminded of."""

from collections.abc import Iterator
from datetime import datetime

from jobs.kit import Cron, JobContext, Tick, job
from jobs.messaging.catalogue import kind_of
from jobs.messaging.core.channels import CHANNELS, Channel, choose
from jobs.reminders import core, queries
from jobs.reminders.send_appointment_reminder import (
    AppointmentReminder,
    send_appointment_reminder,
)

_PAGE = 500


@job(
    "reminders.scan_appointments",
    queue="reminders",
    schedule=Cron("0 * * * *"),
    worker="AppointmentReminderWorker",
    timeout=1800,
)
async def scan_appointments(ctx: JobContext, tick: Tick) -> dict[str, dict[str, int]]:
    """A reminder for each confirmed appointment that starts in 23 to 24, or in 2 to 3 hours.

    Each type's window begins where the last one ended, so a scan that is late takes in what others
    missed, and one too many finds nothing. What is booked, confirmed or moved into a window that
    was looked through already has no reminder of that type: its customer has just heard of it.
    Where a scan is so late that both types are due, the nearer one goes alone. The other is not
    needed, and never sent later: a reminder's run looks at that again.
    Returns how many appointments and reminders there were, and how many of the appointments the
    nearer type takes care of (superseded), by type.
    """
    # A tick of the future would leave out whatever is booked until then.
    due_at = min(tick.due_at, ctx.now())
    found = {reminder_type: await _scan(ctx, reminder_type, due_at) for reminder_type in core.LEADS}
    ctx.log.info("Appointments scanned", **{f"of_{name}": of for name, of in found.items()})
    return {str(name): of for name, of in found.items()}


async def _scan(
    ctx: JobContext, reminder_type: core.ReminderType, due_at: datetime
) -> dict[str, int]:
    """Page by page: the place where a page ended is stored with the reminders of the page."""
    appointments = reminders = superseded = 0
    first = core.first_begin(due_at, reminder_type)
    while True:
        async with ctx.transaction() as connection:
            position = await queries.lock_scan(connection, reminder_type, first)
            window = core.window(position.starts_at, due_at, reminder_type)
            if window is None:
                break
            # Of what has begun nobody is reminded.
            after = max(position, core.Position(ctx.now(), core.LAST_ID, core.LAST_ID))
            page = await queries.due_appointments(connection, after, window.end, limit=_PAGE)
            needed = [due for due in page if _is_needed(ctx, due, reminder_type)]
            payloads = [one for due in needed for one in _reminders(ctx, due, reminder_type)]
            await ctx.enqueue_many_in(connection, send_appointment_reminder, payloads)
            is_last = len(page) < _PAGE
            place = core.Position(window.end) if is_last else page[-1].position
            await queries.move_scan(connection, reminder_type, place)
        appointments, reminders = appointments + len(page), reminders + len(payloads)
        superseded += len(page) - len(needed)
        if is_last:
            break
    return {"appointments": appointments, "reminders": reminders, "superseded": superseded}


def _is_needed(ctx: JobContext, due: core.DueAppointment, reminder_type: core.ReminderType) -> bool:
    """False, and counted, when the nearer reminder is due already."""
    if ctx.now() < core.useful_until(due.starts_at, reminder_type):
        return True
    for channel in _channels(due):
        ctx.meter.skipped(channel=channel, template=kind_of(core.TEMPLATE), reason="superseded")
    return False


def _reminders(
    ctx: JobContext, due: core.DueAppointment, reminder_type: core.ReminderType
) -> Iterator[AppointmentReminder]:
    channels = _channels(due)
    for channel in channels:
        yield AppointmentReminder(
            tenant_id=due.tenant_id,
            contact_id=due.contact_id,
            appointment_id=due.appointment_id,
            scheduled_for=due.starts_at,
            reminder_type=reminder_type,
            channel=channel,
        )
    if channels:
        return
    for channel in due.consented or CHANNELS:
        reason = "unreachable" if due.consented else "no_consent"
        ctx.meter.skipped(channel=channel, template=kind_of(core.TEMPLATE), reason=reason)
    ctx.log.info(
        "Nobody to remind",
        appointment_id=str(due.appointment_id),
        reason="unreachable" if due.consented else "no_consent",
    )


def _channels(due: core.DueAppointment) -> tuple[Channel, ...]:
    choice = choose(due.preferred_channel, consented=due.consented, reachable=due.reachable)
    return choice.channels
