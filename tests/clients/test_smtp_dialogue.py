"""What is said to a relay, in which order, and over which connection."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trustme
import uvloop
from pydantic import SecretStr

from clients import smtp_pool
from clients.errors import (
    DeliveryUnknownError,
    RequestRejectedError,
    ServiceUnavailableError,
)
from clients.smtp import Smtp, SmtpSettings
from tests.clients.mails import MAIL, MESSAGE_ID, NOW, SENDER
from tests.clients.stand_ins.smtp_relay import PASSWORD, USERNAME, smtp_relay
from tests.clients.stand_ins.smtp_script import Replies, Script, scripted_relay

SMALL = replace(MAIL, attachments=())
ONE_MAIL = ["MAIL", "RCPT", "DATA", "."]


@asynccontextmanager
async def talk(
    reply: Replies = lambda _: None, **changes: object
) -> AsyncIterator[tuple[Script, Smtp]]:
    """A relay that follows a script, and a provider for it; `changes` replace settings."""
    async with scripted_relay(reply) as script:
        settings = SmtpSettings(host="127.0.0.1", port=script.port, security="none", timeout=5)
        smtp = Smtp(settings.model_copy(update=changes), sender=SENDER, clock=lambda: NOW)
        yield script, smtp
        await smtp.aclose()


async def send(smtp: Smtp) -> str:
    return await smtp.send(SMALL, message_id=MESSAGE_ID)


def once(**replies: bytes) -> Replies:
    """Says each of these to the first command of that name."""

    def reply(command: str) -> bytes | None:
        return replies.pop(command.partition(" ")[0].replace(".", "message"), None)

    return reply


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_mail_takes_two_round_trips_where_the_relay_can() -> None:
    async with talk() as (script, smtp):
        await send(smtp)
        before = len(script.reads)
        await send(smtp)

        envelope, *message = script.reads[before:]
        assert envelope.splitlines()[0].startswith(b"MAIL FROM:<alerts@ours.example> SIZE=")
        assert envelope.splitlines()[1:] == [b"RCPT TO:<sukru@tenant.example>", b"DATA"]
        assert b"".join(message).endswith(b"\r\n.\r\n")
        assert script.mails() == ONE_MAIL * 2


async def test_a_relay_that_offers_nothing_is_asked_step_by_step() -> None:
    async with scripted_relay() as script:
        script.extensions = ()
        settings = SmtpSettings(host="127.0.0.1", port=script.port, security="none")
        smtp = Smtp(settings, sender=SENDER, clock=lambda: NOW)
        await send(smtp)
        await smtp.aclose()

    envelope = script.reads[1:4]
    assert envelope == [
        b"MAIL FROM:<alerts@ours.example>\r\n",
        b"RCPT TO:<sukru@tenant.example>\r\n",
        b"DATA\r\n",
    ]


async def test_replies_may_come_in_pieces_and_have_many_lines() -> None:
    async with talk(once(RCPT=b"250-one\r\n250-two\r\n250 three\r\n")) as (script, smtp):
        script.piece = 1
        assert await send(smtp) == "2.0.0 ok"


async def test_the_first_refusal_tells() -> None:
    replies = once(
        MAIL=b"452 4.3.1 disk full\r\n", RCPT=b"503 no MAIL\r\n", DATA=b"554 no recipients\r\n"
    )
    async with talk(replies) as (script, smtp):
        with pytest.raises(ServiceUnavailableError, match=r"452 4\.3\.1 disk full"):
            await send(smtp)

        await send(smtp)
        assert script.mails() == ["MAIL", "RCPT", "DATA", "RSET", *ONE_MAIL]
        assert script.connections == 1


async def test_a_refused_recipient_costs_neither_connection_nor_claim() -> None:
    claims = []

    async def claim() -> None:
        claims.append(1)

    replies = once(RCPT=b"550 5.1.1 no such user\r\n", DATA=b"503 no valid recipients\r\n")
    async with talk(replies) as (script, smtp):
        with pytest.raises(RequestRejectedError, match="550"):
            await smtp.send(SMALL, message_id=MESSAGE_ID, before=claim)
        assert claims == []

        await send(smtp)
        assert (script.connections, len(script.messages)) == (1, 1)


async def test_a_relay_that_wants_the_message_of_a_refused_mail_gets_none() -> None:
    async with talk(once(RCPT=b"550 5.1.1 no such user\r\n")) as (script, smtp):
        with pytest.raises(RequestRejectedError, match="550"):
            await send(smtp)
        assert script.messages == []

        await send(smtp)
        assert (script.connections, len(script.messages)) == (2, 1)


async def test_a_refused_message_is_forgotten_before_the_next_one() -> None:
    async with talk(once(message=b"554 5.7.1 spam\r\n")) as (script, smtp):
        with pytest.raises(RequestRejectedError, match="554"):
            await send(smtp)
        await send(smtp)

        assert script.mails() == [*ONE_MAIL, "RSET", *ONE_MAIL]
        assert script.connections == 1


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
async def test_a_new_connection_that_closes_is_told(step: str) -> None:
    async with talk(once(**{step: b"421 4.3.2 shutting down\r\n"})) as (script, smtp):
        with pytest.raises(ServiceUnavailableError, match="421"):
            await send(smtp)

        assert (script.connections, script.messages) == (1, [])


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
async def test_a_kept_connection_that_closes_is_replaced(step: str) -> None:
    trouble: list[bytes] = []

    def reply(command: str) -> bytes | None:
        return trouble.pop() if trouble and command.startswith(step) else None

    async with talk(reply) as (script, smtp):
        await send(smtp)
        trouble.append(b"421 4.4.2 idle for too long\r\n")
        await send(smtp)

        assert (script.connections, len(script.messages)) == (2, 2)


async def test_a_relay_that_closes_instead_of_taking_the_message_has_not_got_it() -> None:
    async with talk(once(message=b"421 4.3.2 shutting down\r\n")) as (script, smtp):
        with pytest.raises(ServiceUnavailableError, match="421") as error:
            await send(smtp)
        assert type(error.value) is ServiceUnavailableError

        await send(smtp)
        assert script.connections == 2


@pytest.mark.parametrize("said", [b"what?\r\n", b"250-" + b"x" * 100_000, b"25\r\n"])
async def test_what_is_not_smtp_leaves_the_message_in_doubt(said: bytes) -> None:
    async with talk(once(message=said)) as (script, smtp):
        with pytest.raises(DeliveryUnknownError):
            await send(smtp)

        await send(smtp)
        assert script.connections == 2


@pytest.mark.parametrize("error", [OSError("no database"), RequestRejectedError("in doubt")])
async def test_nothing_is_sent_when_the_hook_fails(error: Exception) -> None:
    async def fail() -> None:
        raise error

    async with talk() as (script, smtp):
        with pytest.raises(type(error)):
            await smtp.send(SMALL, message_id=MESSAGE_ID, before=fail)

        await send(smtp)
        assert (script.connections, len(script.messages)) == (2, 1)


async def test_a_relay_that_goes_while_the_hook_runs_has_not_got_the_message() -> None:
    async with talk() as (script, smtp):

        async def hang_up() -> None:
            script.writers[-1].close()
            await asyncio.sleep(0.05)

        with pytest.raises(ServiceUnavailableError, match="before the mail") as error:
            await smtp.send(SMALL, message_id=MESSAGE_ID, before=hang_up)

        assert type(error.value) is ServiceUnavailableError


async def test_a_connection_is_closed_after_so_many_mails() -> None:
    async with talk(mails_per_connection=2) as (script, smtp):
        for _ in range(5):
            await send(smtp)

        await eventually(lambda: script.heard.count("QUIT") == 2)
        assert (script.connections, len(script.messages)) == (3, 5)


async def test_an_idle_connection_is_closed() -> None:
    async with talk(idle_timeout=0.05) as (script, smtp):
        await send(smtp)
        await eventually(lambda: "QUIT" in script.heard)
        await send(smtp)

        assert script.connections == 2


async def test_connections_that_are_used_stay_open() -> None:
    async with talk(idle_timeout=0.3) as (script, smtp):
        await asyncio.gather(send(smtp), send(smtp))
        for _ in range(8):
            await asyncio.sleep(0.1)
            await send(smtp)

        assert script.connections == 2
        assert script.heard.count("QUIT") == 1


async def test_a_connection_that_rested_is_tried_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp_pool, "_CHECK_AFTER", 0.0)
    async with talk() as (script, smtp):
        await send(smtp)
        await send(smtp)

        assert script.mails() == [*ONE_MAIL, "RSET", *ONE_MAIL]


async def test_one_that_does_not_answer_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp_pool, "_CHECK_AFTER", 0.0)
    monkeypatch.setattr(smtp_pool, "_CHECK_WITHIN", 0.05)
    async with talk(once(RSET=b"")) as (script, smtp):
        await send(smtp)
        await send(smtp)

        assert (script.connections, len(script.messages)) == (2, 2)


async def test_a_goodbye_between_two_mails_is_heard() -> None:
    async with talk() as (script, smtp):
        await send(smtp)
        script.writers[-1].write(b"421 4.4.2 idle for too long\r\n")
        await asyncio.sleep(0.05)
        await send(smtp)

        assert script.connections == 2
        assert script.mails() == ONE_MAIL * 2


async def test_all_connections_part_in_the_end() -> None:
    async with talk(connections=3) as (script, smtp):
        await asyncio.gather(*(send(smtp) for _ in range(9)))
        await smtp.aclose()

        assert script.connections <= 3
        assert script.heard.count("QUIT") == script.connections


async def test_a_line_that_is_a_dot_does_not_end_the_message() -> None:
    async with talk() as (script, smtp):
        await smtp.send(replace(SMALL, text="a\n..b\n.\n"), message_id=MESSAGE_ID)

        assert b"\r\na\r\n...b\r\n=2E\r\n" in script.messages[0]
        assert script.mails() == ONE_MAIL


def test_tls_and_login_on_the_loop_that_workers_run() -> None:
    async def deliver(security: str) -> int:
        authority = trustme.CA()
        with authority.cert_pem.tempfile() as ca_file:
            async with smtp_relay(authority, security=security) as relay:
                settings = SmtpSettings.model_validate(
                    {
                        "host": "127.0.0.1",
                        "port": relay.port,
                        "username": USERNAME,
                        "password": SecretStr(PASSWORD),
                        "security": security,
                        "ca_file": ca_file,
                    }
                )
                smtp = Smtp(settings, sender=SENDER, clock=lambda: NOW)
                for _ in range(3):
                    await smtp.send(MAIL, message_id=MESSAGE_ID)
                await smtp.aclose()
                return len(relay.messages)

    for security in ("starttls", "tls"):
        assert uvloop.run(deliver(security)) == 3
