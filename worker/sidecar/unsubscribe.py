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
_PAGE = (
    '<!doctype html><html lang="{lang}"><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width"><title>{title}</title>'
    '<body style="font:18px sans-serif;max-width:32em;margin:4em auto;padding:0 1em">'
    "<h1>{title}</h1><p>{text}</p>{form}"
)
_FORM = '<form method="post"><button style="font:inherit;padding:.5em 1em">{title}</button></form>'
_HEADERS = {
    hdrs.CACHE_CONTROL: "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
    "Referrer-Policy": "no-referrer",
}


class Unsubscribing:
    """Routes that answer 503 until `db` is there."""

    db: "asyncpg.Pool[asyncpg.Record] | None" = None

    def routes(self) -> list[web.RouteDef]:
        path = "/unsubscribe/{token}"
        return [web.get(path, self._ask), web.post(path, self._do)]

    async def _ask(self, request: web.Request) -> web.Response:
        _, subscriber, _ = await self._subscriber(request)
        return _page(subscriber, is_done=False)

    async def _do(self, request: web.Request) -> web.Response:
        db, subscriber, token = await self._subscriber(request)
        await unsubscribe(db, token, utc_now())
        return _page(subscriber, is_done=True)

    async def _subscriber(
        self, request: web.Request
    ) -> "tuple[asyncpg.Pool[asyncpg.Record], Subscriber, UUID]":
        if self.db is None:
            raise web.HTTPServiceUnavailable
        try:
            token = UUID(request.match_info["token"])
        except ValueError:
            raise web.HTTPNotFound from None
        subscriber = await find_subscriber(self.db, token)
        if subscriber is None:
            raise web.HTTPNotFound
        return self.db, subscriber, token


def _page(subscriber: Subscriber, *, is_done: bool) -> web.Response:
    title, question, answer = _TEXTS[subscriber.locale]
    text = (answer if is_done else question).format(tenant=subscriber.tenant_name)
    body = _PAGE.format(
        lang=subscriber.locale,
        title=title,
        text=escape(text),
        form="" if is_done else _FORM.format(title=title),
    )
    return web.Response(text=body, content_type="text/html", headers=_HEADERS)
