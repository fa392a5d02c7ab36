"""The stand-in refuses what Twilio refuses, and tells what Twilio tells."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import parse_qsl

import httpx
import pytest
from aiohttp import web

from tests.clients.stand_ins.twilio import (
    ACCOUNT_SID,
    AUTH_TOKEN,
    FROM,
    THROTTLED_NUMBER,
    TwilioServer,
    twilio_server,
)
from tests.clients.stand_ins.twilio_callbacks import SHARED_KEY, Algorithm, signature_of

MESSAGES = f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json"
FORM = {"To": "+15005550010", "From": FROM, "Body": "Pump 3 alarm"}
SAMPLES = Path(__file__).parents[4] / "shared" / "samples" / "twilio"


@pytest.fixture
async def server() -> AsyncIterator[TwilioServer]:
    async with twilio_server() as server:
        yield server


@pytest.fixture
async def http(server: TwilioServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, auth=(ACCOUNT_SID, AUTH_TOKEN)) as http:
        yield http


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"To": ""}, 21604),
        ({"From": ""}, 21603),
        ({"From": "+0"}, 21606),
        ({"From": "", "MessagingServiceSid": "MGx"}, 21705),
        ({"To": "05321234567"}, 21211),
        ({"To": "+15005550001"}, 21211),
        ({"To": "+15005550009"}, 21614),
        ({"To": "+15005550004"}, 21610),
        ({"Body": ""}, 21602),
        ({"Body": "x" * 1601}, 21617),
        ({"ValidityPeriod": "0"}, 21623),
        ({"StatusCallback": "https://our_desk.example/"}, 21609),
    ],
)
async def test_a_rule_that_is_broken_has_its_code(
    server: TwilioServer, http: httpx.AsyncClient, change: dict[str, str], code: int
) -> None:
    refused = await http.post(MESSAGES, data={**FORM, **change})

    told = refused.json()
    assert (refused.status_code, told["code"], told["status"]) == (400, code, 400)
    assert set(told) == {"code", "message", "more_info", "status"}
    assert server.messages == []


async def test_an_accepted_sms_looks_as_documented(http: httpx.AsyncClient) -> None:
    answered = await http.post(MESSAGES, data={**FORM, "Body": "ş" * 71})

    told = answered.json()
    assert answered.status_code == 201
    assert (told["num_segments"], told["num_media"], told["price"]) == ("2", "0", None)
    assert parsedate_to_datetime(told["date_created"]).tzinfo is not None
    one = await http.get(MESSAGES.replace(".json", f"/{told['sid']}.json"))
    assert one.json() == told
    assert (await http.get(MESSAGES.replace(".json", "/SMx.json"))).json()["code"] == 20404


@pytest.mark.skipif(not SAMPLES.exists(), reason="the samples are not on this machine")
async def test_it_has_the_fields_of_the_sample(http: httpx.AsyncClient) -> None:
    sample = json.loads((SAMPLES / "messages_create.json").read_text())

    told = (await http.post(MESSAGES, data=FORM)).json()

    assert set(told) == set(sample)


async def test_json_and_strangers_are_refused(
    server: TwilioServer, http: httpx.AsyncClient
) -> None:
    as_json = await http.post(MESSAGES, json=FORM)
    async with httpx.AsyncClient(base_url=server.url) as stranger:
        unknown = await stranger.post(MESSAGES, data=FORM, auth=(ACCOUNT_SID, "wrong"))
    throttled = await http.post(MESSAGES, data={**FORM, "To": THROTTLED_NUMBER})

    assert (as_json.status_code, as_json.json()["code"]) == (400, 21604)
    assert (unknown.status_code, unknown.json()["code"]) == (401, 20003)
    assert (throttled.status_code, throttled.json()["code"]) == (429, 20429)
    assert server.messages == []


async def test_a_list_is_followed_by_its_next_page_and_no_other(http: httpx.AsyncClient) -> None:
    for number in range(5):
        await http.post(MESSAGES, data={**FORM, "Body": str(number)})
    bodies: list[str] = []

    path: str | None = f"{MESSAGES}?To=%2B15005550010&PageSize=2"
    while path:
        page = (await http.get(path)).json()
        bodies += [message["body"] for message in page["messages"]]
        path = page["next_page_uri"]
        assert path is None or "PageToken=" in path
        await http.post(MESSAGES, data={**FORM, "Body": "meanwhile"})

    assert bodies == ["4", "3", "2", "1", "0"]
    assert (await http.get(f"{MESSAGES}?Page=1")).status_code == 400


async def test_stop_is_heard_until_start(server: TwilioServer, http: httpx.AsyncClient) -> None:
    server.callbacks.inbound_url = f"{server.url}/nowhere"
    server.callbacks.poster.wait = 0

    await server.receive(sender=FORM["To"], to=FROM, body="Stop ")
    refused = await http.post(MESSAGES, data=FORM)
    await server.receive(sender=FORM["To"], to=FROM, body="START")
    accepted = await http.post(MESSAGES, data=FORM)

    assert refused.json()["code"] == 21610
    assert accepted.status_code == 201


@pytest.mark.parametrize("algorithm", ["HMAC_SHA1", "HMAC_SHA256"])
async def test_callbacks_are_signed_doubled_and_out_of_order(
    server: TwilioServer, http: httpx.AsyncClient, algorithm: Algorithm
) -> None:
    taken: list[tuple[str, dict[str, str], web.BaseRequest]] = []

    async def take(request: web.Request) -> web.Response:
        form = dict(parse_qsl((await request.read()).decode(), keep_blank_values=True))
        taken.append((str(request.url), form, request))
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/status", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/status?message_id=m-1"
    callbacks = server.callbacks
    callbacks.is_telling = callbacks.is_disordered = True
    callbacks.copies, callbacks.algorithm = 2, algorithm

    await http.post(MESSAGES, data={**FORM, "To": "+15005553003", "StatusCallback": url})
    await callbacks.poster.idle()
    await runner.cleanup()

    key = AUTH_TOKEN if algorithm == "HMAC_SHA1" else SHARED_KEY
    for called, form, request in taken:
        expected = signature_of(called, list(form.items()), key=key, algorithm=algorithm)
        assert request.headers["X-Twilio-Signature"] == expected
        named = request.headers.get("X-Twilio-Webhooks-Signature-Settings", "HMAC_SHA1")
        assert named.endswith(algorithm)
    statuses = [form["MessageStatus"] for _, form, _ in taken]
    happened = ["queued", "sending", "sent", "undelivered"]
    assert sorted(statuses) == sorted(happened * 2)
    assert statuses != sorted(statuses, key=happened.index)
    assert {form.get("ErrorCode") for _, form, _ in taken} == {None, "30003"}


def test_a_signature_is_that_of_the_documentation() -> None:
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    form = {
        "Digits": "1234",
        "To": "+18005551212",
        "From": "+14158675309",
        "Caller": "+14158675309",
        "CallSid": "CA1234567890ABCDE",
    }

    signature = signature_of(f"{url}#rc=2", list(form.items()), key="12345")

    assert signature == "RSOYDt4T1cUTdK1PDd93/VVr8B8="


def test_it_runs_in_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "tests.clients.stand_ins.twilio"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        about = json.loads(process.stdout.readline())
        auth = (about["account_sid"], about["auth_token"])
        with httpx.Client(base_url=about["url"], auth=auth) as http:
            fault = {"kind": "lost", "status": 500, "times": 1}
            assert http.put("/__control/fault", json=fault).status_code == 204
            statuses = [http.post(MESSAGES, data=FORM).status_code for _ in range(2)]
            accepted = http.get("/__control/accepted").json()
        process.terminate()

    assert statuses == [500, 201]
    assert len(accepted) == 2
    assert process.returncode == 0
