import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
from aiohttp import web
from pydantic import SecretStr, ValidationError

from clients.errors import (
    AccountRefusedError,
    DeliveryUnknownError,
    RecipientUnreachableError,
    RequestRejectedError,
    ServiceError,
    ServiceUnavailableError,
    ThrottledError,
)
from clients.mail import Attachment, CalendarEvent, Sender
from clients.sendgrid import SendGrid, SendGridSettings
from tests.clients.mails import MAIL, MESSAGE_ID, SENDER
from tests.clients.stand_ins.control import Fault
from tests.clients.stand_ins.sendgrid import API_KEY, SendGridServer, refusal, sendgrid_server


@pytest.fixture
async def server() -> AsyncIterator[SendGridServer]:
    async with sendgrid_server() as server:
        yield server


@pytest.fixture
async def sendgrid(server: SendGridServer) -> AsyncIterator[SendGrid]:
    settings = SendGridSettings(api_key=SecretStr(API_KEY), url=f"{server.url}/", timeout=0.5)
    async with httpx.AsyncClient() as http:
        yield SendGrid(settings, http=http, sender=SENDER)


async def refused(sendgrid: SendGrid) -> ServiceError:
    with pytest.raises(ServiceError) as error:
        await sendgrid.send(MAIL, message_id=MESSAGE_ID)
    assert API_KEY not in str(error.value)
    assert MAIL.to not in str(error.value)
    return error.value


@pytest.mark.parametrize("key", [" ", "SG.ş", "SG.two words"])
def test_a_key_that_is_none_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ValidationError, match="SENDGRID_API_KEY") as error:
        SendGridSettings(api_key=SecretStr(key))

    assert "SG." not in str(error.value)


def test_a_key_from_a_file_may_end_with_its_line() -> None:
    settings = SendGridSettings(api_key=SecretStr(f"{API_KEY}\n"))

    assert settings.api_key.get_secret_value() == API_KEY


async def test_an_event_is_an_alternative_and_a_file(
    sendgrid: SendGrid, server: SendGridServer
) -> None:
    event = CalendarEvent("CANCEL", "BEGIN:VCALENDAR\r\nMETHOD:CANCEL\r\nEND:VCALENDAR\r\n")

    await sendgrid.send(replace(MAIL, event=event), message_id=MESSAGE_ID)

    (body,) = server.accepted
    assert [part["type"] for part in body["content"]] == [
        "text/plain",
        "text/html",
        "text/calendar; method=CANCEL",
    ]
    assert body["content"][2]["value"] == event.content
    assert [(file["type"], file["filename"]) for file in body["attachments"]][1:] == [
        ("application/ics", "invite.ics")
    ]


async def test_the_events_of_a_mail_will_carry_its_message_id(
    server: SendGridServer, sendgrid: SendGrid
) -> None:
    assert await sendgrid.send(MAIL, message_id=MESSAGE_ID) == "sg-1"

    (body,) = server.accepted
    assert body["personalizations"][0]["custom_args"] == {"message_id": MESSAGE_ID}
    assert body["categories"] == [MAIL.template]


async def test_a_mail_without_names_or_files_has_no_empty_ones(
    server: SendGridServer, sendgrid: SendGrid
) -> None:
    await sendgrid.send(replace(MAIL, to_name="", attachments=()), message_id=MESSAGE_ID)

    (body,) = server.accepted
    assert body["personalizations"][0]["to"] == [{"email": MAIL.to}]
    assert "attachments" not in body


async def test_a_refusal_tells_the_reasons_without_the_address(
    server: SendGridServer, sendgrid: SendGrid
) -> None:
    field = "personalizations.0.to.0.email"
    server.answer = refusal(400, f"{MAIL.to} is no address", field_name=field)

    error = await refused(sendgrid)

    assert type(error) is RecipientUnreachableError  # another channel may reach them
    assert str(error).endswith(f": {field}: (address) is no address")


@pytest.mark.parametrize("field", ["from.email", "content.0.value", "personalizations", None])
async def test_a_refusal_of_something_else_says_nothing_of_the_recipient(
    server: SendGridServer, sendgrid: SendGrid, field: str | None
) -> None:
    server.answer = refusal(400, "is wrong", field_name=field)

    assert type(await refused(sendgrid)) is RequestRejectedError


async def test_a_refusal_in_html_is_one_too(server: SendGridServer, sendgrid: SendGrid) -> None:
    server.answer = web.Response(status=413, text="<html>too large</html>")

    assert type(await refused(sendgrid)) is RequestRejectedError


async def test_too_many_requests_wait_as_long_as_told(
    server: SendGridServer, sendgrid: SendGrid
) -> None:
    server.answer = refusal(429, "too many requests", headers={"Retry-After": "17"})

    error = await refused(sendgrid)

    assert isinstance(error, ServiceUnavailableError)
    assert error.retry_after == timedelta(seconds=17)


