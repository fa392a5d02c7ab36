"""A run as it is written to Redis: its id, its bytes, and when it comes due.

Made without I/O, so that whoever cannot write it now (the outbox) keeps it as it is.
"""

import contextvars
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Any

import orjson
from arq.utils import timestamp_ms, to_ms, to_unix_ms

from jobs.kit import Job, Payload
from worker.codec import EXPIRES, WORDS, JobMessage, dump_value

_RUN_ID_LIMIT = 200
# What the ids begin with of scheduled runs, deliveries to webhooks, replays and retries.
OUR_OWN = ("tick:", "webhook:", "replay:", "retry:")
_BEGIN = b'{"h":{'  # of a message: `headers_of` leaves no headers empty

# Set around a request or a run; every run enqueued inside carries it.
correlation_id: contextvars.ContextVar[str | None] = contextvars.ContextVar("cid", default=None)


@dataclass(frozen=True, slots=True)
class When:
    """When a run comes due: at an instant, or after a wait; and until when it may start."""

    due_ms: int | None = None
    wait_ms: int = 0
    expires_ms: int | None = None

    @classmethod
    def of(
        cls,
        defer_until: datetime | None,
        defer_by: float | timedelta | None,
        expires: float | timedelta | None,
    ) -> "When":
        """From ARQ's parameters. Raises ValueError."""
        if expires is not None and (to_ms(expires) or 0) <= 0:
            raise ValueError("_expires is more than nothing, or None")
        if defer_until is not None and defer_by is not None:
            raise ValueError("give either _defer_until or _defer_by, not both")
        due_ms = None if defer_until is None else to_unix_ms(defer_until)
        return cls(due_ms, to_ms(defer_by) or 0, to_ms(expires))


NOW = When()


def headers_of(headers: Mapping[str, str] | None = None) -> dict[str, str]:
    """The headers of a run that is enqueued here: at least a correlation id."""
    return {"cid": correlation_id.get() or token_hex(16), **(headers or {})}


def run_id_of(job: Job[Any, Any], payload: Payload) -> str:
    """Follows from the idempotency key, whatever the job was renamed to; at random without one."""
    key = job.key_of(payload)
    return token_hex(16) if key is None else f"{job.first_name}:{key}"


def checked_run_id(run_id: str) -> str:
    """The same. Raises ValueError when it is no id."""
    if not 0 < len(run_id) <= _RUN_ID_LIMIT:
        raise ValueError(f"a run id has 1 to {_RUN_ID_LIMIT} characters, this has {len(run_id)}")
    return run_id


def check_foreign_run_id(run_id: str) -> None:
    """Raises ValueError for ids that others may not choose: those that we make and count on, and
    those that no path or terminal shows as they are.
    """
    if run_id.startswith(OUR_OWN):
        raise ValueError(f"ids that begin with {', '.join(OUR_OWN)} are not for others to choose")
    if not run_id.isprintable() or run_id in (".", ".."):
        raise ValueError("an id is printable, and neither . nor ..")


def with_header(raw: bytes, name: str, value: str) -> bytes:
    """A message that was made here, with one header more, behind the words if there are any.

    Raises ValueError for others.
    """
    if not raw.startswith(_BEGIN):
        raise ValueError("this message does not begin with its headers")
    at = raw.index(b"],") + 2 if raw.startswith(WORDS) else len(_BEGIN)
    return b'%s"%s":"%s",%s' % (raw[:at], name.encode(), value.encode(), raw[at:])


def message(
    name: str, when: When, headers: Mapping[str, str], words: Sequence[str] = ()
) -> tuple[bytes, bytes]:
    """ARQ's job record as JSON, up to the payload and from there on."""
    now = timestamp_ms()
    if when.expires_ms is not None:
        # Not as an expiry of the key: a run that came too late shall be seen, with its payload.
        headers = {**headers, EXPIRES: str(now + when.expires_ms)}
    return _around(name, headers, words, now)


def read_again(known: JobMessage, words: Sequence[str]) -> bytes:
    """A run that came without words (from a stock pool), with them."""
    head, tail = _around(known.function, known.headers, words, known.enqueued_ms)
    return head + dump_value(known.arguments) + tail


def _around(
    name: str, headers: Mapping[str, str], words: Sequence[str], enqueued_ms: int
) -> tuple[bytes, bytes]:
    # Headers first: by them `claim.lua` sees that the payload is ours, and has no expiry. And of
    # them first the words, which it reads.
    said = {"c": words, **headers} if words else headers
    head = orjson.dumps({"h": said, "t": None, "f": name, "a": []})[:-2]
    return head, b'],"k":{},"et":%d}' % enqueued_ms
