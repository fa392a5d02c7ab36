import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families as parse

from worker.sidecar import app as app_module
from worker.sidecar.app import Sidecar
from worker.sidecar.health import Health
from worker.sidecar.listening import SidecarError
from worker.telemetry.metrics import Metrics

PATHS = [
    *("/health", "/health/live", "/health/ready", "/health/startup"),
    *("/healthz", "/livez", "/readyz", "/metrics"),
]


@pytest.fixture
def health() -> Health:
    health = Health(service="worker", version="1.2.3")
    health.running()
    return health


@pytest.fixture
def metrics() -> Metrics:
    return Metrics([("email", "email.send_welcome")])


@asynccontextmanager
async def serving(sidecar: Sidecar) -> AsyncIterator[httpx.AsyncClient]:
    await sidecar.start("127.0.0.1", 0)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{sidecar.port}") as client:
            yield client
    finally:
        await sidecar.stop()


@pytest.fixture
async def client(health: Health, metrics: Metrics) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(Sidecar(health, metrics)) as client:
        yield client


def collect_errors(text: str) -> float:
    families = parse(text)
    return sum(
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == "worker_metrics_collect_errors_total"
    )


@pytest.mark.parametrize("path", PATHS)
async def test_open_paths_answer_get_and_head(client: httpx.AsyncClient, path: str) -> None:
    got, head = await client.get(path), await client.head(path)

    assert got.status_code == head.status_code == 200
    assert got.content
    assert not head.content
    for reply in (got, head):
        assert reply.headers["cache-control"] == "no-store"
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["content-security-policy"].startswith("default-src 'none'")
        assert reply.headers["server"] == "deskhand"


async def test_health_is_json_and_follows_the_state(
    client: httpx.AsyncClient, health: Health
) -> None:
    assert (await client.get("/health")).json() == {
        "status": "ok",
        "checks": {},
        "service": "worker",
        "version": "1.2.3",
        "uptime_s": pytest.approx(0, abs=5),
    }

    health.draining()

    ready = await client.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (503, "draining")
    assert (await client.get("/livez")).status_code == 200


async def test_a_failed_dependency_shows_without_its_error(
    health: Health, metrics: Metrics
) -> None:
    async def check() -> None:
        raise OSError("cannot connect to postgresql://ada:s3cret@db.internal/books")

    health.add("postgres", check)
    await health.check_now()
    async with serving(Sidecar(health, metrics)) as client:
        reply = await client.get("/health")

    assert reply.json()["checks"]["postgres"]["status"] == "degraded"
    assert not any(word in reply.text for word in ("db.internal", "s3cret", "connect"))


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "not_found"),
        ("GET", "/health/", 404, "not_found"),
        ("GET", "/%0d%0aX: y", 404, "not_found"),
        ("POST", "/health", 405, "method_not_allowed"),
        ("DELETE", "/metrics", 405, "method_not_allowed"),
    ],
)
async def test_anything_else_is_an_error_in_json(
    client: httpx.AsyncClient, method: str, path: str, status: int, code: str
) -> None:
    reply = await client.request(method, path)

    error = reply.json()["error"]
    assert (reply.status_code, error["code"]) == (status, code)
    assert error["request_id"] == reply.headers["x-request-id"]
    assert reply.headers["cache-control"] == "no-store"
    assert ("allow" in reply.headers) is (status == 405)


async def test_more_routes_can_be_served_and_their_errors_stay_inside(
    health: Health, metrics: Metrics
) -> None:
    async def broken(_: web.Request) -> web.Response:
        raise RuntimeError("s3cret")

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="hi", headers={"Content-Security-Policy": "default-src 'self'"})

    async def closed(_: web.Request) -> web.Response:
        raise web.HTTPUnauthorized(headers={"WWW-Authenticate": "Bearer"})

    routes = [
        web.get("/broken", broken),
        web.get("/page", page),
        web.get("/closed", closed),
    ]
    async with serving(Sidecar(health, metrics, routes=routes)) as client:
        failed, shown = await client.get("/broken"), await client.get("/page")
        refused = await client.get("/closed")

    assert failed.status_code == 500
    assert failed.json()["error"]["code"] == "internal_server_error"
    assert "s3cret" not in failed.text
    assert shown.headers["content-security-policy"] == "default-src 'self'"
    assert refused.headers["www-authenticate"] == "Bearer"
    assert json.loads(refused.text)["error"]["code"] == "unauthorized"


