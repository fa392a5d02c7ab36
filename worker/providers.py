"""Which services mails, SMS and webhooks leave through, and who is asked, as the settings say."""

from collections.abc import Callable
from datetime import datetime

import httpx

from clients.llm import LanguageModel, language_model
from clients.mail import MailProvider, Sender
from clients.mail_file import MailFile
from clients.sendgrid import SendGrid
from clients.sms import SmsProvider
from clients.sms_file import SmsFile
from clients.smtp import Smtp
from clients.twilio import Twilio
from clients.webhook import Webhook
from worker.settings import Settings


def mail_provider(
    settings: Settings, http: httpx.AsyncClient, clock: Callable[[], datetime]
) -> MailProvider:
    """EMAIL_PROVIDER's."""
    sender = Sender.parse(settings.email_from)
    match settings.email_provider:
        case "smtp":
            return Smtp(settings.smtp, sender=sender, clock=clock)
        case "sendgrid":
            # Whoever gives its key has its events sent here.
            reports = settings.sendgrid_webhook_public_key is not None
            return SendGrid(settings.sendgrid, http=http, sender=sender, reports=reports)
        case "file":
            return MailFile(settings.var_dir / "mail", sender=sender, clock=clock)


def sms_provider(
    settings: Settings, http: httpx.AsyncClient, clock: Callable[[], datetime]
) -> SmsProvider:
    """SMS_PROVIDER's."""
    match settings.sms_is_sent_by:
        case "twilio":
            return Twilio(settings.twilio(status_callback=settings.status_callback), http=http)
        case "file":
            return SmsFile(settings.var_dir / "sms", clock=clock, sender=settings.twilio_from)


def webhook(
    settings: Settings, http: httpx.AsyncClient, clock: Callable[[], datetime]
) -> Webhook | None:
    """ALERT_WEBHOOK_URL's, if there is one."""
    known = settings.alert_webhook
    return None if known is None else Webhook(http=http, settings=known, clock=clock)


def model(settings: Settings, http: httpx.AsyncClient) -> LanguageModel | None:
    """LLM_PROVIDER's, if there is one."""
    known = settings.llm
    return None if known is None else language_model(known, http=http)
