"""What is read, written and acknowledged together."""

import asyncio
from collections.abc import Sequence

from worker.engine.store import DEAD, EVENTS
from worker.ledger.sieve import Entry, Sieve

_UNTIL_PAUSE = 1000  # events: some milliseconds of this event loop


class Batch:
    """`is_full` says that the last read got as much as it asked for: there may be more."""

    def __init__(self, keep_completed: int) -> None:
        self.sieve = Sieve(keep_completed)
        self.letters: list[Entry] = []
        self.ids: dict[str, list[bytes]] = {EVENTS: [], DEAD: []}
        self.is_full = False

    async def add(self, stream: str, entries: Sequence[tuple[bytes, dict[bytes, bytes]]]) -> int:
        """Take entries of a reply; returns how many events they held."""
        count = since_pause = 0
        for entry_id, fields in entries:
            if not entry_id:  # so Redis 6 tells of what was trimmed while somebody had it
                continue
            self.ids[stream].append(entry_id)
            if stream == EVENTS:
                self.sieve.add(entry_id.decode(), fields)
            elif fields:
                self.letters.append((entry_id.decode(), fields.get(b"d", b"")))
            count += len(fields)
            since_pause += len(fields)
            if since_pause >= _UNTIL_PAUSE:
                since_pause = 0
                await asyncio.sleep(0)
        return count

    @property
    def newest_ms(self) -> int:
        """When the newest event was written, by Redis' clock; 0 when there is none."""
        newest = max(self.ids[EVENTS][-1:], default=b"0-0")
        return int(newest.partition(b"-")[0])
