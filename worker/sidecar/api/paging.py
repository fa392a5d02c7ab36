"""Pages by place: each says where the next begins, and stays true while rows come and go."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TypeVar

from pydantic import BaseModel

from worker.sidecar.api.errors import invalid
from worker.sidecar.api.operation import Page

R = TypeVar("R")
M = TypeVar("M", bound=BaseModel)

_BIGGEST = 2**63 - 1  # that PostgreSQL's bigint holds


def page_of(
    rows: Sequence[R], limit: int, shown: Callable[[R], M], next_after: Callable[[R], str]
) -> Page[M]:
    """From one row more than the page may have: whether there is a next one."""
    page = rows[:limit]
    is_more = len(rows) > limit
    return Page(items=[shown(row) for row in page], next=next_after(page[-1]) if is_more else None)


def cursor(place: object) -> str:
    """A place as callers get it: nothing to be read, or made by oneself."""
    return base64.urlsafe_b64encode(str(place).encode()).decode().rstrip("=")


def place(after: str | None, parse: Callable[[str], R]) -> R | None:
    """The place again. `parse` raises ValueError. Raises ApiError."""
    if after is None:
        return None
    try:
        text = base64.b64decode(after + "=" * (-len(after) % 4), b"-_", validate=True).decode()
        found = parse(text)
    except (binascii.Error, ValueError):
        raise invalid({"after": "is not the `next` of a page"}, where="query") from None
    if isinstance(found, int) and not -_BIGGEST <= found <= _BIGGEST:
        raise invalid({"after": "is not the `next` of a page"}, where="query")
    return found
