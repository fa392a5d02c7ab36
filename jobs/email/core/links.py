"""Texts from outside, made fit for a line of a mail."""

import re
from urllib.parse import urlsplit


def web_link(url: str | None) -> str | None:
    """The URL if it is an absolute http or https one; a notice may hold anything."""
    candidate = (url or "").strip()
    try:
        parts = urlsplit(candidate)
    except ValueError:
        return None
    is_web = parts.scheme in {"http", "https"} and bool(parts.hostname)
    return candidate if is_web and not re.search(r"[\s<>\"\\\x00-\x1f\x7f]", candidate) else None


def one_line(text: str) -> str:
    """The words with single spaces between them."""
    return " ".join(text.split())
