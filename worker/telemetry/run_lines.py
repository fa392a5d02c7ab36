"""The line that every run gets, made in bulk.

It says the same, in the same form, as a line through the logging pipeline, at a tenth of its cost:
a run that does little would otherwise spend most of its time on its log line.
"""

import logging
import re
from datetime import UTC, datetime
from typing import Final

import orjson

from worker.telemetry.logs import CONTROL, Format, escape, write_lines
from worker.telemetry.redaction import redact_text

_LOGGER: Final = "worker.run"
# Ids of our own making and ARQ's tell nothing about anybody.
_RANDOM: Final = re.compile(r"[0-9a-f]{32}")
_MOST_SECONDS: Final = 100


class RunLines:
    """Collects lines at INFO; `flush` writes them."""

    def __init__(self, fmt: Format) -> None:
        self._is_json = fmt == "json"
        self._lines: list[str] = []
        self._seconds: dict[int, str] = {}

    @property
    def is_enabled(self) -> bool:
        return logging.getLogger().isEnabledFor(logging.INFO)

    def add(
        self,
        message: str,
        *,
        at: float,
        run_id: str,
        job: str,
        queue: str,
        attempt: int,
        wait_ms: int,
        duration_ms: int,
        correlation_id: str,
    ) -> None:
        """`at` in seconds since 1970; `message`, `job` and `queue` are the product's own words."""
        context = {
            "run_id": _shown(run_id),
            "job": job,
            "queue": queue,
            "attempt": attempt,
            "wait_ms": wait_ms,
            "duration_ms": duration_ms,
            "correlation_id": _shown(correlation_id),
        }
        stamp = self._timestamp(at)
        if self._is_json:
            head = {"timestamp": stamp, "level": "INFO", "message": message, "logger": _LOGGER}
            line = _dump({**head, **context})
        else:
            line = f"[{stamp}] [INFO] {message} {_dump(context)}"
        self._lines.append(line)

    def flush(self) -> None:
        if self._lines:
            lines, self._lines = self._lines, []
            write_lines(lines)

    def _timestamp(self, seconds: float) -> str:
        second = int(seconds)
        text = self._seconds.get(second)
        if text is None:
            if len(self._seconds) >= _MOST_SECONDS:
                self._seconds.clear()
            text = f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}"
            self._seconds[second] = text
        return f"{text}.{int(seconds * 1000) % 1000:03d}Z"


def _shown(text: str) -> str:
    return text if _RANDOM.fullmatch(text) else redact_text(text)


def _dump(context: dict[str, object]) -> str:
    try:
        line = orjson.dumps(context).decode()
    except TypeError:  # a lone surrogate in a foreign id
        plain = {
            name: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
            for name, value in context.items()
        }
        line = orjson.dumps(plain).decode()
    return line if line.isascii() and "\x7f" not in line else CONTROL.sub(escape, line)
