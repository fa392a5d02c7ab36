"""Which of the attempts that were read together are written at all.

Of a queue that completes thousands of runs a second PostgreSQL would keep the newest few a minute
later. The others are left out here, where that costs some two microseconds each.
"""

from collections import defaultdict, deque
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

import orjson

from worker.ending import State
from worker.records import IS_FIRST, TEXT_END, TICK, instant_of, outbox_row_of

# An id of the record's own (its entry's, and its position in there), and its bytes.
Entry = tuple[str, bytes]

_ENDED = b"="  # a field's first byte: its value is an AttemptRecord; the run's id follows
_TICK = b'{"run_id":"' + TICK.encode()  # how the records of scheduled runs begin
_OLD = b"d"  # version 0.1 wrote one record an entry, under this name


class _Run(NamedTuple):
    run_id: str
    queue: str
    started_at: datetime


class Sieve:
    """Add stream entries, oldest first; then ask for `kept` and `dropped`."""

    def __init__(self, keep_completed: int) -> None:
        self._keep_completed = keep_completed
        self._completed: defaultdict[str, deque[tuple[_Run, Entry]]] = defaultdict(deque)
        # Nothing is known of these from before: what does not fit is just not written.
        self._first: defaultdict[bytes, deque[Entry]] = defaultdict(
            lambda: deque(maxlen=keep_completed)
        )
        self._others: list[Entry] = []
        # Ids and starts of the runs that are not written: what is known of them is to be forgotten.
        self.dropped: dict[str, datetime] = {}
        # Rows of the outbox whose runs are over.
        self.done: set[int] = set()
        # How attempts of scheduled runs ended, oldest first.
        self.ticks: list[Entry] = []

    def add(self, entry_id: str, fields: Mapping[bytes, bytes]) -> None:
        """Kinds of fields that are not known are skipped: a newer version may write them."""
        for position, (field, raw) in enumerate(fields.items()):
            if field[:1] == _ENDED:
                self._add((f"{entry_id}:{position}", raw))
            elif field == _OLD:
                self._add((entry_id, raw))

    def kept(self) -> list[Entry]:
        """What to write: also no earlier attempt of a run that is dropped."""
        others = self._others
        if self.dropped:
            others = [entry for entry in others if not self._is_dropped(entry[1])]
        first = [entry for line in self._first.values() for entry in line]
        return others + first + [entry for line in self._completed.values() for _, entry in line]

    def _add(self, entry: Entry) -> None:
        raw = entry[1]
        if raw[-2:-1] != TEXT_END and (row_id := outbox_row_of(raw)) is not None:
            self.done.add(row_id)
        if raw.startswith(_TICK):
            self.ticks.append(entry)
        if IS_FIRST in raw:
            # A quote inside a JSON text is escaped: what looks like a field is one.
            queue = raw.partition(b'"queue":"')[2].partition(b'"')[0]
            self._first[queue].append(entry)
            return
        run = _run(raw, is_first_success=True)
        if run is None:
            self._others.append(entry)
            return
        line = self._completed[run.queue]
        line.append((run, entry))
        if len(line) > self._keep_completed:
            oldest, _ = line.popleft()
            self.dropped[oldest.run_id] = oldest.started_at

    def _is_dropped(self, raw: bytes) -> bool:
        run = _run(raw)
        dropped_at = None if run is None else self.dropped.get(run.run_id)
        return run is not None and dropped_at is not None and run.started_at <= dropped_at


def _run(raw: bytes, *, is_first_success: bool = False) -> _Run | None:
    """None when the record cannot be read (whoever writes it says so), or is not asked for.

    A success after failures is always written: PostgreSQL knows the run, and a worker that writes
    one of its failures later than this one shall not have the last word.
    """
    try:
        fields = orjson.loads(raw)
        if is_first_success and (fields["state"] != State.SUCCEEDED or fields["attempt"] != 1):
            return None
        started_at = instant_of(fields["started_at"])
        return _Run(str(fields["run_id"]), str(fields["queue"]), started_at)
    except (ValueError, KeyError, TypeError, OverflowError, OSError):
        return None
