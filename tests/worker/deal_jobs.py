"""Jobs in the places of a deal room's. They tell what they got."""

import datetime as dt
from uuid import UUID

from jobs.kit import JobContext, Payload, job


class Brief(Payload):
    deal_id: UUID
    date: dt.date


class Document(Payload):
    document_id: UUID
    deal_id: UUID
    operation: str


class Email(Payload):
    email_id: UUID
    deal_id: UUID
    operation: str


class Source(Payload):
    deal_id: UUID
    source_type: str
    sync_type: str


@job("testing.brief_deal", queue="daily-brief", idempotency_key="{deal_id}:{date}")
async def brief_deal(ctx: JobContext, payload: Brief) -> dict[str, object]:
    return payload.model_dump(mode="json")


@job("testing.process_document", queue="document")
async def process_document(ctx: JobContext, payload: Document) -> dict[str, object]:
    return payload.model_dump(mode="json")


@job("testing.process_email", queue="email-processing")
async def process_email(ctx: JobContext, payload: Email) -> dict[str, object]:
    return payload.model_dump(mode="json")


@job("testing.sync_source", queue="sync")
async def sync_source(ctx: JobContext, payload: Source) -> dict[str, object]:
    return payload.model_dump(mode="json")