async def test_too_many_requests_wait_for_the_reset(
    server: SendGridServer, sendgrid: SendGrid
) -> None:
    reset = {"X-RateLimit-Reset": str(int(time.time()) + 60)}
    server.answer = refusal(429, "too many requests", headers=reset)

    error = await refused(sendgrid)

    assert isinstance(error, ServiceUnavailableError)
    assert error.retry_after is not None
    assert timedelta(seconds=55) < error.retry_after <= timedelta(seconds=61)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_broken_service_is_worth_another_try(
    server: SendGridServer, sendgrid: SendGrid, status: int
) -> None:
    server.answer = web.Response(status=status, text="<html>oops</html>")

    assert type(await refused(sendgrid)) is ServiceUnavailableError


async def test_an_answer_that_never_comes_leaves_it_open(
    server: SendGridServer, sendgrid: SendGrid
) -> None:
    server.hangs_after_accepting = True

    error = await refused(sendgrid)

    assert type(error) is DeliveryUnknownError
    assert len(server.accepted) == 1


@pytest.mark.parametrize("kind", ["throttled", "throttled_until"])
async def test_being_asked_too_often_is_told_from_other_troubles(
    server: SendGridServer, sendgrid: SendGrid, kind: str
) -> None:
    server.faults.fault = Fault(kind)  # type: ignore[arg-type]  # one of its kinds

    error = await refused(sendgrid)

    assert type(error) is ThrottledError
    assert (error.retry_after is not None) == (kind == "throttled_until")


async def test_spent_credits_name_what_to_look_at(
    server: SendGridServer, sendgrid: SendGrid
) -> None:
    server.has_credits = False

    error = await refused(sendgrid)

    assert type(error) is AccountRefusedError
    assert "check SENDGRID_API_KEY and the account's credits" in str(error)


async def test_an_unverified_sender_names_the_settings(
    server: SendGridServer, sendgrid: SendGrid
) -> None:
    server.verified_domains = {"elsewhere.example"}

    error = await refused(sendgrid)

    assert type(error) is AccountRefusedError
    assert "EMAIL_FROM, or of the tenant's email_from, is a verified sender" in str(error)


async def test_a_tenants_unverified_sender_is_no_trouble_of_the_account(
    server: SendGridServer, sendgrid: SendGrid
) -> None:
    server.verified_domains = {SENDER.domain}
    own = Sender.parse("Anadolu <bilgi@anadolu.example>")

    with pytest.raises(ServiceUnavailableError) as error:
        await sendgrid.send(replace(MAIL, sender=own), message_id=MESSAGE_ID)

    assert type(error.value) is ServiceUnavailableError
    assert "tenant's email_from, is a verified sender" in str(error.value)
    await sendgrid.send(replace(MAIL, sender=replace(SENDER, name="X")), message_id=MESSAGE_ID)


@pytest.mark.parametrize("kind", ["drops", "hangs"])
async def test_a_connection_that_breaks_after_the_mail_leaves_it_open(
    server: SendGridServer, sendgrid: SendGrid, kind: str
) -> None:
    server.faults.fault = Fault(kind)  # type: ignore[arg-type]  # one of its kinds

    assert type(await refused(sendgrid)) is DeliveryUnknownError
    assert len(server.accepted) == 1


async def test_a_page_of_the_edge_is_a_refusal(server: SendGridServer, sendgrid: SendGrid) -> None:
    server.faults.fault = Fault("edge")

    error = await refused(sendgrid)

    assert type(error) is RequestRejectedError
    assert str(error).endswith("answered 413")


async def test_what_is_too_large_does_not_leave(server: SendGridServer, sendgrid: SendGrid) -> None:
    claimed = []

    async def claim() -> None:
        claimed.append(1)

    large = Attachment("a.bin", "application/octet-stream", bytes(23 * 1024 * 1024))
    with pytest.raises(RequestRejectedError, match="attachments: with them it is larger"):
        await sendgrid.send(
            replace(MAIL, attachments=(large,)), message_id=MESSAGE_ID, before=claim
        )

    assert claimed == []


async def test_a_tenant_writes_in_its_own_name(server: SendGridServer, sendgrid: SendGrid) -> None:
    own = Sender(address="klinik@anadolu.example", name="Anadolu Kliniği")
    mail = replace(MAIL, sender=own, reply_to="resepsiyon@anadolu.example")

    await sendgrid.send(mail, message_id=MESSAGE_ID)

    (body,) = server.accepted
    assert body["from"] == {"email": own.address, "name": own.name}
    assert body["reply_to"] == {"email": "resepsiyon@anadolu.example"}


async def test_nothing_leaves_when_the_last_moment_goes_wrong(
    server: SendGridServer, sendgrid: SendGrid
) -> None:
    async def lose() -> None:
        raise ServiceUnavailableError("not ours any more")

    with pytest.raises(ServiceUnavailableError, match="not ours"):
        await sendgrid.send(MAIL, message_id=MESSAGE_ID, before=lose)

    assert server.accepted == []
