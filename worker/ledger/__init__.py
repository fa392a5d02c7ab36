"""PostgreSQL's memory of runs: takes the engine's records out of Redis and writes them in batches.

Any number of workers share the work through one consumer group; a record leaves Redis only after it
was committed, and writing it twice changes nothing. While PostgreSQL is away the streams wait, and
jobs that need no SQL go on.
"""

from worker.ledger.consumer import REJECTED, Ledger
from worker.ledger.rows import write_attempts, write_dead_letters
from worker.ledger.sieve import Entry

__all__ = ["REJECTED", "Entry", "Ledger", "write_attempts", "write_dead_letters"]
