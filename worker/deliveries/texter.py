"""The Texter of an attempt."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from clients.sms import Sms, SmsProvider
from jobs.kit import DeliveryReceipt, Run
from jobs.kit.sending import Check, Meter, Recording
from worker.deliveries.mailer import digest
from worker.deliveries.record import NOBODY, Delivery
from worker.deliveries.sending import Outgoing, Sending
from worker.deliveries.throttling import Pause, no_pause

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
    pause: Pause = no_pause

    async def send(
        self, sms: Sms, *, key: str, recording: Recording | None = None, check: Check | None = None
    ) -> DeliveryReceipt:
        """As `jobs.kit.sending.Texter` says."""
        tenant_id = self.run.tenant_id or NOBODY
        delivery = Delivery(
            tenant_id=tenant_id,
            key=key,
            recipient=sms.to,
            channel="sms",
            template=sms.template_name or sms.template,
            template_version=sms.template_version,
            provider=self.provider.name,
            message_id=digest(tenant_id, key, sms.to),
            run_id=self.run.run_id,
        )
        sending = Sending(
            db=self.db,
            outgoing=Outgoing(
                name=self.provider.name,
                is_repeatable=self.provider.is_repeatable,
                send=partial(self.provider.send, sms, message_id=delivery.message_id),
                find=partial(self.provider.find, sms, message_id=delivery.message_id),
            ),
            delivery=delivery,
            run=self.run,
            clock=self.clock,
            count=lambda status: self.meter.sms(
                provider=delivery.provider, template=sms.template, status=status
            ),
            recording=recording,
            check=check,
            pause=self.pause,
        )
        return await sending.send([sms.to])
