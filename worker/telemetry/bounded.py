"""Values of labels, bounded: a metric has as many series as its labels have values."""

import re
import threading
from typing import Final

OTHER: Final = "_other"
_LABEL_VALUE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,63}")


class Bounded:
    """Lets the first `most` values of a label through, if they look like names; else `_other`.

    An address or an id that slips into a label would otherwise make a series of its own, for ever.
    """

    def __init__(self) -> None:
        self._seen: dict[str, set[str]] = {}
        self._lock = threading.Lock()

    def __call__(self, label: str, value: str, *, most: int) -> str:
        if not _LABEL_VALUE.fullmatch(value):
            return OTHER
        with self._lock:
            seen = self._seen.setdefault(label, set())
            if value not in seen and len(seen) >= most:
                return OTHER
            seen.add(value)
        return value