async def test_an_answer_that_breaks_off_is_not_followed_by_another(
    health: Health, metrics: Metrics
) -> None:
    async def broken_stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"half")
        raise RuntimeError("s3cret")

    sidecar = Sidecar(health, metrics, routes=[web.get("/stream", broken_stream)])
    async with serving(sidecar):
        reader, writer = await asyncio.open_connection("127.0.0.1", sidecar.port)
        writer.write(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = await asyncio.wait_for(reader.read(), 5)
        writer.close()

    assert received.endswith(b"half\r\n")
    assert received.count(b"HTTP/1.1") == 1


async def test_metrics_come_in_both_formats(client: httpx.AsyncClient) -> None:
    text = await client.get("/metrics")
    openmetrics = await client.get("/metrics", headers={"Accept": "application/openmetrics-text"})

    assert text.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert any(family.name == "worker_jobs_processed" for family in parse(text.text))
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text;")
    assert openmetrics.text.endswith("# EOF\n")


class Refresh:
    """A collector that counts its calls."""

    def __init__(self, then: Callable[[], Awaitable[None]]) -> None:
        self.calls = 0
        self._then = then

    async def __call__(self) -> None:
        self.calls += 1
        await self._then()


async def test_scrapes_share_one_refresh_for_five_seconds(health: Health, metrics: Metrics) -> None:
    now = 0.0
    refresh = Refresh(lambda: asyncio.sleep(0.05))
    sidecar = Sidecar(health, metrics, refresh=refresh, clock=lambda: now)
    async with serving(sidecar) as client:
        await asyncio.gather(*(client.get("/metrics") for _ in range(5)))
        now = 4.9
        await client.get("/metrics")
        assert refresh.calls == 1

        now = 5.1
        await client.get("/metrics")

    assert refresh.calls == 2


async def test_a_refresh_that_fails_is_counted_and_the_scrape_goes_on(
    health: Health, metrics: Metrics
) -> None:
    async def fail() -> None:
        raise OSError("Redis is away")

    async with serving(Sidecar(health, metrics, refresh=fail)) as client:
        await client.get("/metrics")
        reply = await client.get("/metrics")

    assert reply.status_code == 200
    assert collect_errors(reply.text) == 2


async def test_a_refresh_that_hangs_is_given_up(
    health: Health, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_module, "REFRESH_TIMEOUT", 0.05)
    refresh = Refresh(lambda: asyncio.sleep(3600))
    async with serving(Sidecar(health, metrics, refresh=refresh)) as client:
        reply = await asyncio.wait_for(client.get("/metrics"), 2)
        again = await asyncio.wait_for(client.get("/metrics"), 2)

    assert reply.status_code == again.status_code == 200
    assert collect_errors(again.text) == 2
    assert refresh.calls == 2


async def test_a_taken_port_is_a_clear_error(health: Health, metrics: Metrics) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(SidecarError, match=rf"^127\.0\.0\.1:{port} is taken .* set PORT"):
            await Sidecar(health, metrics).start("127.0.0.1", port)


async def test_an_address_that_is_not_ours_is_a_clear_error(
    health: Health, metrics: Metrics
) -> None:
    with pytest.raises(SidecarError, match=r"is no address of this machine: set HOST"):
        await Sidecar(health, metrics).start("192.0.2.1", 0)


async def test_it_can_be_stopped_twice_and_then_answers_no_more(
    health: Health, metrics: Metrics
) -> None:
    sidecar = Sidecar(health, metrics)
    await sidecar.start("127.0.0.1", 0)
    port = sidecar.port

    await sidecar.stop()
    await sidecar.stop()

    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    with pytest.raises(RuntimeError, match="not started"):
        assert sidecar.port
