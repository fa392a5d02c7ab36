"""What is the same for all operations: errors, ids, bodies, limits."""

import asyncio
import socket
import threading
from typing import Annotated, Any

import httpx
import pytest
from aiohttp import web
from pydantic import Field

from tests.worker.sidecar.api.conftest import (
    ADMIN_TOKEN,
    CREDENTIALS,
    Serve,
    bearer,
    code_of,
)
from worker.message import correlation_id
from worker.sidecar.access.principal import Role
from worker.sidecar.api import reading
from worker.sidecar.api.operation import (
    Answered,
    Body,
    Call,
    NoParameters,
    Page,
    PageParameters,
    Parameters,
    operation,
)


class Numbers(Body):
    number: int = 0
    text: Annotated[str, Field(max_length=20)] = ""
    more: list[Any] = Field(default_factory=list)


class Echo(Answered):
    number: int
    text: str
    more: list[Any]
    correlation_id: str | None


class OneEcho(PageParameters):
    name: str
    is_loud: bool = False


class Source(Parameters):
    source: str


@operation(
    "POST", "/echo", tag="test", role=Role.VIEWER, summary="Say it again.", unaudited="a test"
)
async def echo(call: Call[NoParameters, Numbers]) -> Echo:
    return Echo(**call.body.model_dump(), correlation_id=correlation_id.get())


@operation("GET", "/echoes/{name}", tag="test", role=Role.VIEWER, summary="A page.")
async def list_echoes(call: Call[OneEcho, None]) -> Page[Echo]:
    return Page(items=[], next=call.parameters.after)


@operation("GET", "/broken", tag="test", role=Role.VIEWER, summary="A defect.")
async def break_down(call: Call[NoParameters, None]) -> Echo:
    del call
    raise KeyError("secret value")


@operation(
    "POST", "/hooks/{source}", tag="test", base="", role=None, summary="Open.", unaudited="a test"
)
async def take_hook(call: Call[Source, bytes]) -> web.Response:
    return web.json_response(
        {"source": call.parameters.source, "size": len(call.body), "by": call.principal.name}
    )


class Size(Answered):
    size: int


@operation(
    "POST", "/echo/checked", tag="test", role=Role.VIEWER, summary="Count it.", unaudited="a test"
)
async def count(call: Call[NoParameters, Numbers]) -> Size:
    return Size(size=len(call.body.more))


OPERATIONS = [echo, count, list_echoes, break_down, take_hook]


@pytest.fixture
async def test_api(serve: Serve) -> httpx.AsyncClient:
    return await serve(operations=OPERATIONS, api_body_limit=1024)


async def post(http: httpx.AsyncClient, raw: str | bytes, **headers: str) -> httpx.Response:
    sent = {"Content-Type": "application/json", **headers}
    return await http.post("/echo", content=raw, headers=sent)


async def test_a_body_is_read_exactly(test_api: httpx.AsyncClient) -> None:
    raw = '{"number": 9223372036854775807, "text": "Iğdır \\u2603", "more": [1.5, null, {"a": []}]}'

    reply = await post(test_api, raw)

    assert reply.status_code == 200
    said = reply.json()
    assert said["number"] == 2**63 - 1
    assert (said["text"], said["more"]) == ("Iğdır ☃", [1.5, None, {"a": []}])


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"nothing",
        b"\xff",
        b'"\\ud800"',
        b'{"text": "\\ud800"}',
        b'{"number": 1, "number": 2}',
        b'{"more": [{"a": 1, "a": 1}]}',
        b'{"more": [NaN]}',
        b'{"more": [-Infinity]}',
        b"[" * 900,
        b"\xef\xbb\xbf{}",
    ],
)
async def test_what_is_not_json_is_refused(test_api: httpx.AsyncClient, raw: bytes) -> None:
    reply = await post(test_api, raw)

    assert (reply.status_code, code_of(reply)) == (400, "malformed")


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ('{"number": "1"}', "number"),
        ('{"number": 1.5}', "number"),
        ('{"number": true}', "number"),
        ('{"numbers": 1}', "numbers"),
        ('{"text": "a\\u0000b"}', "text"),
        ('{"more": [0, {"a": "\\u0000"}]}', "more.1.a"),
        ('{"more": 5}', "more"),
        ("[]", "body"),
        ("null", "body"),
    ],
)
async def test_a_wrong_field_is_named_and_its_value_is_not(
    test_api: httpx.AsyncClient, raw: str, field: str
) -> None:
    reply = await post(test_api, raw)

    assert (reply.status_code, code_of(reply)) == (422, "invalid")
    assert list(reply.json()["error"]["fields"]) == [field]


