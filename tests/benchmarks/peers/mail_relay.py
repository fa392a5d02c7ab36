"""`python -m tests.benchmarks.peers.mail_relay PORT FILE [PIPELINING]`: aiosmtpd.

Several processes may listen on PORT, and the kernel shares connections out. Of each mail its
recipient is written to FILE, a line each; nothing is kept. aiosmtpd takes commands that arrive
together as Postfix does, and does not say so: with PIPELINING it does.
"""

import asyncio
import os
import socket
import sys

from aiosmtpd.smtp import SMTP, Envelope, Session

_LARGEST = 32 * 1024 * 1024  # octets


class Handler:
    def __init__(self, file: int, *, offers_pipelining: bool) -> None:
        self._file = file
        self._offers_pipelining = offers_pipelining

    async def handle_EHLO(  # noqa: N802 - aiosmtpd calls it so
        self, server: SMTP, session: Session, envelope: Envelope, name: str, lines: list[str]
    ) -> list[str]:
        del server, envelope
        session.host_name = name
        return ["250-PIPELINING", *lines] if self._offers_pipelining else lines

    async def handle_DATA(  # noqa: N802 - aiosmtpd calls it so
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        del server, session
        os.write(self._file, f"{envelope.rcpt_tos[0]}\n".encode())
        return "250 2.0.0 Ok: queued as Q1"


async def serve(port: int, handler: Handler) -> None:
    # With its protocol's number: asyncio sets TCP_NODELAY on no other.
    listening = socket.socket(proto=socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listening.bind(("127.0.0.1", port))
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(handler, hostname="relay.test", data_size_limit=_LARGEST),
        sock=listening,
        backlog=128,
    )
    await server.serve_forever()


def main() -> None:
    port, file, *pipelining = sys.argv[1:]
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    asyncio.run(serve(int(port), Handler(handle, offers_pipelining=bool(pipelining))))


if __name__ == "__main__":
    main()
