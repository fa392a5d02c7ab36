import base64
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from aiohttp import web

from clients import webhook as module
from clients.errors import (
    DeliveryUnknownError,
    RequestRejectedError,
    ServiceUnavailableError,
    ThrottledError,
)
from clients.webhook import (
    Webhook,
    WebhookEvent,
    WebhookSettings,
    is_loopback,
    is_private,
    keys_of,
    signed,
)
from tests.clients.stand_ins.webhook_receiver import SECRET, Receiver, webhook_receiver
from tests.ports import free_port
from worker.clock import utc_now

AT = datetime(2026, 11, 30, 6, 30, tzinfo=UTC)
EVENT = WebhookEvent(type="notice.opened", at=AT, data={"notice_id": 7, "job": "fatura.kes ğ"})


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with webhook_receiver() as receiver:
        yield receiver


@pytest.fixture
async def webhook(receiver: Receiver) -> AsyncIterator[Webhook]:
    async with httpx.AsyncClient() as http:
        yield webhook_to(receiver.url, http)


def webhook_to(url: str, http: httpx.AsyncClient, **options: Any) -> Webhook:
    settings = WebhookSettings(url=url, keys=keys_of(SECRET), **options)
    return Webhook(http=http, settings=settings, clock=utc_now)


async def test_an_event_arrives_signed_and_whole(webhook: Webhook, receiver: Receiver) -> None:
    assert await webhook.send(EVENT, message_id="msg_1") == "msg_1"

    assert receiver.ids == ["msg_1"]
    assert receiver.events == [
        {"type": EVENT.type, "timestamp": "2026-11-30T06:30:00Z", "data": EVENT.data}
    ]
    assert receiver.requests[0]["Content-Type"] == "application/json"


def test_the_signature_is_the_one_of_the_specification() -> None:
    """From the examples of the reference libraries (standardwebhooks.com)."""
    keys = keys_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    at = datetime.fromtimestamp(1_614_265_330, UTC)

    headers = signed(keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, b'{"test": 2432232314}')

    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_while_keys_are_changed_receivers_with_either_take_it(
    webhook: Webhook, receiver: Receiver
) -> None:
    other = base64.b64encode(b"n" * 24).decode()
    both = replace(webhook.settings, keys=keys_of(f"{other}, {SECRET}"))

    await replace(webhook, settings=both).send(EVENT, message_id="msg_1")

    assert receiver.ids == ["msg_1"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (web.Response(status=500), ServiceUnavailableError),
        (web.Response(status=404), ServiceUnavailableError),
        (web.Response(status=302, headers={"Location": "/elsewhere"}), ServiceUnavailableError),
        (web.Response(status=429, headers={"Retry-After": "7"}), ThrottledError),
        (web.Response(status=410), RequestRejectedError),
    ],
    ids=lambda value: str(value.status) if isinstance(value, web.Response) else "",
)
async def test_what_is_no_success_is_tried_again_but_for_a_receiver_that_is_gone(
    webhook: Webhook, receiver: Receiver, answer: web.Response, expected: type[Exception]
) -> None:
    receiver.answers.append(answer)

    with pytest.raises(expected, match=f"answered {answer.status}") as told:
        await webhook.send(EVENT, message_id="msg_1")

    assert type(told.value) is expected
    assert "t0psecret" not in str(told.value)
    assert len(receiver.requests) == 1
    if isinstance(told.value, ThrottledError):
        assert told.value.retry_after == timedelta(seconds=7)


async def test_a_receiver_that_hangs_is_given_up(
    webhook: Webhook, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.2)
    receiver.hangs = True

    with pytest.raises(DeliveryUnknownError, match=r"webhook to 127\.0\.0\.1: no answer"):
        await webhook.send(EVENT, message_id="msg_1")


async def test_an_answer_without_an_end_is_not_read(receiver: Receiver) -> None:
    async def flood(request: web.Request) -> web.StreamResponse:
        reply = web.StreamResponse()
        await reply.prepare(request)
        while True:
            await reply.write(b"x" * 65536)

    runner = web.AppRunner(app := web.Application(), shutdown_timeout=0.1)
    app.router.add_post("/", flood)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with httpx.AsyncClient() as http:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        assert await webhook_to(url, http).send(EVENT, message_id="msg_1") == "msg_1"
    await runner.cleanup()


async def test_where_nobody_listens_it_is_tried_again() -> None:
    async with httpx.AsyncClient() as http:
        with pytest.raises(ServiceUnavailableError, match="no connection") as told:
            await webhook_to(f"http://127.0.0.1:{free_port()}/t0psecret", http).send(
                EVENT, message_id="msg_1"
            )

    assert "t0psecret" not in str(told.value)
    assert not isinstance(told.value, DeliveryUnknownError)


async def test_nothing_is_sent_into_a_private_network(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name of the open network that leads to this machine."""

    def resolve(*_: object, **__: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", receiver.port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    url = f"http://hooks.example.com:{receiver.port}/hooks/t0psecret"
    async with httpx.AsyncClient() as http:
        with pytest.raises(RequestRejectedError, match="ALERT_WEBHOOK_PRIVATE"):
            await webhook_to(url, http).send(EVENT, message_id="msg_1")
        assert receiver.requests == []

        await webhook_to(url, http, allows_private=True).send(EVENT, message_id="msg_1")

    assert receiver.ids == ["msg_1"]


@pytest.mark.parametrize(
    "host",
    ["10.1.2.3", "192.168.0.1", "169.254.169.254", "127.0.0.1", "::1", "fd00::1", "fe80::1%eth0",
     "::ffff:10.0.0.1", "100.64.0.1"],
)  # fmt: skip
def test_private_addresses_are_known(host: str) -> None:
    assert is_private(host)


def test_the_open_network_is_not_private() -> None:
    assert not any(map(is_private, ["93.184.216.34", "2606:4700::1111", "hooks.example.com"]))
    assert is_loopback("localhost")
    assert is_loopback("127.0.0.7")
    assert not is_loopback("hooks.example.com")


@pytest.mark.parametrize(
    "secret", ["hunter2", "whsec_", base64.b64encode(b"x" * 23).decode(), "whsec_" + "é" * 40]
)
def test_a_key_that_is_too_easy_is_refused_and_not_shown(secret: str) -> None:
    with pytest.raises(ValueError, match="openssl rand -base64 32") as told:
        keys_of(secret)

    assert secret not in str(told.value) or secret == "whsec_"


def test_the_place_tells_receivers_apart_and_no_secret(webhook: Webhook) -> None:
    other = replace(webhook, settings=replace(webhook.settings, url=webhook.settings.url + "2"))

    assert webhook.place.startswith("127.0.0.1#")
    assert webhook.place != other.place
    assert "t0psecret" not in webhook.place + repr(webhook)