async def test_numbers_that_readers_do_not_agree_on_are_refused(
    test_api: httpx.AsyncClient,
) -> None:
    for raw in (f'{{"more": [{2**64}]}}', '{"more": [1e999]}', '{"more": [-9223372036854775809]}'):
        assert code_of(await post(test_api, raw)) == "invalid"
    assert (await post(test_api, f'{{"more": [{2**64 - 1}]}}')).json()["more"] == [2**64 - 1]


async def test_a_secret_in_a_wrong_place_is_not_told(test_api: httpx.AsyncClient) -> None:
    reply = await post(test_api, '{"number": "s3cret", "text": "s3cret s3cret s3cret s3cret"}')

    assert sorted(reply.json()["error"]["fields"]) == ["number", "text"]
    assert "s3cret" not in reply.text


async def test_a_body_needs_its_type_and_may_be_left_out(test_api: httpx.AsyncClient) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx"):
        reply = await post(test_api, "{}", **{"Content-Type": kind, "X-Requested-With": "x"})
        assert (reply.status_code, code_of(reply)) == (415, "not_json")
    assert (await post(test_api, "{}", **{"Content-Type": "application/json; a=b"})).is_success
    assert (await test_api.post("/echo", headers={"X-Requested-With": "x"})).is_success


async def test_a_large_body_is_refused_told_or_not_how_large(test_api: httpx.AsyncClient) -> None:
    async def chunks() -> Any:
        for _ in range(30):
            yield b'{"text": "' + b" " * 100

    told = await post(test_api, b" " * 1025)
    untold = await test_api.post(
        "/echo", content=chunks(), headers={"Content-Type": "application/json"}
    )

    for reply in (told, untold):
        assert (reply.status_code, code_of(reply)) == (413, "too_large")
        assert "1024" in reply.json()["error"]["message"]


