"""Links as messages show them: to pages of the web, and never to what a reader's program runs."""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

LONGEST: Final = 4_000  # characters; signed links to storage are long
_NAMES: Final = re.compile(r"(?:^|_)(?:url|uri|link|href)$", re.IGNORECASE)
_FOREIGN: Final = re.compile(r"[\s<>\"\\\x00-\x20\x7f-\x9f]")
# What browsers leave out before they look for a scheme (WHATWG URL, 4.4).
_IGNORED: Final = re.compile(r"^[\x00-\x20]+|[\t\n\r]")
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_CLICKABLE: Final = frozenset({"http", "https", "mailto", "tel", "sms"})
_PICTURES: Final = re.compile(r"data:image/(?:png|gif|jpeg|webp);", re.IGNORECASE)


def web_link(text: str | None) -> str | None:
    """The text if it is an absolute http or https link, else None."""
    candidate = (text or "").strip()
    try:
        parts = urlsplit(candidate)
        is_web = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        return None
    is_whole = len(candidate) <= LONGEST and not _FOREIGN.search(candidate)
    return candidate if is_web and is_whole else None


def link_problems(values: Mapping[str, Any]) -> dict[str, str]:
    """By name what is wrong with values that are links by their names: `booking_url`, `link`."""
    return {
        name: f"is an absolute http or https link of at most {LONGEST} characters"
        for name, value in values.items()
        if _NAMES.search(name) and isinstance(value, str) and value and web_link(value) is None
    }


def is_harmless(target: str, attribute: str = "href") -> bool:
    """May this stand in a mail's HTML, in that attribute? A target without a scheme may.

    >>> is_harmless(" java" + chr(10) + "script:alert(1)")
    False
    """
    plain = _IGNORED.sub("", target)
    scheme = _SCHEME.match(plain)
    if scheme is None:
        return True
    if attribute in {"href", "xlink:href"}:
        return scheme[1].lower() in _CLICKABLE
    is_file = scheme[1].lower() in {"http", "https", "cid"}
    return is_file or (attribute == "src" and bool(_PICTURES.match(plain)))
