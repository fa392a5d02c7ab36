"""Why nothing is sent to an address any more."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

# What the tenant's own people decided.
BLOCKED: Final = "blocked"
# That of an address which takes nothing: no wish of whoever has it.
BROKEN: Final = frozenset({"bounced", "dropped", "failed", "invalid", "unreachable"})
# What tells whoever runs deskhand of its troubles: to addresses of the settings, which nobody else
# gave. It goes there also after one that came back: who would tell them that nothing does any more?
TO_OPERATORS: Final = frozenset({"admin-notice"})


@dataclass(frozen=True, slots=True)
class Suppression:
    """Nothing is sent to an address any more, since then."""

    reason: str
    since: datetime

    @property
    def is_wish(self) -> bool:
        """Somebody wants no more; otherwise the address is of no use."""
        return self.reason not in BROKEN


def is_own_wish(reason: str) -> bool:
    """Did whoever has the address say so? Of reasons that we do not know it is supposed.

    >>> is_own_wish("complained"), is_own_wish("bounced"), is_own_wish("blocked")
    (True, False, False)
    """
    return reason != BLOCKED and reason not in BROKEN