async def test_a_large_body_is_read_beside_the_event_loop(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of a megabyte of small things takes the better part of a second."""
    http = await serve(operations=OPERATIONS, api_body_limit=2**20)
    threads: list[threading.Thread] = []
    check = reading.check_json

    def noted(raw: bytes) -> None:
        threads.append(threading.current_thread())
        check(raw)

    monkeypatch.setattr(reading, "check_json", noted)
    sent = {"Content-Type": "application/json"}
    for things in (1, 300_000):
        raw = b'{"more": [' + b",".join([b"{}"] * things) + b"]}"
        reply = await http.post("/echo/checked", content=raw, headers=sent)
        assert reply.json() == {"size": things}

    assert [one is threading.main_thread() for one in threads] == [True, False]


async def test_so_is_one_that_came_with_its_head(test_api: httpx.AsyncClient) -> None:
    """In one packet, and without its length: there is nothing to wait for."""
    url = test_api.base_url
    for size, status in ((1000, b"200"), (1025, b"413")):
        body = b'{"text": "x"}'.ljust(size)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(
            b"POST /api/v1/echo HTTP/1.1\r\nHost: localhost\r\nX-Requested-With: x\r\n"
            b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"%x\r\n%b\r\n0\r\n\r\n" % (size, body)
        )
        async with asyncio.timeout(10):
            line = await reader.readline()
        writer.close()
        assert line.split()[1] == status


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=ten", "limit"),
        ("after=", "after"),
        ("is_loud=perhaps", "is_loud"),
        ("limits=3", "limits"),
        ("limit=1&limit=2", "limit"),
        ("name=x", "name"),
        ("after=%00", "after"),
    ],
)
async def test_a_wrong_parameter_is_named(
    test_api: httpx.AsyncClient, query: str, field: str
) -> None:
    reply = await test_api.get(f"/echoes/a?{query}")

    assert (reply.status_code, code_of(reply)) == (422, "invalid")
    assert list(reply.json()["error"]["fields"]) == [field]
    assert (await test_api.get("/echoes/a?limit=200&is_loud=true&after=x")).json() == {
        "items": [],
        "next": "x",
    }


@pytest.mark.parametrize("name", ["X-Request-ID", "X-Correlation-ID"])
async def test_a_requests_id_goes_through(test_api: httpx.AsyncClient, name: str) -> None:
    for given in ("abc-1.2_3", "a" * 64):
        reply = await post(test_api, "{}", **{name: given})
        assert reply.headers["X-Request-ID"] == reply.json()["correlation_id"] == given
    made = set()
    for bad in ("", "a" * 65, "a b", "a/b", "<script>"):
        reply = await post(test_api, "{}", **{name: bad})
        made.add(reply.headers["X-Request-ID"])
    assert len(made) == 5
    assert all(one.isalnum() for one in made)


async def test_a_defect_tells_its_id_and_nothing_else(test_api: httpx.AsyncClient) -> None:
    reply = await test_api.get("/broken", headers={"X-Request-ID": "r-1"})

    assert (reply.status_code, code_of(reply)) == (500, "internal_error")
    assert reply.json()["error"]["request_id"] == "r-1"
    assert "secret" not in reply.text


async def test_unknown_paths_and_methods_have_the_same_errors(test_api: httpx.AsyncClient) -> None:
    for path in ("", "/", "/nothing", "/echo/", "/echoes/a/b"):
        missing = await test_api.get(test_api.base_url.join(f"/api/v1{path}"))
        assert (missing.status_code, code_of(missing)) == (404, "not_found")
    for method, path, allow in (
        ("GET", "/echo", "POST"),
        ("TRACE", "/echo", "POST"),
        ("DELETE", "/echoes/a", "GET, HEAD"),
        ("OPTIONS", "/echoes/a", "GET, HEAD"),
        ("GET", str(test_api.base_url.join("/hooks/a")), "POST"),
    ):
        wrong = await test_api.request(method, path)
        assert (wrong.status_code, code_of(wrong)) == (405, "method_not_allowed")
        assert wrong.headers["Allow"] == allow
    assert (await test_api.head("/echoes/a")).status_code == 200


async def test_an_open_operation_takes_bytes_from_anybody(serve: Serve) -> None:
    http = await serve(operations=OPERATIONS, host="0.0.0.0")  # noqa: S104 - closed to others

    reply = await http.post(
        http.base_url.join("/hooks/mail"),
        content=b"\x00raw",
        headers={"Origin": "https://other.example", "Host": "jobs.example.com"},
    )

    assert reply.json() == {"source": "mail", "size": 4, "by": "anybody"}
    assert code_of(await http.post("/echo", headers={"X-Requested-With": "x"})) == "closed"


async def test_before_the_servers_are_there_it_says_so(serve: Serve) -> None:
    http = await serve(operations=OPERATIONS, is_ready=False, **CREDENTIALS)

    reply = await http.get("/echoes/a", headers=bearer(ADMIN_TOKEN))

    assert (reply.status_code, code_of(reply)) == (503, "starting")
    assert reply.headers["Retry-After"] == "2"
    assert (await http.get("/echoes/a")).status_code == 401


async def test_a_caller_who_leaves_in_the_middle_harms_nobody(test_api: httpx.AsyncClient) -> None:
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", test_api.base_url.port or 0)) as half:
            half.sendall(
                b"POST /api/v1/echo HTTP/1.1\r\nHost: localhost\r\nX-Requested-With: x\r\n"
                b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
            )
    await asyncio.sleep(0.1)

    assert (await post(test_api, "{}")).status_code == 200


def test_a_wrong_declaration_does_not_get_far() -> None:
    with pytest.raises(TypeError, match="has an action, or is unaudited"):
        operation("POST", "/x", tag="test", role=Role.ADMIN, summary="No action.")(echo.function)

    async def take_nothing() -> Echo:
        raise AssertionError

    with pytest.raises(TypeError, match="takes a Call"):
        operation("GET", "/x", tag="test", role=None, summary="No call.")(take_nothing)  # type: ignore[arg-type]  # on purpose
