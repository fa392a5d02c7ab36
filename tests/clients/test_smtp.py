import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import trustme
from pydantic import SecretStr, ValidationError

from clients.errors import (
    DeliveryUnknownError,
    RecipientUnreachableError,
    RequestRejectedError,
    ServiceError,
    ServiceUnavailableError,
)
from clients.smtp import Smtp, SmtpSettings
from tests.clients.mails import MAIL, MESSAGE_ID, NOW, SENDER
from tests.clients.stand_ins.smtp_relay import PASSWORD, USERNAME, SmtpRelay, smtp_relay

MakeSmtp = Callable[..., Smtp]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def relay(authority: trustme.CA) -> AsyncIterator[SmtpRelay]:
    async with smtp_relay(authority) as relay:
        yield relay


@pytest.fixture
async def make_smtp(
    relay: SmtpRelay, authority: trustme.CA, tmp_path: Path
) -> AsyncIterator[MakeSmtp]:
    """Builds providers for the relay; `changes` replace settings."""
    made: list[Smtp] = []
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")

    def make(**changes: object) -> Smtp:
        settings = SmtpSettings(
            host="127.0.0.1",
            port=relay.port,
            username=USERNAME,
            password=SecretStr(PASSWORD),
            ca_file=tmp_path / "ca.pem",
        ).model_copy(update=changes)
        made.append(Smtp(settings, sender=SENDER, clock=lambda: NOW))
        return made[-1]

    yield make
    for smtp in made:
        await smtp.aclose()


async def refusal(smtp: Smtp) -> ServiceError:
    with pytest.raises(ServiceError) as error:
        await smtp.send(MAIL, message_id=MESSAGE_ID)
    assert MAIL.to not in str(error.value)
    return error.value


async def test_the_relays_queue_id_comes_back(make_smtp: MakeSmtp) -> None:
    assert await make_smtp().send(MAIL, message_id=MESSAGE_ID) == "Q1"


@pytest.mark.parametrize("step", ["RCPT", "DATA"])
@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ("451 4.7.1 Greylisted, come back later", ServiceUnavailableError),
        ("421 4.3.2 Shutting down", ServiceUnavailableError),
        ("550 5.7.1 <sukru@tenant.example>: not from you", RequestRejectedError),
        ("552 5.3.4 Message too big", RequestRejectedError),
        ("530 5.7.0 Authentication required", ServiceUnavailableError),
    ],
)
async def test_a_reply_tells_whether_to_try_again(
    relay: SmtpRelay, make_smtp: MakeSmtp, step: str, reply: str, kind: type[ServiceError]
) -> None:
    relay.trouble[step] = reply

    error = await refusal(make_smtp())

    assert type(error) is kind
    assert reply[:3] in str(error)
    assert error.__cause__ is None
    assert relay.messages == []


async def test_a_relay_that_dies_with_the_mail_in_its_hands(
    relay: SmtpRelay, make_smtp: MakeSmtp
) -> None:
    async def die(transport: asyncio.Transport) -> None:
        transport.abort()

    relay.on_data = die

    assert type(await refusal(make_smtp())) is DeliveryUnknownError


async def test_a_reply_that_nobody_understands_leaves_it_open(
    relay: SmtpRelay, make_smtp: MakeSmtp
) -> None:
    relay.trouble["DATA"] = "299 hm"

    assert type(await refusal(make_smtp())) is DeliveryUnknownError


async def test_a_relay_that_never_answers_the_mail(relay: SmtpRelay, make_smtp: MakeSmtp) -> None:
    async def hang(transport: asyncio.Transport) -> None:
        await asyncio.sleep(3600)

    relay.on_data = hang

    assert type(await refusal(make_smtp(data_timeout=0.2))) is DeliveryUnknownError


async def test_a_relay_that_dies_before_it_has_the_mail(
    relay: SmtpRelay, make_smtp: MakeSmtp
) -> None:
    relay.trouble["RCPT"] = "hang up"

    assert type(await refusal(make_smtp())) is ServiceUnavailableError


async def test_a_relay_that_is_gone_before_the_mail(relay: SmtpRelay, make_smtp: MakeSmtp) -> None:
    error = await refusal(make_smtp(port=1))

    assert type(error) is ServiceUnavailableError


async def test_connection_and_login_are_used_again(relay: SmtpRelay, make_smtp: MakeSmtp) -> None:
    smtp = make_smtp()

    for _ in range(3):
        await smtp.send(MAIL, message_id=MESSAGE_ID)

    assert (relay.connections, relay.logins, len(relay.messages)) == (1, 1, 3)


