"""Hashing passwords beside the event loop: a few at once, and not too many that wait for it."""

import asyncio

from worker.sidecar.access.passwords import Scrypt
from worker.sidecar.access.principal import RefusedError


class Lane:
    """One hash at a time (16 MiB, and one core for a tenth of a second), `most` with those behind.

    Lanes do not wait for each other: whoever fills one holds up nobody in another.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._inside = 0
        self._turn = asyncio.Lock()

    async def fits(self, stored: Scrypt, password: str) -> bool:
        """Is it this password? Raises RefusedError when there are too many."""
        if self._inside >= self._most:
            raise RefusedError(503, "busy", "too many people sign in at once", {"Retry-After": "1"})
        self._inside += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(stored.fits, password)
        finally:
            self._inside -= 1
