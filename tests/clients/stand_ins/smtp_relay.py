"""A real SMTP server (aiosmtpd) on a real socket, with TLS, logins and switches for trouble."""

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, cast

import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from typing_extensions import override

USERNAME, PASSWORD = "apikey", "correct horse"


@dataclass
class SmtpRelay:
    """What the relay saw, and what it does next. `trouble` maps a step to its reply."""

    port: int = 0
    username: str = USERNAME
    password: str = PASSWORD
    trouble: dict[str, str] = field(default_factory=dict)
    messages: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    logins: int = 0
    connections: int = 0
    transports: list[asyncio.BaseTransport] = field(default_factory=list)
    on_data: Callable[[asyncio.Transport], Awaitable[None]] | None = None

    async def handle_RCPT(  # noqa: N802 - aiosmtpd calls it so
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        address: str,
        options: list[str],
    ) -> str:
        if self.trouble.get("RCPT") == "hang up":
            cast(asyncio.Transport, server.transport).abort()
        if "RCPT" in self.trouble:
            return self.trouble["RCPT"]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd calls it so
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        if self.on_data is not None:
            await self.on_data(cast(asyncio.Transport, server.transport))
        if "DATA" in self.trouble:
            return self.trouble["DATA"]
        message = message_from_bytes(envelope.original_content or b"", policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.messages.append(message)
        self.recipients.extend(envelope.rcpt_tos)
        return f"250 2.0.0 Ok: queued as Q{len(self.messages)}"

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, login: Any
    ) -> AuthResult:
        expected = LoginPassword(self.username.encode(), self.password.encode())
        is_right = login == expected
        self.logins += is_right
        return AuthResult(success=is_right, handled=False)

    def hang_up(self) -> None:
        """Close every connection, as relays do with idle ones."""
        for transport in self.transports:
            transport.close()
        self.transports.clear()


@asynccontextmanager
async def smtp_relay(
    authority: trustme.CA, *, security: str = "starttls", has_auth: bool = True
) -> AsyncIterator[SmtpRelay]:
    relay = SmtpRelay()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)

    class Connection(SMTP):
        @override
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            relay.connections += transport.get_extra_info("sslcontext") is None
            relay.transports.append(transport)
            super().connection_made(transport)

    def connected() -> SMTP:
        with warnings.catch_warnings():
            # It cannot know of TLS that began before it, and warns of logins without.
            warnings.filterwarnings("ignore", "Requiring AUTH while not requiring TLS")
            return Connection(
                relay,
                hostname="relay.test",
                tls_context=tls if security == "starttls" else None,
                require_starttls=security == "starttls",
                authenticator=relay.authenticate if has_auth else None,
                auth_required=has_auth,
                auth_require_tls=security == "starttls",
            )

    server = await asyncio.get_running_loop().create_server(
        connected, "127.0.0.1", 0, ssl=tls if security == "tls" else None
    )
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        relay.hang_up()
        server.close()
        await server.wait_closed()