@pytest.mark.parametrize(
    ("answer", "is_of_address"),
    [
        ("550 5.1.1 no such user", True),
        ("554 5.1.1 no such user", True),
        ("550 5.1.2 no such domain", True),
        ("551 5.1.6 moved", True),
        ("551 User not local", True),
        ("556 5.1.10 its domain takes no mail", True),
        ("550 5.2.1 mailbox disabled", True),
        ("552 5.2.2 mailbox full", True),
        ("550 5.2.2 over quota", True),
        ("552 5.2.3 longer than this mailbox takes", False),
        ("552 over quota, or too long", False),
        ("550 5.1.7 no such sender", False),
        ("550 5.1.8 no such domain of the sender", False),
        ("550 5.1.11 no such status", False),
        ("550 blocked by spamhaus, your IP is listed", False),
        ("550 No such user here", False),  # may be any of these
        ("553 not one of my rcpthosts", False),
        ("550 5.7.1 relaying denied", False),
        ("554 5.7.1 we do not like you", False),
    ],
)
async def test_a_mailbox_that_there_is_not_is_no_fault_of_the_mail(
    relay: SmtpRelay, make_smtp: MakeSmtp, answer: str, *, is_of_address: bool
) -> None:
    relay.trouble["RCPT"] = answer

    error = await refusal(make_smtp())

    assert isinstance(error, RequestRejectedError)
    assert isinstance(error, RecipientUnreachableError) is is_of_address


async def test_a_refused_mail_does_not_cost_the_connection(
    relay: SmtpRelay, make_smtp: MakeSmtp
) -> None:
    smtp = make_smtp()
    relay.trouble["RCPT"] = "550 5.1.1 no such user"
    await refusal(smtp)
    relay.trouble.clear()

    await smtp.send(MAIL, message_id=MESSAGE_ID)

    assert (relay.connections, relay.recipients) == (1, [MAIL.to])


async def test_a_connection_that_the_relay_closed_is_replaced(
    relay: SmtpRelay, make_smtp: MakeSmtp
) -> None:
    smtp = make_smtp()
    await smtp.send(MAIL, message_id=MESSAGE_ID)
    relay.hang_up()

    await smtp.send(MAIL, message_id=MESSAGE_ID)

    assert (relay.connections, len(relay.messages)) == (2, 2)


async def test_many_mails_at_once_share_a_few_connections(
    relay: SmtpRelay, make_smtp: MakeSmtp
) -> None:
    smtp = make_smtp(connections=3)

    await asyncio.gather(*(smtp.send(MAIL, message_id=MESSAGE_ID) for _ in range(12)))

    assert len(relay.messages) == 12
    assert relay.connections <= 3


async def test_a_cancelled_mail_leaves_no_half_used_connection(
    relay: SmtpRelay, make_smtp: MakeSmtp
) -> None:
    smtp, is_in_hand = make_smtp(), asyncio.Event()

    async def hang(transport: asyncio.Transport) -> None:
        is_in_hand.set()
        await asyncio.sleep(3600)

    relay.on_data = hang
    sending = asyncio.create_task(smtp.send(MAIL, message_id=MESSAGE_ID))
    await is_in_hand.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    relay.on_data = None

    await smtp.send(MAIL, message_id=MESSAGE_ID)

    assert (relay.connections, len(relay.messages)) == (2, 1)


async def test_a_certificate_that_nobody_vouches_for_ends_the_talk(
    relay: SmtpRelay, make_smtp: MakeSmtp
) -> None:
    error = await refusal(make_smtp(ca_file=None))

    assert type(error) is ServiceUnavailableError
    assert isinstance(error.__cause__, ssl.SSLCertVerificationError)
    assert relay.logins == 0


async def test_a_certificate_for_another_name_ends_the_talk(
    relay: SmtpRelay, make_smtp: MakeSmtp
) -> None:
    error = await refusal(make_smtp(host="localhost"))

    assert type(error) is ServiceUnavailableError
    assert "localhost" in str(error)
    assert relay.logins == 0


async def test_a_relay_without_starttls_gets_no_password(
    authority: trustme.CA, make_smtp: MakeSmtp
) -> None:
    async with smtp_relay(authority, security="none", has_auth=False) as plain:
        error = await refusal(make_smtp(port=plain.port))

    assert "STARTTLS" in str(error)
    assert plain.messages == []


async def test_tls_from_the_first_byte(authority: trustme.CA, make_smtp: MakeSmtp) -> None:
    async with smtp_relay(authority, security="tls") as relay:
        await make_smtp(port=relay.port, security="tls").send(MAIL, message_id=MESSAGE_ID)

    assert (len(relay.messages), relay.logins) == (1, 1)


async def test_a_relay_next_door_may_do_without_tls_and_login(
    authority: trustme.CA, make_smtp: MakeSmtp
) -> None:
    async with smtp_relay(authority, security="none", has_auth=False) as relay:
        smtp = make_smtp(port=relay.port, security="none", username=None, password=None)
        await smtp.send(MAIL, message_id=MESSAGE_ID)

    assert len(relay.messages) == 1


def test_a_password_is_not_sent_in_the_clear() -> None:
    with pytest.raises(ValidationError, match="SMTP_SECURITY") as error:
        SmtpSettings(
            host="relay", username="u", password=SecretStr("correct horse"), security="none"
        )

    assert "correct horse" not in str(error.value)
