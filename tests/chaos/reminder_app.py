"""`arq tests.chaos.reminder_app.WorkerSettings`: the real worker, by a clock that others move.

Jobs read the time from a file; what is as long as the night lasts until it is promoted. Waits for
providers are shorter than in earnest. What mails and SMS are remembered by is the machine's time.
"""

import os
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import SecretStr
from typing_extensions import override

from clients.errors import RequestRejectedError
from clients.mail import Sender
from clients.smtp import Smtp, SmtpSettings
from clients.twilio import Twilio, TwilioSettings
from jobs.kit import Cancel, Fixed, Job, JobContext, Payload, Retry, Run, Snooze, all_jobs
from jobs.kit.declare import _DECLARED
from jobs.kit.sending import Mailer, Texter
from jobs.reminders.scan_appointments import scan_appointments
from jobs.reminders.send_appointment_reminder import send_appointment_reminder
from tests.chaos.marks import directory, marked
from tests.chaos.reminder_plan import TWILIO_URL
from tests.clients.stand_ins.twilio import ACCOUNT_SID, AUTH_TOKEN, FROM
from worker.clock import utc_now
from worker.deliveries import record, sending
from worker.lifespan import Resources

_SOON = timedelta(seconds=1)
_NIGHT = timedelta(hours=6)  # longer than any play


def _hurry() -> None:
    """The stand-ins list at once what they have."""
    for module in (record, sending):
        vars(module).update(LISTED_AFTER=_SOON, LOOK_AGAIN_AFTER=_SOON)
    vars(sending)["_PAUSE"] = _SOON


def _now() -> datetime:
    """The time of the play; whoever moves it replaces the file."""
    return datetime.fromtimestamp(float((directory() / "clock").read_text()), UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Resources(Resources):
    @override
    def mailer_of(self, run: Run) -> Mailer:
        return Resources.mailer_of(replace(self, clock=utc_now), run)

    @override
    def texter_of(self, run: Run) -> Texter:
        return Resources.texter_of(replace(self, clock=utc_now), run)


def _outside(real: Resources) -> _Resources:
    settings = real.settings
    given = {field.name: getattr(real, field.name) for field in fields(Resources)}
    sender = Sender.parse(settings.email_from)
    relay = SmtpSettings(
        host="127.0.0.1", port=settings.smtp_port, security="none", timeout=3, data_timeout=2
    )
    account = TwilioSettings(
        account_sid=ACCOUNT_SID,
        auth_token=SecretStr(AUTH_TOKEN),
        sender=FROM,
        status_callback="http://127.0.0.1:9/told-to-nobody",
        url=os.environ[TWILIO_URL],
        timeout=2,
    )
    given |= {
        "clock": _now,
        "mail": Smtp(relay, sender=sender, clock=utc_now),
        "sms": Twilio(account, http=real.http),
    }
    return _Resources(**given)


def _told(job: Job[Any, Any]) -> Job[Any, Any]:
    """The same, which says when a run of it is over, or waits for the night to end."""

    async def function(ctx: JobContext, payload: Payload) -> Any:
        with marked(ctx.run):
            try:
                result = await job.function(ctx, payload)
            except Snooze as wait:
                if wait.reason != "quiet hours":
                    raise
                await _tell(ctx, "quiet", ctx.now() + wait.delay)
                raise Snooze(_NIGHT, wait.reason) from None
            except (Cancel, RequestRejectedError) as error:
                await _tell(ctx, type(error).__name__)
                raise
            await _tell(ctx, "done")
            return result

    return replace(job, function=function, retry=Retry(attempts=10, backoff=Fixed(1)))


async def _tell(ctx: JobContext, how: str, until: datetime | None = None) -> None:
    await ctx.db.execute(
        """
        insert into play_ends (run_id, how, until) values ($1, $2, $3)
        on conflict (run_id) do update set how = excluded.how, until = excluded.until
        """,
        ctx.run.run_id,
        how,
        until,
    )


_hurry()
all_jobs()
for _job in (scan_appointments, send_appointment_reminder):
    _DECLARED.update(dict.fromkeys((_job.name, *_job.aliases), _told(_job)))

# The settings class lists the jobs when it is imported, and ARQ reads that class alone.
from tests.chaos.app import WorkerSettings  # noqa: E402 - as just said
from worker.runtime import startup  # noqa: E402 - the same


async def _startup(ctx: dict[str, Any]) -> None:
    await startup(ctx)
    ctx["resources"] = _outside(ctx["resources"])


WorkerSettings.on_startup = _startup

__all__ = ["WorkerSettings"]
