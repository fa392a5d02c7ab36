"""The side that enqueues, in the peer's own environment: `python -m tests.benchmarks.peers.NAME`.

Reads one order a line, until its input ends:

    install                  make what the peer needs in an empty database
    fill FIRST COUNT         as fast as it goes, by whatever way; not measured
    one COUNT                one after the other
    bulk COUNT               the peer's own way to enqueue many at once
    pace COUNT SECONDS       one at a time with a pause after each: for latencies

and answers each with one JSON object: the `seconds` it took, and for `pace` when each number was
`sent`. Only the standard library, beside the peer itself.
"""

import asyncio
import json
import random
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from time import monotonic

_CHUNK = 1000
_AT_ONCE = 100


class Client(ABC):
    """How a peer enqueues."""

    @abstractmethod
    async def open(self) -> None: ...

    @abstractmethod
    async def close(self) -> None: ...

    @abstractmethod
    async def one(self, number: int) -> None:
        """Enqueue one job as the peer's manual says."""

    async def bulk(self, numbers: Sequence[int]) -> None:
        """Enqueue many; where the peer has no call for it, by `asyncio.gather`."""
        for chunk in chunks(numbers, _AT_ONCE):
            await asyncio.gather(*map(self.one, chunk))

    async def fill(self, numbers: Sequence[int]) -> None:
        """Enqueue many as fast as can be: the same bytes, by whatever way."""
        await self.bulk(numbers)

    async def install(self) -> None:  # noqa: B027 - most need nothing
        """Make what the peer needs in an empty database."""


def chunks(numbers: Sequence[int], size: int = _CHUNK) -> Iterator[Sequence[int]]:
    for start in range(0, len(numbers), size):
        yield numbers[start : start + size]


def main(client: Client) -> None:
    """Serve orders. Not on uvloop: most APIs that enqueue are not."""
    asyncio.run(_serve(client))


async def _serve(client: Client) -> None:
    await client.open()
    try:
        while line := await asyncio.to_thread(sys.stdin.readline):
            what, *words = line.split()
            answer = await _obey(client, what, list(map(float, words)))
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
    finally:
        await client.close()


async def _obey(client: Client, what: str, numbers: list[float]) -> dict[str, object]:
    sent: list[float] = []
    began = monotonic()
    match what, numbers:
        case "install", []:
            await client.install()
        case "fill", [first, count]:
            await client.fill(range(int(first), int(first + count)))
        case "one", [count]:
            for number in range(int(count)):
                await client.one(number)
        case "bulk", [count]:
            await client.bulk(range(int(count)))
        case "pace", [count, pause]:
            sent = await _pace(client, int(count), pause)
        case _:
            raise SystemExit(f"there is no {what} with {numbers}")
    return {"seconds": monotonic() - began, "sent": sent}


async def _pace(client: Client, count: int, pause: float) -> list[float]:
    """Pauses vary by half, so that they do not beat with anybody's polling."""
    sent = []
    for number in range(count):
        await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
        sent.append(monotonic())
        await client.one(number)
    return sent
