"""The stand-in refuses what SendGrid refuses, and tells what SendGrid tells."""

import json
import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from aiohttp import web
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.clients.stand_ins.sendgrid import API_KEY, SendGridServer, sendgrid_server
from tests.clients.stand_ins.sendgrid_events import SIGNATURE, TIMESTAMP

KEY = {"Authorization": f"Bearer {API_KEY}"}
BODY: dict[str, Any] = {
    "personalizations": [{"to": [{"email": "pat@customer.example"}]}],
    "from": {"email": "alerts@ours.example"},
    "subject": "Invoice 7",
    "content": [{"type": "text/plain", "value": "Hello"}],
}


@pytest.fixture
async def server() -> AsyncIterator[SendGridServer]:
    async with sendgrid_server() as server:
        yield server


@pytest.fixture
async def http(server: SendGridServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, headers=KEY) as http:
        yield http


def person(**parts: Any) -> dict[str, Any]:
    return {"personalizations": [{"to": [{"email": "pat@customer.example"}], **parts}]}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"personalizations": []}, "personalizations"),
        ({"personalizations": [{}]}, "personalizations.0.to"),
        ({"personalizations": [{"to": [{"email": "pat"}]}]}, "personalizations.0.to.0.email"),
        (person(cc=[{"email": "PAT@customer.example"}]), "personalizations.0"),
        (person(bcc=[{"email": f"p{n}@c.example"} for n in range(1000)]), "personalizations"),
        (person(custom_args={"n": 1}), "personalizations.0.custom_args"),
        ({"custom_args": {"n": "x" * 10_000}}, "custom_args"),
        ({"from": {"email": "nobody"}}, "from.email"),
        ({"reply_to": {"email": "a@b.example"}, "reply_to_list": []}, "reply_to"),
        ({"subject": ""}, "subject"),
        ({"content": []}, "content"),
        ({"content": [{"type": "text/plain", "value": ""}]}, "content"),
        ({"content": [{"type": kind, "value": "x"} for kind in ("text/html", "text/plain")]},
         "content"),
        ({"attachments": [{"content": "no base64!", "filename": "a"}]}, "attachments.0.content"),
        ({"attachments": [{"content": "YQ==\n", "filename": "a"}]}, "attachments.0.content"),
        ({"attachments": [{"content": "YQ=="}]}, "attachments.0.filename"),
        ({"attachments": [{"content": "YQ==", "filename": "a", "disposition": "inline"}]},
         "attachments.0.content_id"),
        ({"headers": {"Reply-To": "x"}}, "headers"),
        ({"categories": [str(n) for n in range(11)]}, "categories"),
        ({"categories": ["a", "a"]}, "categories"),
        ({"categories": ["a" * 256]}, "categories"),
        ({"send_at": int(time.time()) + 73 * 3600}, "send_at"),
        ({"batch_id": "unknown"}, "batch_id"),
        ({"asm": {"group_id": "7"}}, "asm"),
        ({"ip_pool_name": "x"}, "ip_pool_name"),
    ],
)  # fmt: skip
async def test_a_rule_that_is_broken_names_its_field(
    server: SendGridServer, http: httpx.AsyncClient, change: dict[str, Any], field: str
) -> None:
    refused = await http.post("/v3/mail/send", json={**BODY, **change})

    assert refused.status_code == 400
    errors = refused.json()["errors"]
    assert [error["field"] for error in errors] == [field]
    assert all(set(error) == {"message", "field", "help"} for error in errors)
    assert server.accepted == []


async def test_an_accepted_mail_has_an_empty_answer(http: httpx.AsyncClient) -> None:
    answered = await http.post("/v3/mail/send", json=BODY)

    assert (answered.status_code, answered.content) == (202, b"")
    assert answered.headers["X-Message-Id"] == "sg-1"


async def test_the_sandbox_validates_and_sends_nothing(
    server: SendGridServer, http: httpx.AsyncClient
) -> None:
    sandbox = {"mail_settings": {"sandbox_mode": {"enable": True}}}

    answered = await http.post("/v3/mail/send", json={**BODY, **sandbox})

    assert answered.status_code == 200
    assert (len(server.accepted), len(server.validated)) == (0, 1)


