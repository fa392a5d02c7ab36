"""One connection to a mail relay (RFC 5321).

aiosmtplib opens it: greeting, TLS, login. The mails go over a protocol of our own, since aiosmtplib
waits for each reply and drops one that arrives together with another (RFC 2920 needs both).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import aiosmtplib
from typing_extensions import override

_LONGEST_REPLY = 64 * 1024  # octets, of all replies that nobody has read yet
_CLOSING = 421


@dataclass(frozen=True, slots=True)
class Reply:
    code: int
    text: str


class ConnectionGoneError(Exception):
    """The relay hung up, took too long, or said what is not SMTP."""


class Dialogue(asyncio.Protocol):
    """What is said after the login: some commands at once, and their replies in order."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._buffer = bytearray()
        self._text: list[str] = []  # of a reply of several lines, so far
        self._replies: list[Reply] = []
        self._expected = 0
        self._answered: asyncio.Future[None] | None = None
        self._fault = ""
        transport.set_protocol(self)

    @property
    def is_open(self) -> bool:
        return not self._fault and not self._transport.is_closing()

    async def ask(self, data: bytes, *, replies: int, within: float) -> list[Reply]:
        """What the relay says to `data`, which holds `replies` commands or is a whole message.

        Fewer when it says 421 or hangs up before the last. Raises ConnectionGoneError when it says
        nothing at all.
        """
        if not self.is_open:
            raise ConnectionGoneError(self._fault or "the connection is closed")
        self._replies, self._expected = [], replies
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(data)
        try:
            async with asyncio.timeout(within):
                await self._answered
        except TimeoutError:
            self.abort(f"no reply within {within:g} s")
        finally:
            self._expected, self._answered = 0, None
        if not self._replies:
            raise ConnectionGoneError(self._fault or "the connection was lost")
        return self._replies

    def abort(self, fault: str) -> None:
        self._fault = self._fault or fault
        self._transport.abort()

    def close(self) -> None:
        """What was written still goes."""
        self._fault = self._fault or "the connection is closed"
        self._transport.close()

    @override
    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) > _LONGEST_REPLY:
            self._fail("its reply is too long")
            return
        *lines, rest = self._buffer.split(b"\n")
        self._buffer = rest
        for line in lines:
            self._read(bytes(line))

    def _read(self, line: bytes) -> None:
        code, mark, text = line[:3], line[3:4], line[4:].decode("utf-8", "replace").strip()
        if not code.isdigit() or len(code) != 3:  # noqa: PLR2004 - every reply has three digits
            self._fail("its reply is not SMTP")
            return
        self._text.append(text)
        if mark == b"-":
            return
        reply = Reply(int(code), "\n".join(self._text))
        self._text = []
        if self._answered is None or len(self._replies) == self._expected:
            self._fail(f"it said {reply.code} unasked")
            return
        self._replies.append(reply)
        if reply.code == _CLOSING:
            self._fail("it closes the connection")
        elif len(self._replies) == self._expected:
            self._finish()

    @override
    def eof_received(self) -> None:
        self._fail("it hung up")

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("it hung up" if exc is None else f"{type(exc).__name__}: {exc}")

    def _fail(self, fault: str) -> None:
        self._fault = self._fault or fault
        self._transport.close()
        self._finish()

    def _finish(self) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(None)


@dataclass(slots=True)
class SmtpConnection:
    """A connection that is logged in, and what is known of it.

    mails      begun over it
    used_at    when the last one ended, in the event loop's seconds
    is_clean   the relay expects a new mail, and no rest of one
    """

    dialogue: Dialogue
    extensions: frozenset[str]
    used_at: float
    mails: int = 0
    is_clean: bool = True

    @classmethod
    async def open(cls, unconnected: aiosmtplib.SMTP) -> "SmtpConnection":
        """Raises what aiosmtplib raises, and OSError."""
        try:
            await unconnected.connect()
            if unconnected.is_ehlo_or_helo_needed:
                await _greet(unconnected)
        except BaseException:
            unconnected.close()
            raise
        extensions = frozenset(unconnected.esmtp_extensions)
        if unconnected.transport is None or not unconnected.is_connected:
            raise aiosmtplib.SMTPServerDisconnected("it hung up after the greeting")
        dialogue = Dialogue(cast("asyncio.Transport", unconnected.transport))
        return cls(dialogue, extensions, asyncio.get_running_loop().time())

    async def envelope(self, commands: Sequence[bytes], *, within: float) -> list[Reply]:
        """Replies up to the first that is no success, at least: together where the relay can."""
        if "pipelining" in self.extensions:
            return await self.dialogue.ask(b"".join(commands), replies=len(commands), within=within)
        replies: list[Reply] = []
        for command in commands:
            replies += await self.dialogue.ask(command, replies=1, within=within)
            if replies[-1].code >= 400:  # noqa: PLR2004 - RFC 5321 4.2.1: refusals
                break
        return replies

    async def is_ready(self, *, within: float) -> bool:
        """Whether the relay still listens, and forgets what there was of a mail."""
        try:
            (reply,) = await self.dialogue.ask(b"RSET\r\n", replies=1, within=within)
        except ConnectionGoneError:
            return False
        self.is_clean = reply.code == 250  # noqa: PLR2004 - RFC 5321 4.2.3: done
        return self.is_clean and self.dialogue.is_open

    async def quit(self, *, within: float) -> None:
        """Part as is usual, where the other side still listens."""
        try:
            await self.dialogue.ask(b"QUIT\r\n", replies=1, within=within)
        except ConnectionGoneError:
            return
        finally:
            self.dialogue.close()


async def _greet(connection: aiosmtplib.SMTP) -> None:
    try:
        await connection.ehlo()
    except aiosmtplib.SMTPHeloError:
        if not connection.is_connected:
            raise
        await connection.helo()
