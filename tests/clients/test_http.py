from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
from aiohttp import web

from clients.errors import DeliveryUnknownError, RequestRejectedError, ServiceUnavailableError
from clients.http import request, retry_after

SECRET = "api_key=very-secret"


@dataclass
class Server:
    """Answers `answer`, or closes the connection when there is none."""

    url: str = ""
    answer: web.Response | None = None

    async def handle(self, incoming: web.Request) -> web.StreamResponse:
        if self.answer is None:
            assert incoming.transport is not None
            incoming.transport.abort()
        return self.answer or web.Response()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_route("*", "/things", server.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/things"
    yield server
    await runner.cleanup()


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=5) as http:
        yield http


async def test_a_good_reply_comes_back(server: Server, http: httpx.AsyncClient) -> None:
    server.answer = web.json_response({"things": 3})

    reply = await request(http, "GET", server.url)

    assert reply.json() == {"things": 3}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, RequestRejectedError),
        (400, RequestRejectedError),
        (404, RequestRejectedError),
        (408, ServiceUnavailableError),
        (429, ServiceUnavailableError),
        (503, ServiceUnavailableError),
    ],
)
async def test_a_refusal_is_told_without_the_query(
    server: Server, http: httpx.AsyncClient, status: int, kind: type[Exception]
) -> None:
    server.answer = web.Response(status=status)

    with pytest.raises(kind) as error:
        await request(http, "GET", f"{server.url}?{SECRET}")

    assert str(error.value) == f"GET {server.url} answered {status}"


@pytest.mark.parametrize(
    ("delivers", "kind"), [(False, ServiceUnavailableError), (True, DeliveryUnknownError)]
)
async def test_a_connection_lost_after_the_request(
    server: Server, http: httpx.AsyncClient, *, delivers: bool, kind: type[Exception]
) -> None:
    with pytest.raises(ServiceUnavailableError) as error:
        await request(http, "POST", f"{server.url}?{SECRET}", delivers=delivers)

    assert type(error.value) is kind
    assert SECRET not in str(error.value)


async def test_no_connection_means_nothing_was_delivered(http: httpx.AsyncClient) -> None:
    with pytest.raises(ServiceUnavailableError) as error:
        await request(http, "POST", "http://user:hunter2@127.0.0.1:1/", delivers=True)

    assert type(error.value) is ServiceUnavailableError
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    "options", [{"headers": {"Authorization": "Bearer very-secret\n"}}, {"url": "very:secret"}]
)
async def test_what_is_no_request_never_leaves(
    server: Server, http: httpx.AsyncClient, options: dict[str, Any]
) -> None:
    with pytest.raises(RequestRejectedError) as error:
        await request(http, "POST", **{"url": server.url, **options}, delivers=True)

    assert error.value.__cause__ is None
    assert "very-secret" not in str(error.value)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "120"}, 120),
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": "9" * 400}, 86_400),
        ({"Retry-After": "Mon, 30 Nov 2026 09:05:00 GMT"}, 300),
        ({"Retry-After": "Mon, 30 Nov 2026 08:00:00 GMT"}, 0),
        ({"Retry-After": "soon"}, None),
        ({"X-RateLimit-Reset": "1796029230"}, 30),
        ({"X-RateLimit-Reset": "never"}, None),
        ({}, None),
    ],
)
def test_the_wait_that_is_asked_for(headers: dict[str, str], seconds: float | None) -> None:
    reply = httpx.Response(429, headers={"Date": "Mon, 30 Nov 2026 09:00:00 GMT"} | headers)

    wait = retry_after(reply)

    assert wait == (None if seconds is None else timedelta(seconds=seconds))
