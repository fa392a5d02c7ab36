"""Whoever asks, from wherever, for every operation there is: who gets in, and who does not."""

import asyncio
import itertools
import re
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.worker.sidecar.api.conftest import (
    ADMIN_TOKEN,
    CREDENTIALS,
    JWT_SECRET,
    Serve,
    basic,
    bearer,
    code_of,
    tenant_token,
    token,
)
from worker.sidecar.access.principal import Role
from worker.sidecar.api.openapi import description_of
from worker.sidecar.api.operation import Operation
from worker.sidecar.api.resources import all_operations

DECLARED = all_operations()
OPERATIONS = (*DECLARED, description_of(DECLARED))
PLACES: dict[str, dict[str, Any]] = {
    "loopback, nothing configured": {},
    "loopback, configured": CREDENTIALS,
    "remote, nothing configured": {"host": "0.0.0.0"},  # noqa: S104 - what the image sets
    "remote, configured": {"host": "0.0.0.0", **CREDENTIALS},  # noqa: S104 - as above
}
NOBODY: dict[str, dict[str, str]] = {
    "none": {"X-Requested-With": "test"},
    "wrong token": bearer("x" * 40),
    "wrong password": basic("ayse", "wrong"),
    "wrong name": basic("nobody"),
    "expired": bearer(token("admin", lasts=-60)),
    "endless": bearer(token("admin", exp=None)),
    "foreign": bearer(token("admin", secret="f" * 40)),
    "unsigned": bearer(token("admin", algorithm="none")),
    "signed otherwise": bearer(token("admin", algorithm="HS512")),
    "no role": bearer(token("")),
    "made-up role": bearer(token("root")),
    "tenant that is none": bearer(token("admin", tenant_id="*")),
    "tenant that is null": bearer(token("admin", tenant_id=None)),
    "role in other letters": bearer(token("adm\N{LATIN SMALL LETTER DOTLESS I}n")),
    "role in capitals": bearer(token("ADMIN")),
    "end as text": bearer(token("admin", exp="9999999999")),
    "end that never comes": bearer(token("admin", exp=10**400)),
    "end that is true": bearer(token("admin", exp=True)),
    "issued as text": bearer(token("admin", iat="1")),
    "begin as text": bearer(token("admin", nbf="1")),
    "unreadable": {"Authorization": "Basic %%%", "X-Requested-With": "test"},
}
SOMEBODY: dict[str, tuple[Role, bool, dict[str, str]]] = {
    "viewer": (Role.VIEWER, False, bearer(token("viewer"))),
    "operator": (Role.OPERATOR, False, basic("ayse")),
    "admin": (Role.ADMIN, False, bearer(ADMIN_TOKEN)),
    "admin by token": (Role.ADMIN, False, bearer(token("admin"))),
    "tenant's viewer": (Role.VIEWER, True, tenant_token(uuid4(), "viewer")),
    "tenant's admin": (Role.ADMIN, True, tenant_token(uuid4(), "admin")),
}
DENIALS = {"closed", "unauthorized", "forbidden", "tenant_bound", "wrong_host", "cross_site"}


def minutes() -> Any:
    """A clock by which nobody tries too often."""
    return itertools.count(step=60).__next__


async def denial(
    http: httpx.AsyncClient, operation: Operation, headers: dict[str, str]
) -> str | None:
    """With which code the gate turns this away; None: it let it in, whatever came then."""
    path = re.sub(r"{\w+}", "9", operation.path)
    url = http.base_url.join(path)
    async with http.stream(operation.method, url, headers=headers) as reply:
        if reply.is_success:
            return None
        await reply.aread()
    code = code_of(reply)
    assert reply.status_code != 500
    assert (code in DENIALS) == (reply.status_code in (401, 403, 421))
    return code if code in DENIALS else None


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("caller", NOBODY)
async def test_nobody_gets_in_but_on_this_machine_where_nothing_is_configured(
    serve: Serve, place: str, caller: str
) -> None:
    http = await serve(clock=minutes(), **PLACES[place])

    denials = {op.name: await denial(http, op, NOBODY[caller]) for op in OPERATIONS if op.role}

    expected = {
        "loopback, nothing configured": None,
        "loopback, configured": "unauthorized",
        "remote, nothing configured": "closed",
        "remote, configured": "unauthorized",
    }
    assert denials == dict.fromkeys(denials, expected[place])


