"""SMTP (RFC 5321): mail over any relay, with verified TLS and connections that are kept."""

import asyncio
import re
import ssl
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Literal, Self

import aiosmtplib
from pydantic import BaseModel, ConfigDict, SecretStr, model_validator

from clients.errors import DeliveryUnknownError, RequestRejectedError, ServiceUnavailableError
from clients.handover import Before, nothing
from clients.mail import Mail, Sender, without_addresses
from clients.mime import written_message

# RFC 4954: who we are is the trouble, not this mail. Somebody has to correct the settings.
_LOGIN_TROUBLE = frozenset({530, 534, 535, 538})
_PERMANENT = range(500, 600)
_TEMPORARY = range(400, 500)
_CHECK_TIMEOUT = 5.0  # seconds to find out that a kept connection is dead
_QUEUE_ID = re.compile(r"\bqueued as (\S+)", re.IGNORECASE)


class SmtpSettings(BaseModel):
    """How the relay is reached.

    ca_file       certificates to trust besides the system's
    timeout       seconds for each step up to DATA
    data_timeout  seconds for the answer to a mail: relays scan it first (RFC 5321 4.5.3.2.6)
    connections   at most so many at once, kept between mails
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
    connections: int = 4

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
        self._kept: list[aiosmtplib.SMTP] = []

    async def send(self, mail: Mail, *, message_id: str, before: Before = nothing) -> str:
        """Returns the relay's queue id, or its whole answer when it names none."""
        message = await asyncio.to_thread(
            written_message, mail, self.sender, message_id=message_id, date=self._clock()
        )
        async with self._slots:
            connection = await self._checked_out()
            try:
                await self._announce(connection, mail, len(message))
                await before()
                answer = await self._hand_over(connection, message)
            except RequestRejectedError:
                self._kept.append(connection)  # it refused a mail, and is as good as before
                raise
            except BaseException:
                connection.close()
                raise
            self._kept.append(connection)
        queued = _QUEUE_ID.search(answer)
        return queued[1] if queued else without_addresses(answer)

    async def aclose(self) -> None:
        while self._kept:
            connection = self._kept.pop()
            with suppress(aiosmtplib.SMTPException, OSError):
                await connection.quit(timeout=_CHECK_TIMEOUT)
            connection.close()

    async def _checked_out(self) -> aiosmtplib.SMTP:
        """A kept connection that still answers, else a new one."""
        while self._kept:
            connection = self._kept.pop()
            try:
                await connection.rset(timeout=_CHECK_TIMEOUT)
            except (aiosmtplib.SMTPException, OSError):
                connection.close()
            except BaseException:
                connection.close()
                raise
            else:
                return connection
        return await self._connected()

    async def _connected(self) -> aiosmtplib.SMTP:
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
            await connection.connect()
        except aiosmtplib.SMTPAuthenticationError as error:
            raise ServiceUnavailableError(
                f"the mail relay refused SMTP_USERNAME and SMTP_PASSWORD ({error.code})"
            ) from None  # its text may quote the user
        except aiosmtplib.SMTPResponseException as error:
            raise ServiceUnavailableError(f"no mail relay: it answered {error.code}") from None
        except (aiosmtplib.SMTPException, OSError) as error:
            raise ServiceUnavailableError(f"no mail relay: {_reason(error)}") from error
        return connection

    async def _announce(self, connection: aiosmtplib.SMTP, mail: Mail, size: int) -> None:
        """The envelope. Refusals lose their cause: it holds the address."""
        sender = mail.sender or self.sender
        try:
            # RFC 1870: a relay refuses what is too big before DATA.
            options = [f"SIZE={size}"] if connection.supports_extension("size") else []
            await connection.mail(sender.address, options=options)
            await connection.rcpt(mail.address)
        except aiosmtplib.SMTPResponseException as error:
            raise _refusal(error) from None
        except (aiosmtplib.SMTPException, OSError) as error:
            raise ServiceUnavailableError(
                f"the mail relay went away before the mail: {_reason(error)}"
            ) from error

    async def _hand_over(self, connection: aiosmtplib.SMTP, message: bytes) -> str:
        try:
            answer = await connection.data(message, timeout=self._settings.data_timeout)
        except aiosmtplib.SMTPResponseException as error:
            raise _refusal(error, is_sent=True) from None
        except (aiosmtplib.SMTPException, OSError) as error:
            raise DeliveryUnknownError(
                f"the mail relay took the mail and never answered: {_reason(error)}"
            ) from error
        return answer.message


def _tls_context(settings: SmtpSettings) -> ssl.SSLContext | None:
    if settings.security == "none":
        return None
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.ca_file is not None:
        context.load_verify_locations(cafile=settings.ca_file)
    return context


def _refusal(
    error: aiosmtplib.SMTPResponseException, *, is_sent: bool = False
) -> ServiceUnavailableError | RequestRejectedError:
    answer = f"{error.code} {without_addresses(error.message)}"
    if error.code in _LOGIN_TROUBLE:
        return ServiceUnavailableError(f"the mail relay wants another login: {answer}")
    if error.code in _PERMANENT:
        return RequestRejectedError(f"the mail relay refused the mail: {answer}")
    if is_sent and error.code not in _TEMPORARY:
        return DeliveryUnknownError(f"the mail relay's answer to the mail is not clear: {answer}")
    return ServiceUnavailableError(f"the mail relay cannot take the mail now: {answer}")


def _reason(error: Exception) -> str:
    return without_addresses(str(error)) or type(error).__name__
