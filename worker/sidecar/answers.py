"""What all answers have in common: headers that open nothing, and one shape of errors."""

from collections.abc import MutableMapping
from typing import Final
from uuid import uuid4

from aiohttp import hdrs, web

# A page sets its own policy; what does not may load nothing.
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def error_answer(status: int, code: str, message: str) -> web.Response:
    """`{"error": {"code", "message", "request_id"}}`, under an id of its own."""
    request_id = uuid4().hex
    body = {"error": {"code": code, "message": message, "request_id": request_id}}
    return web.json_response(body, status=status, headers={"X-Request-ID": request_id})


def secure(headers: MutableMapping[str, str]) -> None:
    """Add what each answer has, unless it has its own."""
    for name, value in _HEADERS.items():
        headers.setdefault(name, value)
    headers[hdrs.SERVER] = "deskhand"  # and not the versions behind it
