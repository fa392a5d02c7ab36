"""What a Redis URL names beside one server: sentinels, or nodes of a cluster. Shows no secrets."""

import re
from typing import TypeAlias
from urllib.parse import SplitResult, urlsplit

Address: TypeAlias = tuple[str, int]

SENTINEL = ("redis+sentinel",)
CLUSTER = ("redis+cluster", "rediss+cluster")
SCHEMES = ("redis", "rediss", "unix", *SENTINEL, *CLUSTER)

_HOST = re.compile(r"(?:\[([\da-fA-F:.]+)\]|([\w.-]+))(?::(\d{1,5}))?")
_TAG = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LAST_PORT = 65_535
_QUOTE = "quote special characters in a password"


def check_redis_url(url: str) -> None:
    """Raises ValueError with what is wrong, and nothing of the URL itself."""
    parts = urlsplit(url)
    if parts.scheme in SENTINEL:
        nodes_of(parts)
        service_of(parts)
    elif parts.scheme in CLUSTER:
        nodes_of(parts)
        tag_of(parts)


def nodes_of(parts: SplitResult) -> list[Address]:
    """The hosts and ports, of which there may be several."""
    default = 26379 if parts.scheme in SENTINEL else 6379
    nodes = []
    for host in parts.netloc.rpartition("@")[2].split(","):
        match = _HOST.fullmatch(host)
        port = default if match is None or match[3] is None else int(match[3])
        if parts.fragment or match is None or not 0 < port <= _LAST_PORT:
            raise ValueError(f"its hosts are written h1:7000,h2:7001 or [::1]:7000 ({_QUOTE})")
        nodes.append((match[1] or match[2], port))
    return nodes


def service_of(parts: SplitResult) -> tuple[str, int]:
    """The name of the Sentinel's service and the database, as in `/mymaster/0`."""
    name, _, database = parts.path.strip("/").partition("/")
    if not (database or "0").isdecimal():
        raise ValueError(f"its path is a service and a number: /mymaster/0 ({_QUOTE})")
    return name or "mymaster", int(database or 0)


def tag_of(parts: SplitResult) -> str:
    """What the keys in a cluster have in common, as in `/deskhand`."""
    tag = parts.path.strip("/") or "deskhand"
    if not _TAG.fullmatch(tag):
        raise ValueError(f"its path is the tag of the keys, a plain word: /deskhand ({_QUOTE})")
    return tag
