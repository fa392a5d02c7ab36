"""`python -m tests.chaos.reminder_outside`: a mail relay and Twilio, in a process of their own.

Both refuse, fail, throttle, hang and hang up at random. What they accept is a line in `accepted`:
channel, `time.monotonic_ns`, message id, recipient.
"""

import argparse
import asyncio
import ctypes
import json
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any, SupportsIndex, cast
from urllib.parse import parse_qs, urlsplit

from aiosmtpd.smtp import SMTP, Envelope, Session
from typing_extensions import override

from tests.clients.stand_ins.control import Fault, Faults, Kind
from tests.clients.stand_ins.twilio import TwilioServer, twilio_server

_PR_SET_PDEATHSIG = 1
_LONG = 4.0  # seconds, more than the workers wait
# Shares of the requests.
_SMS: tuple[tuple[Kind, float], ...] = (
    ("broken", 0.01),
    ("lost", 0.01),
    ("drops", 0.01),
    ("hangs", 0.004),
    ("throttled", 0.004),
)
_MAIL = (("later", 0.02), ("drops", 0.006), ("hangs", 0.002))

Note = Callable[[str, str, str], None]


class _Chances(Faults):
    @override
    def next(self) -> Fault | None:
        kind = _drawn(_SMS)
        return None if kind is None else Fault(cast("Kind", kind))


class _Accepted(list[dict[str, Any]]):
    """Twilio's messages; each is noted when it comes."""

    def __init__(self, server: TwilioServer, note: Note) -> None:
        super().__init__()
        self._server = server
        self._note = note

    @override
    def append(self, message: dict[str, Any], /) -> None:
        super().append(message)
        callback = urlsplit(self._server.status_callbacks[message["sid"]])
        (message_id,) = parse_qs(callback.query)["message_id"]
        self._note("sms", message_id, message["to"])

    @override
    def __getitem__(self, index: SupportsIndex | slice, /) -> Any:
        return super().__getitem__(index)


class _Relay:
    """aiosmtpd calls its methods by these names."""

    def __init__(self, note: Note) -> None:
        self._note = note

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if _drawn((("later", 0.01),)):
            return "451 4.3.0 Try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        trouble = _drawn(_MAIL)
        if trouble == "later":
            return "451 4.3.0 Try again later"
        message = message_from_bytes(envelope.original_content or b"", policy=policy.default)
        (recipient,) = envelope.rcpt_tos
        self._note("email", str(message["Message-ID"]), recipient)
        if trouble == "drops":
            cast(asyncio.Transport, server.transport).abort()
        if trouble == "hangs":
            await asyncio.sleep(_LONG)
        return "250 2.0.0 Ok: queued as Q1"


def _drawn(shares: tuple[tuple[str, float], ...]) -> str | None:
    chance = random.random()  # noqa: S311 - seeded, below
    for kind, share in shares:
        if chance < share:
            return kind
        chance -= share
    return None


@asynccontextmanager
async def _serving(note: Note) -> AsyncIterator[dict[str, Any]]:
    def connected() -> SMTP:
        return SMTP(_Relay(note), hostname="relay.test")

    async with twilio_server() as twilio:
        twilio.faults = _Chances()
        twilio.messages = _Accepted(twilio, note)
        relay = await asyncio.get_running_loop().create_server(connected, "127.0.0.1", 0)
        try:
            yield {"twilio_url": twilio.url, "smtp_port": relay.sockets[0].getsockname()[1]}
        finally:
            relay.close()


async def _serve(file: int) -> None:
    def note(channel: str, message_id: str, recipient: str) -> None:
        os.write(file, f"{channel} {time.monotonic_ns()} {message_id} {recipient}\n".encode())

    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with _serving(note) as about:
        print(json.dumps(about), flush=True)  # noqa: T201 - whoever started it waits for this line
        await stopped.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.reminder_outside")
    parser.add_argument("--accepted", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    if sys.platform == "linux":
        # A driver that is killed leaves nobody behind.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    random.seed(options.seed)
    file = os.open(options.accepted, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    asyncio.run(_serve(file))


if __name__ == "__main__":
    main()
