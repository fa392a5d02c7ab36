"""The benchmark's mail, and the job that sends it."""

from email.headerregistry import Address
from email.message import EmailMessage

from pydantic import Field

from clients.mail import Attachment, Mail, Sender
from jobs.kit import JobContext, Payload, job
from tests.benchmarks import work

NAME = "bench.mail"
SENDER = Sender(address="no-reply@deskhand.example", name="Ofis Yardımcısı")
# About what a reminder with ten lines is: 1 KB of text, 4 KB of HTML.
_SUBJECT = "Yaklaşan ihaleler: 10 ilan bu hafta kapanıyor"
_TEXT = "Merhaba Şükrü,\n\n" + (
    "Köprü bakım ve onarım işi, son gün 30 Kasım: https://example.org/opportunities/0b8a5c44\n" * 10
)
_HTML = (
    '<html lang="tr"><body style="font-family: sans-serif">'
    + (
        '<tr><td style="padding: 8px 0; border-bottom: 1px solid #ddd"><a href="https://example.org'
        '/opportunities/0b8a5c44" style="color: #0b57d0">Köprü bakım ve onarım işi</a><br>'
        '<span style="color: #555">Karayolları Genel Müdürlüğü, son gün 30 Kasım</span></td></tr>\n'
        "<!-- the next one -->\n"
    )
    * 12
    + "</body></html>\n"
)


class NumberedMail(Payload):
    """`octets` of attachment, or none."""

    number: int
    octets: int = Field(0, ge=0, le=10_000_000)


def recipient(number: int) -> str:
    return f"user{number}@tenant.example"


def bench_mail(number: int, octets: int) -> Mail:
    file = Attachment("rapor.pdf", "application/pdf", (b"0123456789abcdef" * (octets // 16 + 1)))
    return Mail(
        template="bench",
        to=recipient(number),
        to_name="Şükrü Ağaoğlu",
        subject=_SUBJECT,
        text=_TEXT,
        html=_HTML,
        attachments=(file,) if octets else (),
        language="tr",
    )


def plain_message(number: int, octets: int) -> EmailMessage:
    """The same mail, as the standard library's manual shows it."""
    mail, message = bench_mail(number, octets), EmailMessage()
    message["From"] = Address(SENDER.name, addr_spec=SENDER.address)
    message["To"] = Address(mail.to_name, addr_spec=mail.to)
    message["Subject"] = mail.subject
    message["Message-ID"] = f"<{number}@deskhand.example>"
    message.set_content(mail.text)
    message.add_alternative(mail.html, subtype="html")
    for file in mail.attachments:
        message.add_attachment(
            file.content, maintype="application", subtype="pdf", filename=file.filename
        )
    return message


@job(NAME, queue="default")
async def send_mail(ctx: JobContext, payload: NumberedMail) -> None:
    await ctx.mailer.send(bench_mail(payload.number, payload.octets), key=f"bench:{payload.number}")
    await work.work(payload.number)
