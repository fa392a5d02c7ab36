"""The Mailer of an attempt."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from clients.mail import Mail, MailProvider, spellings
from jobs.kit import DeliveryReceipt, Run
from jobs.kit.sending import Check, Meter, Recording
from jobs.messaging.core.suppression import TO_OPERATORS
from worker.deliveries.record import NOBODY, Delivery
from worker.deliveries.sending import Outgoing, Sending
from worker.deliveries.throttling import Pause, no_pause

if TYPE_CHECKING:
    import asyncpg


@dataclass(slots=True, kw_only=True)  # not frozen: one is made for every attempt
class RecordedMailer:
    """Sends what a run has to mail."""

    db: "asyncpg.Pool[asyncpg.Record]"
    provider: MailProvider
    meter: Meter
    run: Run
    clock: Callable[[], datetime]
    pause: Pause = no_pause

    async def send(
        self,
        mail: Mail,
        *,
        key: str,
        recording: Recording | None = None,
        check: Check | None = None,
    ) -> DeliveryReceipt:
        """As `jobs.kit.sending.Mailer` says."""
        delivery = self._delivery(mail, key)
        sending = Sending(
            db=self.db,
            outgoing=Outgoing(
                name=self.provider.name,
                is_repeatable=self.provider.is_repeatable,
                reports=self.provider.reports,
                send=partial(self.provider.send, mail, message_id=delivery.message_id),
            ),
            delivery=delivery,
            run=self.run,
            clock=self.clock,
            count=lambda status: self.meter.email(
                provider=delivery.provider, template=mail.template, status=status
            ),
            recording=recording,
            check=check,
            pause=self.pause,
        )
        is_own = delivery.tenant_id == NOBODY and delivery.template in TO_OPERATORS
        return await sending.send(() if is_own else spellings(mail.to))

    def _delivery(self, mail: Mail, key: str) -> Delivery:
        tenant_id, recipient = self.run.tenant_id or NOBODY, mail.mailbox
        sender = mail.sender or self.provider.sender
        return Delivery(
            tenant_id=tenant_id,
            key=key,
            recipient=recipient,
            channel="email",
            template=mail.template_name or mail.template,
            template_version=mail.template_version,
            provider=self.provider.name,
            message_id=f"<{digest(tenant_id, key, recipient)}@{sender.domain}>",
            run_id=self.run.run_id,
        )


def digest(tenant_id: UUID, key: str, recipient: str) -> str:
    """What makes a message's id: the same for the same message, and telling nothing."""
    return hashlib.sha256(f"{tenant_id}\n{key}\n{recipient}".encode()).hexdigest()[:32]
