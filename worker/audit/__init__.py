"""The audit log: who did what through API and console, and what came of it.

The database itself refuses to change an entry, or to delete one that is not old enough.
"""

from worker.audit.entries import Entry, Outcome, Written
from worker.audit.queries import add, end, forget, page

__all__ = ["Entry", "Outcome", "Written", "add", "end", "forget", "page"]
