"""Rows of messages that were sent, and forms and arrays that tell of them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import orjson

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
ADDRESS, NUMBER = "pat@customer.example", "+905321234567"
MAIL_ID, SMS_ID = "<0123abcd@ours.example>", "0123abcd"
OUR_NUMBER = "+15005550006"


async def insert_delivery(
    db: "Db", tenant_id: UUID, *, channel: str = "email", **changes: Any
) -> None:
    """A sent message; `changes` are other values for its columns."""
    is_mail = channel == "email"
    row = {
        "tenant_id": tenant_id,
        "key": uuid4().hex,
        "recipient": ADDRESS if is_mail else NUMBER,
        "channel": channel,
        "template": "appointment-reminder",
        "provider": "sendgrid" if is_mail else "twilio",
        "status": "sent",
        "message_id": MAIL_ID if is_mail else SMS_ID,
        "provider_id": "sg-1" if is_mail else "SM1",
        "run_id": "run-1",
        "claimed_at": NOW - timedelta(minutes=1),
        "sent_at": NOW - timedelta(minutes=1),
        **changes,
    }
    names, places = ", ".join(row), ", ".join(f"${n}" for n in range(1, len(row) + 1))
    statement = f"insert into deliveries ({names}) values ({places})"  # noqa: S608 - own words
    await db.execute(statement, *row.values())


@dataclass(frozen=True)
class Told:
    """What a row says now."""

    status: str
    outcome: str | None
    code: str | None


async def told(db: "Db", tenant_id: UUID) -> Told:
    row = await db.fetchrow(
        "select status, outcome, outcome_code as code from deliveries where tenant_id = $1",
        tenant_id,
    )
    assert row is not None
    return Told(**row)


async def suppressed(db: "Db") -> set[tuple[UUID, str, str, str]]:
    """Tenant, channel, address and reason of everybody who is not to be written to."""
    rows = await db.fetch("select tenant_id, channel, address, reason from suppressions")
    return {(*row.values(),) for row in rows}


async def insert_tenant(db: "Db") -> UUID:
    tenant_id = uuid4()
    await db.execute("insert into tenants (tenant_id, name) values ($1, 'Anadolu')", tenant_id)
    return tenant_id


def event(kind: str, **changes: Any) -> dict[str, Any]:
    """One event of SendGrid about the mail of `insert_delivery`."""
    return {
        "email": ADDRESS,
        "timestamp": int(NOW.timestamp()),
        "event": kind,
        "sg_event_id": uuid4().hex,
        "sg_message_id": "sg-1.recvd-5f5fc76c-9.0",
        "message_id": MAIL_ID,
        **changes,
    }


def sendgrid_payload(*events: Any) -> dict[str, Any]:
    return {
        "source": "sendgrid",
        "received_at": NOW.isoformat(),
        "content_type": "application/json",
        "body": orjson.dumps(events).decode() + "\r\n",
    }


def twilio_payload(*, query: str = f"message_id={SMS_ID}", **fields: str) -> dict[str, Any]:
    """A status callback of the SMS of `insert_delivery`, or with `Body` one that came in."""
    own = {"MessageSid": "SM1", "AccountSid": "AC1", "To": NUMBER, "From": OUR_NUMBER}
    return {
        "source": "twilio",
        "received_at": NOW.isoformat(),
        "content_type": "application/x-www-form-urlencoded",
        "body": urlencode({**own, **fields}),
        "query": query,
    }


def inbound_payload(body: str, *, at: datetime = NOW, **fields: str) -> dict[str, Any]:
    own = {
        "MessageSid": f"SM{uuid4().hex}",
        "From": NUMBER,
        "To": OUR_NUMBER,
        "Body": body,
        "SmsStatus": "received",
    }
    payload = twilio_payload(query="", **{**own, **fields})
    return {**payload, "received_at": at.isoformat()}
