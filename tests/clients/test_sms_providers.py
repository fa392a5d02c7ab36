"""What every way to send SMS has to do, whichever it is."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from clients.errors import ServiceUnavailableError
from clients.sms import SmsProvider
from clients.sms_file import SmsFile
from clients.twilio import Twilio, TwilioSettings
from tests.clients.stand_ins.twilio import ACCOUNT_SID, AUTH_TOKEN, FROM, twilio_server
from tests.clients.texts import MESSAGE_ID, NOW, SMS

LATER = MESSAGE_ID.replace("0", "f")


@dataclass(frozen=True)
class Arrived:
    to: str
    sender: str
    body: str


@dataclass(frozen=True)
class Route:
    """A provider, what arrived through it, and the same provider where it cannot be reached."""

    provider: SmsProvider
    arrived: Callable[[], list[Arrived]]
    unreachable: SmsProvider


@pytest.fixture(params=["file", "twilio"])
async def route(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Route]:
    async with AsyncExitStack() as stack:
        make = {"file": file_route, "twilio": twilio_route}[request.param]
        yield await make(stack, tmp_path)


async def file_route(stack: AsyncExitStack, path: Path) -> Route:
    def arrived() -> list[Arrived]:
        texts = [json.loads(file.read_text()) for file in sorted((path / "sms").glob("*.json"))]
        return [Arrived(text["to"], text["from"], text["body"]) for text in texts]

    (path / "occupied").write_text("a file where the directory should be")
    return Route(
        SmsFile(path / "sms", clock=lambda: NOW, sender=FROM),
        arrived,
        SmsFile(path / "occupied", clock=lambda: NOW),
    )


async def twilio_route(stack: AsyncExitStack, path: Path) -> Route:
    server = await stack.enter_async_context(twilio_server())
    http = await stack.enter_async_context(httpx.AsyncClient())
    settings = TwilioSettings(
        account_sid=ACCOUNT_SID, auth_token=SecretStr(AUTH_TOKEN), sender=FROM, url=server.url
    )
    return Route(
        Twilio(settings, http=http),
        lambda: [Arrived(one["to"], one["from"], one["body"]) for one in server.messages],
        Twilio(settings.model_copy(update={"url": "http://127.0.0.1:1"}), http=http),
    )


async def test_an_sms_arrives_as_it_is(route: Route) -> None:
    assert await route.provider.send(SMS, message_id=MESSAGE_ID)

    assert route.arrived() == [Arrived(SMS.to, FROM, SMS.body)]


async def test_a_sender_of_its_own_is_used(route: Route) -> None:
    await route.provider.send(replace(SMS, sender="+15005550007"), message_id=MESSAGE_ID)

    assert [one.sender for one in route.arrived()] == ["+15005550007"]


async def test_nothing_has_left_when_the_last_moment_goes_wrong(route: Route) -> None:
    async def lost_lease() -> None:
        assert route.arrived() == []
        raise ServiceUnavailableError("not ours any more")

    with pytest.raises(ServiceUnavailableError, match="not ours"):
        await route.provider.send(SMS, message_id=MESSAGE_ID, before=lost_lease)

    assert route.arrived() == []
    assert await route.provider.find(SMS, message_id=MESSAGE_ID, since=NOW) is None


async def test_what_was_sent_is_found(route: Route) -> None:
    since = datetime.now(UTC)
    provider_id = await route.provider.send(SMS, message_id=MESSAGE_ID)

    found = await route.provider.find(SMS, message_id=MESSAGE_ID, since=since)

    assert found == provider_id


async def test_another_sms_is_not_taken_for_it(route: Route) -> None:
    since = datetime.now(UTC) - timedelta(seconds=5)
    other = replace(SMS, body="Başka bir mesaj")
    await route.provider.send(other, message_id=LATER)

    assert await route.provider.find(SMS, message_id=MESSAGE_ID, since=since) is None


async def test_a_service_that_is_away_may_be_back_later(route: Route) -> None:
    with pytest.raises(ServiceUnavailableError) as error:
        await route.unreachable.send(SMS, message_id=MESSAGE_ID)

    assert type(error.value) is ServiceUnavailableError
    assert "532" not in str(error.value)


async def test_a_repeated_sms_has_a_second_effect_only_where_it_says_so(route: Route) -> None:
    for _ in range(2):
        await route.provider.send(SMS, message_id=MESSAGE_ID)

    assert len(route.arrived()) == (1 if route.provider.is_repeatable else 2)
    await route.provider.aclose()
