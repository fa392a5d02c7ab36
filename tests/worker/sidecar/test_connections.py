"""What reaches the sidecar before anybody can be asked who they are."""

import asyncio
import json
import resource
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from worker.sidecar import connections
from worker.sidecar.app import Sidecar
from worker.sidecar.connections import most_connections
from worker.sidecar.health import Health
from worker.telemetry.metrics import Metrics

HEAD = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n"
MALFORMED = {
    "bad method": b"G(T /secret-path HTTP/1.1\r\nHost: a\r\n\r\n",
    "no HTTP": b"\x16\x03\x01 secret-path\r\n\r\n",
    "two hosts": b"GET /secret-path HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "long URL": b"GET /secret-path" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "no header": HEAD + b"secret path\r\n\r\n",
    "two lengths": b"POST /secret-path HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
}


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async def broken(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        raise RuntimeError("s3cret")

    health = Health()
    health.running()
    sidecar = Sidecar(health, Metrics(()), routes=[web.get("/broken", broken)])
    await sidecar.start("127.0.0.1", 0)
    yield sidecar.port
    await sidecar.stop()


async def say(port: int, raw: bytes) -> bytes:
    """All that is answered until the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(10):
            writer.write(raw)
            return await reader.read()
    except ConnectionResetError:  # what was not read any more
        return b""
    finally:
        writer.close()


async def is_alive(port: int) -> bool:
    answer = await say(port, HEAD + b"Connection: close\r\n\r\n")
    return answer.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("kind", MALFORMED)
async def test_what_is_no_request_is_answered_like_any_other_error(port: int, kind: str) -> None:
    head, _, body = (await say(port, MALFORMED[kind])).partition(b"\r\n\r\n")

    lines = head.decode().lower().split("\r\n")
    assert lines[0] == "http/1.0 400 bad request"
    for line in ("server: deskhand", "x-content-type-options: nosniff", "cache-control: no-store"):
        assert line in lines
    error: dict[str, Any] = json.loads(body)["error"]
    assert error["code"] == "malformed"
    assert f"x-request-id: {error['request_id']}" in lines
    assert b"secret-path" not in body
    assert await is_alive(port)


async def test_what_cannot_be_expected_is_refused_in_our_words(port: int) -> None:
    raw = HEAD + b"Expect: secret-path\r\nConnection: close\r\n\r\n"

    head, _, body = (await say(port, raw)).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 417")
    assert b"Server: deskhand" in head
    assert json.loads(body)["error"]["code"] == "expectation_failed"
    assert b"secret-path" not in body


async def test_who_sends_nonsense_fills_no_log(port: int, caplog: pytest.LogCaptureFixture) -> None:
    with capture_logs() as logs:
        for raw in (*MALFORMED.values(), *MALFORMED.values()):
            await say(port, raw)

    (line,) = logs
    assert (line["log_level"], line["times"]) == ("warning", 1)
    assert set(line) == {"event", "log_level", "times", "error_type"}
    assert not caplog.records


async def test_a_body_that_cannot_be_decoded_fills_no_log(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    body = b"POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: 7\r\n"

    with capture_logs() as logs:
        answers = [await say(port, body + b"\r\nnotgzip") for _ in range(5)]

    assert {answer.split(b"\r\n")[0] for answer in answers} == {b"HTTP/1.1 404 Not Found"}
    assert [entry["event"] for entry in logs] == ["Malformed requests were refused"]
    assert caplog.records == []
    assert await is_alive(port)


async def test_an_answer_that_breaks_off_says_nothing_more(port: int) -> None:
    answer = await say(port, b"GET /broken HTTP/1.1\r\nHost: localhost\r\n\r\n")

    assert answer.count(b"HTTP/1.1") == 1
    assert b"s3cret" not in answer


async def test_who_begins_a_request_and_does_not_go_on_is_cut_off(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_TIMEOUT", 0.2)

    for begun in (b"", HEAD):
        async with asyncio.timeout(5):
            assert await say(port, begun) == b""


async def test_a_connection_that_has_asked_before_may_be_silent(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_TIMEOUT", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    for _ in range(2):
        writer.write(HEAD + b"\r\n")
        async with asyncio.timeout(5):
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            length = (await reader.readuntil(b"\r\n\r\n")).lower().partition(b"content-length: ")[2]
            await reader.readexactly(int(length.split()[0]))
        await asyncio.sleep(0.4)
    writer.close()


async def test_who_opens_many_connections_keeps_nobody_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "_MOST", 10)
    health = Health()
    health.running()
    sidecar = Sidecar(health, Metrics(()))
    await sidecar.start("127.0.0.1", 0)
    opened = [await asyncio.open_connection("127.0.0.1", sidecar.port) for _ in range(40)]
    for _, writer in opened:
        writer.write(HEAD)
    try:
        assert await is_alive(sidecar.port)
        async with asyncio.timeout(5):
            for reader, _ in opened[:29]:
                assert await reader.read() == b""
    finally:
        for _, writer in opened:
            writer.close()
        await sidecar.stop()


def test_connections_are_a_part_of_what_the_process_may_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for allowed, most in ((-1, 500), (1_000_000, 500), (300, 75), (8, 10)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, soft=allowed: (soft, soft))
        assert most_connections() == most
