"""An SMS with what goes wrong easily: Turkish letters, and a sender of its own in one of them."""

from datetime import UTC, datetime

from clients.sms import Sms

MESSAGE_ID = "<0123456789abcdef0123456789abcdef@sms.example>"
NOW = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)
SMS = Sms(
    template="appointment-reminder",
    to="+905321234567",
    body="Merhaba Şükrü, randevunuz yarın 14:30'da. İptal için 0212 555 01 23.",
)
