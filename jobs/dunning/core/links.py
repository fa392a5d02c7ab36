"""Links that people are asked to pay by: only where the tenant says that it is paid."""

import re
from collections.abc import Sequence
from urllib.parse import SplitResult, urlsplit, urlunsplit

import idna

_LONGEST = 2000  # characters
# What RFC 3986 lets a path, query and fragment hold. No backslash: browsers read it as a slash.
_REST = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?]|%[0-9A-Fa-f]{2})*")
_UNSEEN = re.compile(
    r"[\s\x00-\x20\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
)
_PORTS = ("", ":443")
_HTTPS = "https://"


class LinkRefusedError(ValueError):
    """Nobody is to be sent there. The sentence says why, and never shows the link."""


def checked_link(link: str) -> str:
    """The link as it is to be shown: https, with its host in the letters of DNS.

    Raises LinkRefusedError for anything that may lead elsewhere than it seems to.
    """
    _require(len(link) <= _LONGEST, f"is longer than {_LONGEST} characters")
    # Before it is split: urlsplit drops line ends and tabs without a word.
    _require(not _UNSEEN.search(link), "contains a space or a character that nobody sees")
    _require("\\" not in link, "contains a backslash")
    _require(link[: len(_HTTPS)].lower() == _HTTPS, "does not begin with https://")
    try:
        parts = urlsplit(link)
    except ValueError:
        raise LinkRefusedError("is no address of a page") from None
    _require("@" not in parts.netloc, "contains a name before its host")
    host, colon, port = parts.netloc.partition(":")
    _require(colon + port in _PORTS, "names a port")
    rest = (parts.path, parts.query, parts.fragment)
    _require(all(_REST.fullmatch(one) for one in rest), "contains a character that is to be quoted")
    return urlunsplit(SplitResult("https", _dns_name(host), parts.path or "/", *rest[1:]))


def payment_link(link: str, hosts: Sequence[str]) -> str:
    """The same, when it leads to one of `hosts`: `pay.example`, or `*.pay.example` for what is
    below it. Raises LinkRefusedError.
    """
    checked = checked_link(link)
    host = urlsplit(checked).hostname or ""
    _require(
        any(_matches(host, pattern) for pattern in hosts),
        "leads to a host that messaging_profiles.payment_hosts does not name",
    )
    return checked


def _matches(host: str, pattern: str) -> bool:
    """A pattern that is no name of a host matches none."""
    name = pattern.strip()
    is_below = name.startswith("*.")
    try:
        known = _dns_name(name.removeprefix("*."))
    except LinkRefusedError:
        return False
    return host.endswith(f".{known}") if is_below else host == known


def _dns_name(host: str) -> str:
    """As UTS 46 and IDNA 2008 write it, which is what browsers look up."""
    _require(bool(host), "names no host")
    try:
        name = idna.encode(host, uts46=True, std3_rules=True).decode()
    except (idna.IDNAError, UnicodeError):
        raise LinkRefusedError("names a host that there cannot be") from None
    _require(not name.endswith("."), "names a host with a point at its end")
    _require("." in name and not name.rpartition(".")[2].isdigit(), "names no host with a domain")
    return name


def _require(condition: bool, sentence: str) -> None:  # noqa: FBT001 - reads like assert
    if not condition:
        raise LinkRefusedError(sentence)