@pytest.mark.parametrize(
    ("headers", "content", "status"),
    [
        ({"Authorization": "Bearer wrong"}, b"{}", 401),
        ({**KEY, "Content-Type": "text/plain"}, b"{}", 415),
        ({**KEY, "Content-Type": "application/json"}, b"{", 400),
        ({**KEY, "Content-Type": "application/json"}, b" " * (30 * 1024 * 1024 + 1), 413),
    ],
)
async def test_a_request_is_looked_at_before_its_body(
    server: SendGridServer, headers: dict[str, str], content: bytes, status: int
) -> None:
    async with httpx.AsyncClient() as http:
        url = f"{server.url}/v3/mail/send"
        refused = await http.post(url, content=content, headers=headers)

    assert refused.status_code == status
    is_html = refused.headers["Content-Type"].startswith("text/html")
    assert is_html == (status == 413)


async def test_a_batch_can_be_paused_cancelled_and_let_go(http: httpx.AsyncClient) -> None:
    batch = (await http.post("/v3/mail/batch")).json()
    sends = "/v3/user/scheduled_sends"

    assert (await http.get(f"/v3/mail/batch/{batch['batch_id']}")).json() == batch
    assert (await http.get("/v3/mail/batch/other")).status_code == 400
    assert (await http.post("/v3/mail/send", json={**BODY, **batch})).status_code == 202
    assert (await http.post(sends, json={**batch, "status": "pause"})).status_code == 201
    assert (await http.post(sends, json={**batch, "status": "stop"})).status_code == 400
    one = f"{sends}/{batch['batch_id']}"
    assert (await http.patch(one, json={"status": "cancel"})).status_code == 204
    assert (await http.delete(one)).status_code == 204
    assert (await http.delete(one)).status_code == 404


async def test_events_are_signed_repeated_doubled_and_out_of_order(
    server: SendGridServer, http: httpx.AsyncClient
) -> None:
    posted: list[tuple[bytes, str, str]] = []

    async def take(request: web.Request) -> web.Response:
        posted.append(
            (await request.read(), request.headers[SIGNATURE], request.headers[TIMESTAMP])
        )
        return web.Response(status=500 if len(posted) == 1 else 204)

    app = web.Application()
    app.router.add_post("/events", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.events.url = f"http://127.0.0.1:{runner.addresses[0][1]}/events"
    server.events.copies, server.events.is_disordered = 2, True
    arguments = {"custom_args": {"message_id": "<m@ours.example>"}, "categories": ["invoice"]}
    mail = {**BODY, **arguments, **person()}
    mail["personalizations"][0]["to"][0]["email"] = "spam@customer.example"

    await http.post("/v3/mail/send", json=mail)
    await server.events.poster.idle()
    await runner.cleanup()

    key = serialization.load_der_public_key(b64decode(server.events.public_key))
    assert isinstance(key, ec.EllipticCurvePublicKey)
    events = []
    for body, signature, stamp in posted:
        assert body.endswith(b"\r\n")
        signed = b64decode(signature)
        key.verify(signed, stamp.encode() + body, ec.ECDSA(hashes.SHA256()))
        events += json.loads(body)
    assert posted[0] == posted[1]  # refused, and so posted again
    kinds = [event["event"] for event in events[1:]]
    assert sorted(kinds) == sorted(["processed", "delivered", "spamreport"] * 2)
    assert kinds != sorted(kinds, key=["processed", "delivered", "spamreport"].index)
    assert {event["message_id"] for event in events} == {"<m@ours.example>"}
    assert {type(event["category"]) for event in events} == {str, list}
    assert len({event["sg_event_id"] for event in events}) == 3


def test_it_runs_in_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "tests.clients.stand_ins.sendgrid"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        about = json.loads(process.stdout.readline())
        with httpx.Client(base_url=about["url"], headers=KEY) as http:
            fault = {"kind": "broken", "status": 502, "times": 1}
            assert http.put("/__control/fault", json=fault).status_code == 204
            statuses = [http.post("/v3/mail/send", json=BODY).status_code for _ in range(2)]
            accepted = http.get("/__control/accepted").json()
        process.terminate()

    assert statuses == [502, 202]
    assert [mail["subject"] for mail in accepted] == ["Invoice 7"]
    assert about["public_key"]
    assert process.returncode == 0
