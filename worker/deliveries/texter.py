"""The Texter of an attempt."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from clients.handover import Before
from clients.sms import Sms, SmsProvider
from jobs.kit import DeliveryReceipt, Run
from jobs.kit.sending import Meter, Recording
from worker.deliveries.mailer import digest
from worker.deliveries.record import NOBODY, Delivery
from worker.deliveries.sending import Sending

if TYPE_CHECKING:
    import asyncpg


@dataclass(slots=True, kw_only=True)  # not frozen: one is made for every attempt
class RecordedTexter:
    """Sends what a run has to send by SMS."""

    db: "asyncpg.Pool[asyncpg.Record]"
    provider: SmsProvider
    meter: Meter
    run: Run
    clock: Callable[[], datetime]

    async def send(
        self, sms: Sms, *, key: str, recording: Recording | None = None
    ) -> DeliveryReceipt:
        """As `jobs.kit.context.Texter` says."""
        tenant_id = self.run.tenant_id or NOBODY
        delivery = Delivery(
            tenant_id=tenant_id,
            key=key,
            recipient=sms.to,
            channel="sms",
            template=sms.template,
            template_version=sms.template_version,
            provider=self.provider.name,
            message_id=digest(tenant_id, key, sms.to),
            run_id=self.run.run_id,
        )
        sending = Sending(
            db=self.db,
            outgoing=_OutgoingSms(sms, self.provider, delivery.message_id),
            delivery=delivery,
            run=self.run,
            clock=self.clock,
            count=lambda status: self.meter.sms(
                provider=delivery.provider, template=delivery.template, status=status
            ),
            recording=recording,
        )
        return await sending.send([sms.to])


@dataclass(frozen=True, slots=True)
class _OutgoingSms:
    sms: Sms
    provider: SmsProvider
    message_id: str
    finds: bool = True
    reports: bool = False

    @property
    def name(self) -> str:
        return self.provider.name

    @property
    def is_repeatable(self) -> bool:
        return self.provider.is_repeatable

    async def send(self, *, before: Before) -> str:
        return await self.provider.send(self.sms, message_id=self.message_id, before=before)

    async def find(self, *, since: datetime, known: Collection[str]) -> str | None:
        return await self.provider.find(
            self.sms, message_id=self.message_id, since=since, known=known
        )