@pytest.mark.parametrize("place", ["loopback, configured", "remote, configured"])
@pytest.mark.parametrize("caller", SOMEBODY)
async def test_somebody_may_do_what_their_role_says_and_no_more(
    serve: Serve, place: str, caller: str
) -> None:
    role, is_bound, headers = SOMEBODY[caller]
    http = await serve(clock=minutes(), **PLACES[place])

    for op in OPERATIONS:
        expected = None
        if op.role is not None and role < op.role:
            expected = "forbidden"
        elif op.role is not None and is_bound and not op.tenants:
            expected = "tenant_bound"
        assert (op.name, await denial(http, op, headers)) == (op.name, expected)


@pytest.mark.parametrize("caller", SOMEBODY)
async def test_a_credential_that_nothing_is_configured_for_opens_nothing(
    serve: Serve, caller: str
) -> None:
    http = await serve(host="0.0.0.0")  # noqa: S104 - what the image sets

    for op in OPERATIONS:
        if op.role is not None:
            assert await denial(http, op, SOMEBODY[caller][2]) == "closed"


async def test_health_and_metrics_are_open_where_the_api_is_closed(serve: Serve) -> None:
    http = await serve(host="0.0.0.0")  # noqa: S104 - what the image sets

    for path in ("/health/live", "/metrics"):
        reply = await http.get(http.base_url.join(path), headers={"Host": "anything.example"})
        assert reply.status_code == 200


async def test_what_is_read_only_changes_nothing_whoever_asks(serve: Serve) -> None:
    http = await serve(read_only=True, **CREDENTIALS)

    for op in OPERATIONS:
        path = re.sub(r"{\w+}", "9", op.path)
        async with http.stream(
            op.method, http.base_url.join(path), headers=bearer(ADMIN_TOKEN)
        ) as reply:
            await reply.aread() if not reply.is_success else None
            is_refused = not reply.is_success and code_of(reply) == "read_only"
        assert is_refused == op.is_change


async def test_a_page_of_another_site_changes_nothing(serve: Serve) -> None:
    """Whichever way its visitor is known to us; our own page, and programs, do."""
    own = {"Sec-Fetch-Site": "same-origin"}
    foreign: list[dict[str, str]] = [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1"},
    ]
    local, configured = await serve(), await serve(**CREDENTIALS)
    callers = [
        (local, {}),
        (configured, {"Authorization": basic("ayse")["Authorization"]}),
        (configured, bearer(ADMIN_TOKEN)),
    ]
    for http, who in callers:
        for what in foreign:
            for also in ({}, {"Content-Type": "application/json", "X-Requested-With": "x"}):
                refused = await http.post("/queues/email/resume", headers={**who, **what, **also})
                assert (refused.status_code, code_of(refused)) == (403, "cross_site")
        origin = {"Origin": str(http.base_url.copy_with(path="/")).rstrip("/")}
        for what in (own, origin, {"X-Requested-With": "curl"}):
            done = await http.post("/queues/email/resume", headers={**who, **what})
            assert done.status_code == 200
        assert (await http.get("/queues", headers={**who, **foreign[0]})).status_code == 200


async def test_what_the_browser_brings_by_itself_needs_word_of_its_origin(serve: Serve) -> None:
    """A form of a page in an old browser could send this; a token it could not."""
    local, configured = await serve(), await serve(**CREDENTIALS)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    password = {"Authorization": basic("ayse")["Authorization"]}

    for http, headers in ((local, {}), (local, form), (configured, password)):
        refused = await http.post("/queues/email/resume", headers=headers)
        assert code_of(refused) == "cross_site"
        assert "curl -H 'X-Requested-With: curl'" in refused.json()["error"]["message"]
    as_told = {"X-Requested-With": "curl"}
    assert (await local.post("/queues/email/resume", headers=as_told)).status_code == 200
    with_token = await configured.post("/queues/email/resume", headers=bearer(ADMIN_TOKEN))
    assert with_token.status_code == 200


async def test_no_answer_lets_another_sites_page_read_it(serve: Serve) -> None:
    http = await serve()

    asked = await http.get("/queues", headers={"Origin": "http://evil.example"})
    preflight = await http.options(
        "/queues/email/pause",
        headers={"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"},
    )

    assert preflight.status_code == 405
    for reply in (asked, preflight):
        assert not [name for name in reply.headers if name.startswith("access-control-")]
        assert reply.headers["Cross-Origin-Resource-Policy"] == "same-origin"


