"""A relay that says what a test wants, octet by octet, where aiosmtpd would be too polite."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

# What to say to a command, or to a whole message ("."); None: nothing.
Replies = Callable[[str], bytes | None]


@dataclass
class Script:
    """`heard` are the commands of all connections, and each message as ".".

    extensions  what EHLO offers
    reads       what arrived at once, each time
    piece       octets of a reply that leave at once
    """

    reply: Replies
    extensions: tuple[str, ...] = ("PIPELINING", "SIZE 1000000")
    port: int = 0
    heard: list[str] = field(default_factory=list)
    reads: list[bytes] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    piece: int = 65536

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        writer.write(b"220 relay.test\r\n")
        rest, in_message = b"", False
        while data := await reader.read(65536):
            self.reads.append(data)
            rest += data
            answer = b""
            while (end := b"\r\n.\r\n" if in_message else b"\r\n") in rest:
                line, _, rest = rest.partition(end)
                if in_message:
                    self.messages.append(line)
                said = self._say("." if in_message else line.decode("ascii"))
                in_message = said.startswith(b"354")
                answer += said
            for at in range(0, len(answer), self.piece):
                writer.write(answer[at : at + self.piece])
                await asyncio.sleep(0)
            if b"421" in answer or b"221" in answer:
                break
        writer.close()

    def _say(self, command: str) -> bytes:
        self.heard.append(command.partition(" ")[0])
        if command.startswith("EHLO"):
            lines = ("relay.test", *self.extensions, "HELP")
            return b"".join(
                f"250{'-' if line != 'HELP' else ' '}{line}\r\n".encode() for line in lines
            )
        said = self.reply(command)
        usual = {"DATA": b"354 go on\r\n", "QUIT": b"221 bye\r\n"}
        return usual.get(command, b"250 2.0.0 ok\r\n") if said is None else said

    @property
    def connections(self) -> int:
        return len(self.writers)

    def mails(self) -> list[str]:
        """What was heard of mails: no EHLO, no QUIT."""
        return [command for command in self.heard if command not in {"EHLO", "QUIT"}]


@asynccontextmanager
async def scripted_relay(reply: Replies = lambda _: None) -> AsyncIterator[Script]:
    script = Script(reply)
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0)
    script.port = server.sockets[0].getsockname()[1]
    try:
        yield script
    finally:
        server.close()
