"""SMTP (RFC 5321): mail over any relay, with verified TLS and connections that are kept."""

import asyncio
import re
import ssl
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Literal, Self

import aiosmtplib
from pydantic import BaseModel, ConfigDict, SecretStr, model_validator

from clients.errors import (
    DeliveryUnknownError,
    RecipientUnreachableError,
    RequestRejectedError,
    ServiceUnavailableError,
)
from clients.handover import Before, nothing
from clients.mail import Mail, Sender, without_addresses
from clients.mime import is_small, written_message
from clients.smtp_connection import ConnectionGoneError, Reply, SmtpConnection
from clients.smtp_pool import SmtpPool

# RFC 4954: who we are is the trouble, not this mail. Somebody has to correct the settings.
_LOGIN_TROUBLE = frozenset({530, 534, 535, 538})
_PERMANENT = range(500, 600)
_TEMPORARY = range(400, 500)
_DONE, _GO_ON, _CLOSING = 250, 354, 421
_TO_RCPT = 1
_EXPECTED = ({_DONE}, {_DONE, 251}, {_GO_ON})  # to MAIL, RCPT, DATA; 251: it will forward
# RFC 3463 (and 7505) where it is the mailbox: there is none, or it moved, is disabled or full, or
# its domain takes no mail. 5.1.7 and 5.1.8 are of the sender, 5.7 of what the relay thinks of us.
_STATUS = re.compile(r"5\.\d{1,3}\.\d{1,3}\b")
_OF_ADDRESS = frozenset(
    {"5.1.0", "5.1.1", "5.1.2", "5.1.3", "5.1.4", "5.1.6", "5.1.10", "5.2.0", "5.2.1", "5.2.2"}
)
_NOT_LOCAL = 551  # RFC 5321 4.2.3: the only code that says so by itself
_QUEUE_ID = re.compile(r"\bqueued as (\S+)", re.IGNORECASE)


