"""What the tests of messages share: somebody to write to, and values that every template has."""

from typing import Any
from uuid import UUID

from jobs.messaging.core.colours import palette
from jobs.messaging.core.recipient import Recipient
from jobs.messaging.reading import Reader

TENANT = UUID("6d6f3a52-2f37-4e0a-9c05-0d9b1a0f5a11")
COMMON: dict[str, Any] = {
    "name": "Ayşe Işık",
    "tenant": "Güneş Yapı & Oğulları",
    "language": "tr",
    "unsubscribe_url": "https://ours.example/unsubscribe/1",
    "palette": palette(None),
    "reply_to": "yardim@ours.example",
    "postal_address": "Bağdat Cad. 1, İstanbul",
}
MAIL = Reader("tr", "Europe/Istanbul", "email")
SMS = Reader("tr", "Europe/Istanbul", "sms")


def recipient(tenant_id: UUID = TENANT, **changes: Any) -> Recipient:
    fields: dict[str, Any] = {
        "tenant_id": tenant_id,
        "name": "Ayşe Işık",
        "locale": "tr",
        "timezone": "Europe/Istanbul",
        "email": "Ayse@Example.com",
        "phone": "0532 123 45 67",
    }
    return Recipient(**{**fields, **changes})
