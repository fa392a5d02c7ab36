"""The way out of our mail: `/unsubscribe/<token>`, open to whoever holds the link.

GET shows a page with one button and changes nothing, because mail scanners follow links. POST does
it: from the button, or from the mail program itself (RFC 8058, one-click). The token is random and
the user's own, or that of an address that belongs to none, so it needs no secret and tells nothing.
"""

from html import escape
from typing import TYPE_CHECKING
from uuid import UUID

from aiohttp import hdrs, web

from worker.clock import utc_now
from worker.suppressions import find_subscriber, unsubscribe
from worker.suppressions.queries import Subscriber

if TYPE_CHECKING:
    import asyncpg

_TEXTS = {
    "en": ("Unsubscribe", "No more mail from {tenant}?", "You get no more mail from {tenant}."),
    "tr": (
        "Abonelikten çık",
        "{tenant} size artık e-posta göndermesin mi?",
        "{tenant} size artık e-posta göndermeyecek.",
    ),
}
_NOBODYS = UUID(int=0)
_NOT_FOUND = {
    "en": (
        "This link is not valid",
        "It may be incomplete, or too old. Use the link in the newest mail, or reply to it.",
    ),
    "tr": (
        "Bu bağlantı geçerli değil",
        "Eksik ya da çok eski olabilir. En yeni iletideki bağlantıyı kullanın veya onu yanıtlayın.",
    ),
}
_PAGE = (
    '<!doctype html><html lang="{lang}"><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width"><title>{title}</title>'
    '<body style="font:18px sans-serif;max-width:32em;margin:4em auto;padding:0 1em">'
    "<h1>{title}</h1><p>{text}</p>{form}"
)
_FORM = '<form method="post"><button style="font:inherit;padding:.5em 1em">{title}</button></form>'
_HEADERS = {
    hdrs.CACHE_CONTROL: "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self';"
    " frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


class Unsubscribing:
    """Routes that answer 503 until `db` is there."""

    db: "asyncpg.Pool[asyncpg.Record] | None" = None

    def routes(self) -> list[web.RouteDef]:
        path = "/unsubscribe/{token}"
        return [web.get(path, self._ask), web.post(path, self._do)]

    async def _ask(self, request: web.Request) -> web.Response:
        _, _, subscriber = await self._found(request)
        return _not_found(request) if subscriber is None else _page(subscriber, is_done=False)

    async def _do(self, request: web.Request) -> web.Response:
        db, token, subscriber = await self._found(request)
        if subscriber is None:
            return _not_found(request)
        await unsubscribe(db, token, utc_now())
        return _page(subscriber, is_done=True)

    async def _found(
        self, request: web.Request
    ) -> "tuple[asyncpg.Pool[asyncpg.Record], UUID, Subscriber | None]":
        if self.db is None:
            raise web.HTTPServiceUnavailable
        try:
            token = UUID(request.match_info["token"])
        except ValueError:
            return self.db, _NOBODYS, None
        return self.db, token, await find_subscriber(self.db, token)


def _page(subscriber: Subscriber, *, is_done: bool) -> web.Response:
    title, question, answer = _TEXTS[subscriber.locale]
    text = (answer if is_done else question).format(tenant=subscriber.tenant_name)
    form = "" if is_done else _FORM.format(title=title)
    body = _filled(subscriber.locale, title, text, form=form)
    return web.Response(text=body, content_type="text/html", headers=_HEADERS)


def _not_found(request: web.Request) -> web.Response:
    """A page for people. Raises HTTPNotFound, the usual answer, for what reads no HTML."""
    if "text/html" not in request.headers.get(hdrs.ACCEPT, ""):
        raise web.HTTPNotFound
    language = _language(request.headers.get(hdrs.ACCEPT_LANGUAGE, ""))
    body = _filled(language, *_NOT_FOUND[language])
    status = web.HTTPNotFound.status_code
    return web.Response(text=body, status=status, content_type="text/html", headers=_HEADERS)


def _language(accepted: str) -> str:
    """The first of ours that is accepted (RFC 9110 12.5.4), and `en` where none is."""
    ranges = (one.split(";")[0].strip()[:2].lower() for one in accepted.split(","))
    return next((one for one in ranges if one in _NOT_FOUND), "en")


def _filled(language: str, title: str, text: str, *, form: str = "") -> str:
    return _PAGE.format(lang=language, title=title, text=escape(text), form=form)
