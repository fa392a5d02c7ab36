"""A mail with everything that goes wrong easily: Turkish letters, dots, bytes, a long link."""

from datetime import UTC, datetime

from clients.mail import Attachment, Mail, Sender

MESSAGE_ID = "<0123456789abcdef0123456789abcdef@ours.example>"
NOW = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)
SENDER = Sender(
    address="alerts@ours.example",
    name="Ofis Yardımcısı",
    unsubscribe_mailbox="unsubscribe@ours.example",
)
MAIL = Mail(
    template="opportunity-reminder",
    to="sukru@tenant.example",
    to_name="Şükrü Ağaoğlu, Müh.",
    subject="Yaklaşan ihaleler: ığüşöç İĞÜŞÖÇ",
    text="Merhaba Şükrü,\n.bir satır\nFrom here\n",
    html="<p>Merhaba <b>Şükrü</b></p>\n",
    attachments=(Attachment("çizelge.xlsx", "application/vnd.ms-excel", bytes(range(256)) * 400),),
    unsubscribe_url="https://app.ours.example/unsubscribe?user=0b8a5c44-7f7a-4f6e-9a39-2d2bd4a4d6d2",
    language="tr",
)
