"""A whole reply of the search: its notices, and which of them cannot be read."""

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from jobs.sam_gov.core import values
from jobs.sam_gov.core.notice import Opportunity, opportunity
from jobs.sam_gov.core.values import NoticeError

_PLAIN_ID = re.compile(r"[0-9A-Za-z-]{1,64}")
_LONGEST_MESSAGE = 200


class NotAReplyError(ValueError):
    """These bytes are no reply of the search; the sentence says what they are instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What one reply holds: `total` = opportunities + repeated + problems.

    opportunities  in the order of their notice ids, each id once: the last one stands
    repeated       notices that a later one of the same id replaced
    problems       one sentence for each notice that cannot be mapped, without personal data
    """

    total: int
    opportunities: tuple[Opportunity, ...]
    repeated: int
    problems: tuple[str, ...]


def read_reply(body: bytes) -> Reply:
    """Map all notices of a JSON reply. Raises NotAReplyError."""
    notices = _notices(_json(body))
    found: dict[str, Opportunity] = {}
    repeated = 0
    problems = []
    for number, raw in enumerate(notices, start=1):
        try:
            if not isinstance(raw, dict):
                raise NoticeError("it is not an object")  # noqa: TRY301 - one way to fail
            mapped = opportunity(raw)
        except NoticeError as error:
            problems.append(f"{_place(number, raw)}: {error}")
            continue
        repeated += mapped.notice_id in found
        found[mapped.notice_id] = mapped
    return Reply(
        total=len(notices),
        opportunities=tuple(found[notice_id] for notice_id in sorted(found)),
        repeated=repeated,
        problems=tuple(problems),
    )


def _json(body: bytes) -> Any:
    start = body[:64].lstrip(b"\xef\xbb\xbf \t\r\n")
    if not start:
        raise NotAReplyError("the file is empty, not a reply of the opportunities search")
    if start.startswith(b"<"):
        raise NotAReplyError("the file is HTML or XML, not a JSON reply of the search")
    try:
        # Not orjson: a single lone surrogate would cost all notices, and amounts come as floats.
        return json.loads(body, parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError) as error:
        where = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise NotAReplyError(f"the file is not JSON{where}: is it cut off?") from None


def _notices(document: Any) -> list[Any]:
    if isinstance(document, dict):
        notices = document.get("opportunitiesData")
        if isinstance(notices, list):
            return notices
        if notices is None and document.get("totalRecords") == 0:
            return []  # an empty search
        if "noticeId" in document:
            return [document]  # a notice saved alone, as in the service's documentation
    error = _error_of(document)
    if error is not None:
        raise NotAReplyError(f"the file holds an error of SAM.gov, not a reply: {error}")
    raise NotAReplyError("the file is no reply of the search: it has no list opportunitiesData")


def _error_of(document: Any) -> str | None:
    """Code and message of the shapes in which the service and its gateway refuse."""
    if isinstance(document, str):
        return _shortened(document)
    if not isinstance(document, dict):
        return None
    inner = document.get("error")
    if isinstance(inner, dict):
        return _error_of(inner)
    names = ("code", "errorCode", "status", "message", "errorMessage", "detail", "nextAccessTime")
    said = [inner, *(document.get(name) for name in names)]
    parts = list(dict.fromkeys(part for part in map(values.text, said) if part))
    return _shortened(", ".join(parts)) if parts else None


def _shortened(message: str) -> str | None:
    message = values.text(message) or ""
    if len(message) > _LONGEST_MESSAGE:
        return message[: _LONGEST_MESSAGE - 1] + "…"
    return message or None


def _place(number: int, raw: object) -> str:
    """Which notice it is: its place, and its id when that looks like one."""
    notice_id = values.text(raw.get("noticeId")) if isinstance(raw, dict) else None
    if notice_id and _PLAIN_ID.fullmatch(notice_id):
        return f"notice {number} ({notice_id})"
    return f"notice {number}"
