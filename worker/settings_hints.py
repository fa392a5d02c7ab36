"""Settings that are valid, and with which customers would get less than they should."""

from collections.abc import Iterator

from worker.settings import Settings


def hints(settings: Settings) -> list[str]:
    """One line each: what is missing, and what follows from it. None holds up a start."""
    return [*_of_mail(settings), *_of_sms(settings)]


def _of_mail(settings: Settings) -> Iterator[str]:
    if settings.email_provider == "file":
        return
    if settings.public_url is None:
        yield (
            "PUBLIC_URL is not set: the links in mails, unsubscribing too, lead to"
            f" {settings.sidecar_url}, where no reader gets"
        )
    elif settings.public_url.scheme != "https":
        yield "PUBLIC_URL is not https: mail programs do not offer to unsubscribe with one click"


def _of_sms(settings: Settings) -> Iterator[str]:
    if settings.sms_is_sent_by == "file":
        return
    if settings.public_url is None:
        yield (
            "PUBLIC_URL is not set: Twilio cannot tell what became of SMS, and STOP and replies"
            " are taken only where requests come under this machine's own name"
        )
    if settings.twilio_from is None and settings.twilio_messaging_service_sid is None:
        yield (
            "TWILIO_FROM and TWILIO_MESSAGING_SERVICE_SID are not set: only tenants that have an"
            " sms_from can send SMS"
        )