class SmtpSettings(BaseModel):
    """How the relay is reached.

    ca_file       certificates to trust besides the system's
    timeout       seconds for each step up to DATA
    data_timeout  seconds for the answer to a mail: relays scan it first (RFC 5321 4.5.3.2.6)
    connections   at most so many at once, kept between mails
    mails_per_connection   after so many it is closed: relays do not like to be held for good
    idle_timeout  seconds until a kept connection is closed, before the relay does
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    host: str
    port: int = 587
    username: str | None = None
    password: SecretStr | None = None
    security: Literal["starttls", "tls", "none"] = "starttls"
    ca_file: Path | None = None
    timeout: float = 30
    data_timeout: float = 120
    connections: int = 8
    mails_per_connection: int = 100
    idle_timeout: float = 30

    @model_validator(mode="after")
    def _keeps_the_password(self) -> Self:
        if self.username and self.security == "none":
            raise ValueError("SMTP_SECURITY: starttls or tls is needed to log in with a password")
        return self


class Smtp:
    """Hands mails to a relay. SMTP cannot tell a repeated mail from a new one."""

    name = "smtp"
    is_repeatable = False
    reports = False

    def __init__(
        self, settings: SmtpSettings, *, sender: Sender, clock: Callable[[], datetime]
    ) -> None:
        """Raises OSError when the CA file cannot be read."""
        self._settings = settings
        self.sender = sender
        self._clock = clock
        self._tls = _tls_context(settings)
        self._slots = asyncio.Semaphore(settings.connections)
        self._pool = SmtpPool(
            self._connected,
            mails_per_connection=settings.mails_per_connection,
            idle_timeout=settings.idle_timeout,
        )

    async def send(self, mail: Mail, *, message_id: str, before: Before = nothing) -> str:
        """Returns the relay's queue id, or its whole answer when it names none.

        `before` is awaited when the relay waits for the message: it delivers nothing of which it
        has not seen the end, so leaving then is harmless.
        """
        message = await self._written(mail, message_id)
        async with self._slots:
            connection = await self._announced(mail, len(message))
            try:
                await before()
                reply = await self._hand_over(connection, message)
            except BaseException:
                connection.dialogue.abort("interrupted")
                raise
            connection.is_clean = reply.code == _DONE
            self._give_back(connection, reply)
        if not connection.is_clean:
            raise _refusal(reply, is_sent=True)
        queued = _QUEUE_ID.search(reply.text)
        return queued[1] if queued else without_addresses(reply.text)

    async def aclose(self) -> None:
        await self._pool.aclose()

    async def _written(self, mail: Mail, message_id: str) -> bytes:
        write = partial(
            written_message, mail, self.sender, message_id=message_id, date=self._clock()
        )
        return write() if is_small(mail) else await asyncio.to_thread(write)

    async def _connected(self) -> SmtpConnection:
        wanted = self._settings
        connection = aiosmtplib.SMTP(
            hostname=wanted.host,
            port=wanted.port,
            username=wanted.username or None,
            password=wanted.password.get_secret_value() if wanted.password else None,
            local_hostname=self.sender.domain,
            timeout=wanted.timeout,
            use_tls=wanted.security == "tls",
            start_tls=wanted.security == "starttls",
            tls_context=self._tls,
        )
        try:
            return await SmtpConnection.open(connection)
        except aiosmtplib.SMTPAuthenticationError as error:
            raise ServiceUnavailableError(
                f"the mail relay refused SMTP_USERNAME and SMTP_PASSWORD ({error.code})"
            ) from None  # its text may quote the user
        except aiosmtplib.SMTPResponseException as error:
            raise ServiceUnavailableError(f"no mail relay: it answered {error.code}") from None
        except (aiosmtplib.SMTPException, OSError) as error:
            raise ServiceUnavailableError(f"no mail relay: {_reason(error)}") from error

    async def _announced(self, mail: Mail, size: int) -> SmtpConnection:
        """A connection whose relay waits for the message."""
        connection = await self._pool.take()
        if connection.mails:
            with suppress(ConnectionGoneError):
                return await self._announced_on(connection, mail, size)
            connection = await self._connected()  # the relay closed the kept one; nothing was sent
        try:
            return await self._announced_on(connection, mail, size)
        except ConnectionGoneError as error:
            raise _gone(error) from error

    async def _announced_on(
        self, connection: SmtpConnection, mail: Mail, size: int
    ) -> SmtpConnection:
        """Raises ConnectionGoneError, and what a refusal means."""
        was_kept, connection.is_clean = connection.mails > 0, False
        connection.mails += 1
        # RFC 1870: a relay refuses what is too big before DATA.
        told_size = f" SIZE={size}" if "size" in connection.extensions else ""
        sender = (mail.sender or self.sender).address
        commands = (f"MAIL FROM:<{sender}>{told_size}", f"RCPT TO:<{mail.address}>", "DATA")
        lines = [f"{command}\r\n".encode("ascii") for command in commands]
        try:
            replies = await connection.envelope(lines, within=self._settings.timeout)
        except BaseException:
            connection.dialogue.abort("interrupted")
            raise
        answered = zip(replies, _EXPECTED, strict=False)
        refused = next((reply for reply, good in answered if reply.code not in good), None)
        if refused is None and len(replies) == len(commands):
            return connection
        if replies[-1].code == _GO_ON:  # a refused mail, and yet the relay waits for its message
            connection.dialogue.abort("refused")
        if refused is None or (was_kept and refused.code == _CLOSING):
            raise ConnectionGoneError("it hung up")
        self._give_back(connection, refused)
        raise _refusal(refused, is_recipient=replies.index(refused) == _TO_RCPT)

    async def _hand_over(self, connection: SmtpConnection, message: bytes) -> Reply:
        """Raises DeliveryUnknownError when there is no reply to a message that was sent."""
        if not connection.dialogue.is_open:
            raise _gone(ConnectionGoneError("it hung up"))
        dotted = message.replace(b"\r\n.", b"\r\n..")  # RFC 5321 4.5.2; none begins with a dot
        try:
            (reply,) = await connection.dialogue.ask(
                dotted + b".\r\n", replies=1, within=self._settings.data_timeout
            )
        except ConnectionGoneError as error:
            raise DeliveryUnknownError(
                f"the mail relay took the mail and never answered: {_reason(error)}"
            ) from error
        return reply

    def _give_back(self, connection: SmtpConnection, reply: Reply) -> None:
        if reply.code in _LOGIN_TROUBLE:
            connection.dialogue.abort("it forgot the login")
        self._pool.give_back(connection)


def _tls_context(settings: SmtpSettings) -> ssl.SSLContext | None:
    if settings.security == "none":
        return None
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.ca_file is not None:
        context.load_verify_locations(cafile=settings.ca_file)
    return context


def _refusal(
    reply: Reply, *, is_sent: bool = False, is_recipient: bool = False
) -> ServiceUnavailableError | RequestRejectedError:
    """What it means; without a cause, which would hold the address."""
    answer = f"{reply.code} {without_addresses(reply.text)}"
    if reply.code in _LOGIN_TROUBLE:
        return ServiceUnavailableError(f"the mail relay wants another login: {answer}")
    if is_recipient and reply.code in _PERMANENT and _is_of_address(reply):
        return RecipientUnreachableError(f"no mail reaches this address: {answer}")
    if reply.code in _PERMANENT:
        return RequestRejectedError(f"the mail relay refused the mail: {answer}")
    if is_sent and reply.code not in _TEMPORARY:
        return DeliveryUnknownError(f"the mail relay's answer to the mail is not clear: {answer}")
    return ServiceUnavailableError(f"the mail relay cannot take the mail now: {answer}")


def _gone(error: ConnectionGoneError) -> ServiceUnavailableError:
    return ServiceUnavailableError(f"the mail relay went away before the mail: {_reason(error)}")


def _is_of_address(reply: Reply) -> bool:
    """Is it the mailbox, and not what the relay thinks of us? 550 alone may be either."""
    status = _STATUS.match(reply.text)
    return status[0] in _OF_ADDRESS if status else reply.code == _NOT_LOCAL


def _reason(error: Exception) -> str:
    return without_addresses(str(error)) or type(error).__name__
