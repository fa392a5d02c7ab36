"""What every way to send mail has to do, whichever it is."""

import base64
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import httpx
import pytest
import trustme
from pydantic import SecretStr

from clients.errors import AccountRefusedError, ServiceUnavailableError
from clients.mail import MailProvider
from clients.mail_file import MailFile
from clients.sendgrid import SendGrid, SendGridSettings
from clients.smtp import Smtp, SmtpSettings
from tests.clients.mails import MAIL, MESSAGE_ID, NOW, SENDER
from tests.clients.stand_ins.sendgrid import API_KEY, sendgrid_server
from tests.clients.stand_ins.smtp_relay import PASSWORD, USERNAME, smtp_relay


@dataclass(frozen=True)
class Arrived:
    """A mail as the other side has it."""

    to: str
    to_name: str
    subject: str
    text: str
    html: str
    attachments: list[tuple[str, str, bytes]]
    headers: dict[str, str]


@dataclass(frozen=True)
class Route:
    """A provider, what arrived through it, and the same provider with wrong credentials."""

    provider: MailProvider
    arrived: Callable[[], list[Arrived]]
    unauthorized: MailProvider | None = None
    unreachable: MailProvider | None = None


def read(message: EmailMessage) -> Arrived:
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    assert text is not None
    assert html is not None
    (address,) = message["To"].addresses
    return Arrived(
        to=address.addr_spec,
        to_name=address.display_name,
        subject=message["Subject"],
        text=text.get_content(),
        html=html.get_content(),
        attachments=[
            (str(part.get_filename()), part.get_content_type(), part.get_content())
            for part in message.iter_attachments()
        ],
        headers={name: str(value) for name, value in message.items()},
    )


@pytest.fixture(params=["file", "smtp", "sendgrid"])
async def route(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Route]:
    async with AsyncExitStack() as stack:
        make = {"file": file_route, "smtp": smtp_route, "sendgrid": sendgrid_route}[request.param]
        yield await make(stack, tmp_path)


async def file_route(stack: AsyncExitStack, path: Path) -> Route:
    def arrived() -> list[Arrived]:
        files = sorted((path / "mail").glob("*.eml"))
        messages = [message_from_bytes(file.read_bytes(), policy=policy.default) for file in files]
        return [read(message) for message in messages]

    (path / "occupied").write_text("a file where the directory should be")
    return Route(
        MailFile(path / "mail", sender=SENDER, clock=lambda: NOW),
        arrived,
        unreachable=MailFile(path / "occupied", sender=SENDER, clock=lambda: NOW),
    )


async def smtp_route(stack: AsyncExitStack, path: Path) -> Route:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(path / "ca.pem")
    relay = await stack.enter_async_context(smtp_relay(authority))

    def provider(**changes: object) -> Smtp:
        settings = SmtpSettings(
            host="127.0.0.1",
            port=relay.port,
            username=USERNAME,
            password=SecretStr(PASSWORD),
            ca_file=path / "ca.pem",
        )
        made = Smtp(settings.model_copy(update=changes), sender=SENDER, clock=lambda: NOW)
        stack.push_async_callback(made.aclose)
        return made

    return Route(
        provider(),
        lambda: [read(message) for message in relay.messages],
        unauthorized=provider(password=SecretStr("wrong horse")),
        unreachable=provider(port=1),
    )


async def sendgrid_route(stack: AsyncExitStack, path: Path) -> Route:
    server = await stack.enter_async_context(sendgrid_server())
    http = await stack.enter_async_context(httpx.AsyncClient())

    def arrived() -> list[Arrived]:
        return [
            Arrived(
                to=body["personalizations"][0]["to"][0]["email"],
                to_name=body["personalizations"][0]["to"][0]["name"],
                subject=body["subject"],
                text=body["content"][0]["value"],
                html=body["content"][1]["value"],
                attachments=[
                    (file["filename"], file["type"], base64.b64decode(file["content"]))
                    for file in body["attachments"]
                ],
                headers={"From": f"{body['from']['name']} <{body['from']['email']}>"}
                | body["headers"],
            )
            for body in server.accepted
        ]

    def provider(key: str, url: str) -> SendGrid:
        settings = SendGridSettings(api_key=SecretStr(key), url=url)
        return SendGrid(settings, http=http, sender=SENDER)

    return Route(
        provider(API_KEY, server.url),
        arrived,
        unauthorized=provider("SG.wrong", server.url),
        unreachable=provider(API_KEY, "http://127.0.0.1:1"),
    )


async def test_a_mail_arrives_as_it_was_written(route: Route) -> None:
    provider_id = await route.provider.send(MAIL, message_id=MESSAGE_ID)

    (mail,) = route.arrived()
    assert provider_id
    assert (mail.to, mail.to_name, mail.subject) == (MAIL.to, MAIL.to_name, MAIL.subject)
    assert mail.text.replace("\r\n", "\n") == MAIL.text
    assert mail.html.replace("\r\n", "\n") == MAIL.html
    expected = MAIL.attachments[0]
    assert mail.attachments == [(expected.filename, expected.content_type, expected.content)]


async def test_the_headers_say_who_when_and_how_to_stop(route: Route) -> None:
    await route.provider.send(MAIL, message_id=MESSAGE_ID)

    headers = route.arrived()[0].headers
    assert headers["From"] == f"{SENDER.name} <{SENDER.address}>"
    assert headers["Message-ID"] == MESSAGE_ID
    assert headers["List-Unsubscribe"] == (
        f"<{MAIL.unsubscribe_url}>, <mailto:unsubscribe@ours.example?subject=unsubscribe>"
    )
    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert headers["Auto-Submitted"] == "auto-generated"
    assert headers["Content-Language"] == "tr"


async def test_sending_again_has_a_second_effect_unless_the_provider_says_not(
    route: Route,
) -> None:
    await route.provider.send(MAIL, message_id=MESSAGE_ID)
    await route.provider.send(MAIL, message_id=MESSAGE_ID)

    assert len(route.arrived()) == (1 if route.provider.is_repeatable else 2)


async def test_a_turkish_domain_is_reached_in_idna(route: Route) -> None:
    await route.provider.send(replace(MAIL, to="bilgi@Müşteri.com.tr"), message_id=MESSAGE_ID)

    assert route.arrived()[0].to == "bilgi@xn--mteri-kva70e.com.tr"


@pytest.mark.parametrize("route", ["smtp", "sendgrid"], indirect=True)
async def test_wrong_credentials_are_told_without_showing_them(route: Route) -> None:
    assert route.unauthorized is not None

    with pytest.raises(ServiceUnavailableError) as error:
        await route.unauthorized.send(MAIL, message_id=MESSAGE_ID)

    assert "wrong" not in str(error.value)
    assert MAIL.to not in str(error.value)
    assert type(error.value) in {ServiceUnavailableError, AccountRefusedError}
    assert route.arrived() == []


async def test_an_unreachable_service_is_worth_another_try(route: Route) -> None:
    assert route.unreachable is not None

    with pytest.raises(ServiceUnavailableError) as error:
        await route.unreachable.send(MAIL, message_id=MESSAGE_ID)

    assert type(error.value) is ServiceUnavailableError
    assert MAIL.to not in str(error.value)
