"""The tour: what an API would enqueue, done once for the demo tenants, with its results shown."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from clients.local_storage import LocalStorage
from clients.object_storage import ObjectStorage
from worker.clock import utc_now
from worker.demo import queries
from worker.demo.customers import Customers
from worker.demo.notices import replies
from worker.demo.proposals import newest_change, proposals
from worker.demo.tenants import TENANTS, DemoTenant, DemoUser
from worker.demo.waiting import until_sent
from worker.enqueuer import Pool, known_job
from worker.settings import Settings

if TYPE_CHECKING:
    import asyncpg

_WITHIN = 120.0  # seconds for each job of the tour
_REMINDED = 8
_FORMATS = ("pdf", "xlsx", "csv")
_REPORT = {"en": "Opportunities", "tr": "İhaleler"}

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Tour:
    pool: Pool
    db: "asyncpg.Pool[asyncpg.Record]"
    storage: ObjectStorage
    started_at: datetime

    async def run(self, name: str, payload: dict[str, Any]) -> Any:
        """Enqueue and wait, as an API with time to spare would. Raises what the run raised."""
        job = known_job(name)
        # A run of the last hour's tour has its result still, and need not be done again.
        run = await self.pool.enqueue(job, job.validate(payload))
        return await self.pool.handle(run.run_id, job).result(timeout=_WITHIN, poll_delay=0.1)

    async def import_notices(self, tenant: DemoTenant) -> int:
        """Put the demo's replies into storage and import them; returns how many were mapped."""
        imported = 0
        for page, reply in enumerate(replies(self.started_at.date())):
            key = f"imports/{tenant.tenant_id}/demo-{page}.json"
            await self.storage.put(key, orjson.dumps(reply))
            receipt = await self.run(
                "sam_gov.import_opportunities", {"tenant_id": str(tenant.tenant_id), "key": key}
            )
            imported += receipt["total"] - receipt["failed"]
        return imported

    async def make_reports(self, tenant: DemoTenant) -> list[str]:
        """Both reports in every format, side by side; returns their storage keys."""
        period = await queries.get_period(self.db, tenant.tenant_id)
        payload = {
            "tenant_id": str(tenant.tenant_id),
            "period_from": period.first_on.isoformat(),
            "period_to": period.last_on.isoformat(),
            "language": tenant.locale,
        }
        receipts = await asyncio.gather(
            *(
                self.run(
                    "documents.generate_report",
                    {**payload, "report_type": report_type, "format": file_format},
                )
                for report_type in ("opportunities", "analytics")
                for file_format in _FORMATS
            )
        )
        return [receipt["key"] for receipt in receipts]

    async def mail(self, tenant: DemoTenant, user: DemoUser, report_key: str) -> list[str]:
        """One of each mail, in the order in which a user would get them; what came of each."""
        who = {"tenant_id": str(tenant.tenant_id), "user_id": str(user.user_id)}
        notice_ids = await queries.closing_next(
            self.db, tenant.tenant_id, after=self.started_at, limit=_REMINDED
        )
        reminder = {**who, "notice_ids": notice_ids, "report_key": report_key}
        came = {
            "welcome": await self._welcome(tenant, who),
            "reminder": await self._sent("email.send_opportunity_reminder", reminder),
            "proposal": await self._tell_team(tenant),
            "weekly summary": await self._sent("email.send_weekly_summary", who),
            "report": await self._report(tenant, user, report_key),
        }
        return [f"{name} {status}" for name, status in came.items()]

    async def _sent(self, name: str, payload: dict[str, Any]) -> str:
        receipt = await self.run(name, payload)
        return str(receipt["status"])

    async def _welcome(self, tenant: DemoTenant, who: dict[str, Any]) -> str:
        if await queries.count_sent(self.db, tenant.tenant_id, "welcome"):
            return "already_sent"  # nobody is welcomed twice: the run would be cancelled
        return await self._sent("email.send_welcome", who)

    async def _tell_team(self, tenant: DemoTenant) -> str:
        """Its mails are runs of their own, which nobody waits for but a tour."""
        found = proposals(tenant, self.started_at)
        await queries.load_proposals(self.db, tenant, found)
        template = "proposal-notification"
        before = await queries.count_sent(self.db, tenant.tenant_id, template)
        change = {"tenant_id": str(tenant.tenant_id), "change_id": str(newest_change(found))}
        await self.run("email.notify_proposal_change", change)
        await until_sent(self.db, tenant, template)
        return "already_sent" if before else "sent"

    async def _report(self, tenant: DemoTenant, user: DemoUser, report_key: str) -> str:
        period = await queries.get_period(self.db, tenant.tenant_id)
        return await self._sent(
            "messaging.send_report",
            {
                "tenant_id": str(tenant.tenant_id),
                "email": user.email,
                "report_key": report_key,
                "title": _REPORT[tenant.locale],
                "period_from": period.first_on.isoformat(),
                "period_to": period.last_on.isoformat(),
                "language": tenant.locale,
                "timezone": tenant.timezone,
            },
        )


async def take_tour(
    db: "asyncpg.Pool[asyncpg.Record]", pool: Pool, settings: Settings, *, say: Say
) -> None:
    """Load the demo tenants and run every job once. Raises what jobs raise."""
    tour = Tour(pool, db, LocalStorage(settings.storage_path), utc_now())
    lines = [line for tenant in TENANTS for line in await _visit(tour, tenant, settings)]
    say("\n".join(["", "The tour is done. Look at:", *lines, *_where_else(settings)]))


async def _visit(tour: Tour, tenant: DemoTenant, settings: Settings) -> Sequence[str]:
    await queries.load_tenant(tour.db, tenant)
    imported = await tour.import_notices(tenant)
    keys = await tour.make_reports(tenant)
    pdf = next(key for key in keys if key.endswith(".pdf"))
    mails = [line for user in tenant.users for line in await tour.mail(tenant, user, pdf)]
    mails += await Customers(tour.db, tour.run, tenant, tour.started_at).write()
    files = [f"  {settings.storage_path.resolve() / key}" for key in keys]
    return [f"{tenant.name}: {imported} notices; {', '.join(mails)}", *files]


def _where_else(settings: Settings) -> list[str]:
    lines = []
    if settings.email_provider == "file":
        mails = sorted(Path(settings.var_dir / "mail").glob("*.eml"))
        lines += ["Mail:", *(f"  {mail.resolve()}" for mail in mails)]
    if settings.sms_is_sent_by == "file":
        texts = sorted(Path(settings.var_dir / "sms").glob("*.json"))
        lines += ["SMS:", *(f"  {text.resolve()}" for text in texts)]
    base = settings.sidecar_url
    return [
        *lines,
        "URLs:",
        f"  {base}/health",
        f"  {base}/metrics",
        f"  {base}/api/v1/schedules  (and runs, queues, events …: {base}/api/v1/openapi.json)",
        "Ctrl-C stops everything.",
        "",
    ]
