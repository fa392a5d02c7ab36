"""The Poster of an attempt."""

from dataclasses import dataclass
from functools import partial

from clients.webhook import Webhook, WebhookEvent
from jobs.kit import DeliveryReceipt, Run
from jobs.kit.context import Tools
from jobs.kit.sending import Check, Recording
from worker.deliveries.mailer import digest
from worker.deliveries.record import NOBODY, Delivery
from worker.deliveries.sending import Outgoing, Sending


@dataclass(slots=True)  # not frozen: one is made for every attempt
class RecordedPoster:
    """Posts what a run has to tell the receiver of admin notices."""

    tools: Tools
    webhook: Webhook
    run: Run

    async def send(
        self,
        event: WebhookEvent,
        *,
        key: str,
        recording: Recording | None = None,
        check: Check | None = None,
    ) -> DeliveryReceipt:
        """As `jobs.kit.sending.Poster` says."""
        tenant_id, place = self.run.tenant_id or NOBODY, self.webhook.place
        delivery = Delivery(
            tenant_id=tenant_id,
            key=key,
            recipient=place,
            channel="webhook",
            template=event.type,
            template_version="",
            provider=self.webhook.name,
            message_id=f"msg_{digest(tenant_id, key, place)}",
            run_id=self.run.run_id,
        )
        sending = Sending(
            db=self.tools.db,
            outgoing=Outgoing(
                name=self.webhook.name,
                is_repeatable=self.webhook.is_repeatable,
                reports=self.webhook.reports,
                send=partial(self.webhook.send, event, message_id=delivery.message_id),
            ),
            delivery=delivery,
            run=self.run,
            clock=self.tools.clock,
            count=lambda status: self.tools.meter.webhook(target="notices", status=status),
            recording=recording,
            check=check,
        )
        return await sending.send([place])
