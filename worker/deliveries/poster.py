"""The Poster of an attempt."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from clients.handover import Before
from clients.webhook import Webhook, WebhookEvent
from jobs.kit import DeliveryReceipt, Run
from jobs.kit.context import Tools
from jobs.kit.sending import Recording
from worker.deliveries.mailer import digest
from worker.deliveries.record import NOBODY, Delivery
from worker.deliveries.sending import Sending


@dataclass(slots=True)  # not frozen: one is made for every attempt
class RecordedPoster:
    """Posts what a run has to tell the receiver of admin notices."""

    tools: Tools
    webhook: Webhook
    run: Run

    async def send(
        self, event: WebhookEvent, *, key: str, recording: Recording | None = None
    ) -> DeliveryReceipt:
        """As `jobs.kit.context.Poster` says."""
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
            outgoing=_OutgoingEvent(event, self.webhook, delivery.message_id),
            delivery=delivery,
            run=self.run,
            clock=self.tools.clock,
            count=lambda status: self.tools.meter.webhook(target="notices", status=status),
            recording=recording,
        )
        return await sending.send([place])


@dataclass(frozen=True, slots=True)
class _OutgoingEvent:
    event: WebhookEvent
    webhook: Webhook
    message_id: str
    finds: bool = False

    @property
    def name(self) -> str:
        return self.webhook.name

    @property
    def is_repeatable(self) -> bool:
        return self.webhook.is_repeatable

    @property
    def reports(self) -> bool:
        return self.webhook.reports

    async def send(self, *, before: Before) -> str:
        return await self.webhook.send(self.event, message_id=self.message_id, before=before)

    async def find(self, *, since: datetime, known: Collection[str]) -> str | None:  # noqa: ARG002 - nothing to look for
        """A receiver cannot be asked; it knows what comes twice."""
        return None