HOSTS: list[tuple[dict[str, Any], str, bool]] = [
    ({}, "localhost", True),
    ({}, "localhost:8500", True),
    ({}, "127.0.0.1:1", True),
    ({}, "[::1]:8500", True),
    ({}, "evil.example", False),
    ({}, "localhost.evil.example", False),
    ({}, "127.0.0.1.evil.example", False),
    ({}, "localhost@evil.example", False),
    ({}, "", False),
    ({"public_url": "https://jobs.example.com"}, "jobs.example.com", False),
    ({"public_url": "https://jobs.example.com", **CREDENTIALS}, "jobs.example.com", True),
    ({"public_url": "https://jobs.example.com", **CREDENTIALS}, "JOBS.example.com.", True),
    ({"host": "worker-1", **CREDENTIALS}, "worker-1:8500", True),
    ({"admin_allowed_hosts": "worker,*.internal", **CREDENTIALS}, "worker", True),
    ({"admin_allowed_hosts": "worker,*.internal", **CREDENTIALS}, "a.internal", True),
    ({"admin_allowed_hosts": "worker,*.internal", **CREDENTIALS}, "internal", False),
    ({"admin_allowed_hosts": "worker,*.internal", **CREDENTIALS}, "evilinternal", False),
    (CREDENTIALS, "10.0.0.7:8500", True),
]


@pytest.mark.parametrize(("settings", "host", "is_ours"), HOSTS)
async def test_only_our_own_names_are_answered(
    serve: Serve, settings: dict[str, Any], host: str, *, is_ours: bool
) -> None:
    """Whoever leads a browser here by another name (DNS rebinding) reads nothing."""
    http = await serve(**settings)

    reply = await http.get("/queues", headers={"Host": host, **bearer(ADMIN_TOKEN)})

    assert reply.status_code == (200 if is_ours else 421)
    assert is_ours or code_of(reply) == "wrong_host"


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
async def test_a_proxy_on_this_machine_lets_nobody_in_unasked(serve: Serve, name: str) -> None:
    local, configured = await serve(), await serve(**CREDENTIALS)

    refused = await local.get("/queues", headers={name: "203.0.113.7"})
    known = await configured.get("/queues", headers={name: "1.2.3.4", **bearer(ADMIN_TOKEN)})

    assert (refused.status_code, code_of(refused)) == (403, "closed")
    assert known.status_code == 200


async def test_whoever_guesses_waits_and_keeps_out_nobody_else(serve: Serve) -> None:
    http = await serve(**CREDENTIALS)
    assert (await http.get("/queues", headers=basic("ayse"))).status_code == 200

    guesses = [await http.get("/queues", headers=basic("root", f"{n}")) for n in range(8)]

    assert [guess.status_code for guess in guesses] == [401] * 5 + [429] * 3
    assert 1 <= int(guesses[-1].headers["Retry-After"]) <= 60
    for headers in (basic("ayse"), bearer(ADMIN_TOKEN), bearer(token("viewer"))):
        assert (await http.get("/queues", headers=headers)).status_code == 200
    # Who has been here before is not kept out by others at the same address.
    assert (await http.get("/queues", headers=basic("ayse", "mistyped"))).status_code == 401


async def test_guesses_at_once_are_no_more_than_guesses_one_by_one(serve: Serve) -> None:

    http = await serve(**CREDENTIALS)

    guesses = await asyncio.gather(
        *(http.get("/queues", headers=basic("ayse", f"{n}")) for n in range(20))
    )

    assert sorted({guess.status_code for guess in guesses}) == [401, 429]
    assert sum(guess.status_code == 401 for guess in guesses) <= 5


async def test_changes_have_a_pace_for_each_caller(serve: Serve) -> None:
    http = await serve(api_rate=0.2, **CREDENTIALS)

    replies = [
        await http.post("/queues/email/resume", headers=bearer(ADMIN_TOKEN)) for _ in range(3)
    ]

    assert [reply.status_code for reply in replies] == [200, 200, 429]
    assert "Retry-After" in replies[-1].headers
    assert (await http.get("/queues", headers=bearer(ADMIN_TOKEN))).status_code == 200
    other = await http.post("/queues/email/resume", headers=basic("ayse"))
    assert other.status_code == 200


async def test_a_secret_is_in_no_answer(serve: Serve) -> None:
    http = await serve(clock=minutes(), **CREDENTIALS)

    for headers in (*NOBODY.values(), bearer(ADMIN_TOKEN)):
        reply = await http.get("/queues?limit=1", headers=headers)
        assert reply.status_code in (401, 422)
        for secret in (ADMIN_TOKEN, JWT_SECRET, "scrypt", "x" * 40):
            assert secret not in reply.text
