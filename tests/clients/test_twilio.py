from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pydantic import SecretStr, ValidationError

from clients.errors import (
    AccountRefusedError,
    DeliveryUnknownError,
    RecipientOptedOutError,
    RecipientUnreachableError,
    RequestRejectedError,
    ServiceError,
    ServiceUnavailableError,
    ThrottledError,
)
from clients.twilio import Twilio, TwilioSettings
from tests.clients.stand_ins.control import Fault
from tests.clients.stand_ins.twilio import (
    ACCOUNT_SID,
    AUTH_TOKEN,
    FROM,
    LOST_NUMBER,
    THROTTLED_NUMBER,
    TwilioServer,
    twilio_server,
)
from tests.clients.texts import MESSAGE_ID, SMS

SERVICE = "MG0000000000000000000000000000000b"
CALLBACK = "https://desk.example/api/webhooks/twilio"


@pytest.fixture
async def server() -> AsyncIterator[TwilioServer]:
    async with twilio_server() as server:
        yield server


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as http:
        yield http


@pytest.fixture
def settings(server: TwilioServer) -> TwilioSettings:
    return TwilioSettings(
        account_sid=ACCOUNT_SID,
        auth_token=SecretStr(f"{AUTH_TOKEN}\n"),
        sender=FROM,
        status_callback=CALLBACK,
        url=f"{server.url}/",
        timeout=0.5,
    )


@pytest.fixture
def twilio(settings: TwilioSettings, http: httpx.AsyncClient) -> Twilio:
    return Twilio(settings, http=http)


async def refused(twilio: Twilio, to: str = SMS.to) -> ServiceError:
    with pytest.raises(ServiceError) as error:
        await twilio.send(replace(SMS, to=to), message_id=MESSAGE_ID)
    assert AUTH_TOKEN not in str(error.value)
    assert to not in str(error.value)
    return error.value


async def test_a_callback_will_carry_the_message_id(server: TwilioServer, twilio: Twilio) -> None:
    sid = await twilio.send(SMS, message_id=MESSAGE_ID)

    (form,) = server.forms
    assert server.messages[0]["sid"] == sid
    assert form["StatusCallback"].startswith(f"{CALLBACK}?")
    assert parse_qs(urlsplit(form["StatusCallback"]).query) == {"message_id": [MESSAGE_ID]}
    assert urlsplit(form["StatusCallback"]).fragment == "rc=5&rp=all"
    assert form["ValidityPeriod"] == "14400"
    assert "MessagingServiceSid" not in form


async def test_without_a_public_url_nothing_is_called_back(
    server: TwilioServer, settings: TwilioSettings, http: httpx.AsyncClient
) -> None:
    quiet = Twilio(settings.model_copy(update={"status_callback": None}), http=http)

    await quiet.send(SMS, message_id=MESSAGE_ID)

    assert "StatusCallback" not in server.forms[0]


async def test_a_messaging_service_chooses_the_sender(
    server: TwilioServer, settings: TwilioSettings, http: httpx.AsyncClient
) -> None:
    twilio = Twilio(settings.model_copy(update={"messaging_service_sid": SERVICE}), http=http)
    since = datetime.now(UTC)

    sid = await twilio.send(SMS, message_id=MESSAGE_ID)

    assert server.forms[0]["MessagingServiceSid"] == SERVICE
    assert "From" not in server.forms[0]
    assert server.messages[0]["from"] is None
    assert await twilio.find(SMS, message_id=MESSAGE_ID, since=since) == sid


async def test_a_name_that_begins_like_a_service_is_a_name(
    server: TwilioServer, twilio: Twilio
) -> None:
    await twilio.send(replace(SMS, sender="MG Klinik"), message_id=MESSAGE_ID)

    assert server.forms[0]["From"] == "MG Klinik"


async def test_without_a_sender_the_settings_are_named(
    settings: TwilioSettings, http: httpx.AsyncClient
) -> None:
    nobody = Twilio(settings.model_copy(update={"sender": None}), http=http)

    error = await refused(nobody)

    assert type(error) is ServiceUnavailableError
    assert "set TWILIO_FROM or TWILIO_MESSAGING_SERVICE_SID" in str(error)


async def test_who_replied_stop_has_opted_out(server: TwilioServer, twilio: Twilio) -> None:
    server.opted_out.add((FROM, SMS.to))

    assert type(await refused(twilio)) is RecipientOptedOutError
    assert type(await refused(twilio, "+15005550004")) is RecipientOptedOutError


@pytest.mark.parametrize("to", ["+15005550001", "+15005550009"])
async def test_a_number_that_takes_no_sms_is_unreachable(twilio: Twilio, to: str) -> None:
    assert type(await refused(twilio, to)) is RecipientUnreachableError


async def test_a_wrong_token_names_its_setting(
    settings: TwilioSettings, http: httpx.AsyncClient
) -> None:
    wrong = {"auth_token": SecretStr("wrong-horse")}
    error = await refused(Twilio(settings.model_copy(update=wrong), http=http))

    assert type(error) is AccountRefusedError
    assert "TWILIO_AUTH_TOKEN" in str(error)
    assert "wrong-horse" not in str(error)


async def test_a_wrong_account_names_its_setting(
    settings: TwilioSettings, http: httpx.AsyncClient
) -> None:
    wrong = {"account_sid": ACCOUNT_SID.replace("a", "b")}

    error = await refused(Twilio(settings.model_copy(update=wrong), http=http))

    assert type(error) is AccountRefusedError
    assert "check TWILIO_ACCOUNT_SID" in str(error)


async def test_a_sender_that_cannot_send_names_its_setting(
    server: TwilioServer, twilio: Twilio
) -> None:
    server.own_numbers = {"+15005550099"}

    error = await refused(twilio)

    assert type(error) is ServiceUnavailableError
    assert "check TWILIO_FROM and the tenant's sms_from" in str(error)


async def test_too_many_requests_are_told_from_other_troubles(
    server: TwilioServer, twilio: Twilio
) -> None:
    assert type(await refused(twilio, THROTTLED_NUMBER)) is ThrottledError
    assert server.messages == []


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_server_error_leaves_it_open(
    server: TwilioServer, twilio: Twilio, status: int
) -> None:
    server.faults.fault = Fault("broken", status=status)

    assert type(await refused(twilio)) is DeliveryUnknownError
    server.faults.fault = None
    assert await twilio.find(SMS, message_id=MESSAGE_ID, since=datetime.now(UTC)) is None


@pytest.mark.parametrize("kind", ["hangs", "drops", "lost"])
async def test_a_lost_answer_leaves_it_open_and_the_sms_is_found(
    server: TwilioServer, twilio: Twilio, kind: str
) -> None:
    since = datetime.now(UTC)
    server.faults.fault = Fault(kind, times=1)  # type: ignore[arg-type]  # one of its kinds

    assert type(await refused(twilio)) is DeliveryUnknownError

    sid = server.messages[0]["sid"]
    assert await twilio.find(SMS, message_id=MESSAGE_ID, since=since) == sid


async def test_the_number_that_loses_every_answer_is_found_too(
    server: TwilioServer, twilio: Twilio
) -> None:
    assert type(await refused(twilio, LOST_NUMBER)) is DeliveryUnknownError

    sms = replace(SMS, to=LOST_NUMBER)
    assert await twilio.find(sms, message_id=MESSAGE_ID, since=datetime.now(UTC)) is not None


async def test_a_refusal_in_html_is_one_too(server: TwilioServer, twilio: Twilio) -> None:
    server.faults.fault = Fault("edge")

    assert type(await refused(twilio)) is RequestRejectedError


async def test_an_older_sms_of_the_same_words_is_not_this_one(
    server: TwilioServer, twilio: Twilio
) -> None:
    now = datetime.now(UTC)
    server.now = now - timedelta(minutes=10)
    await twilio.send(SMS, message_id=MESSAGE_ID)
    assert await twilio.find(SMS, message_id=MESSAGE_ID, since=now) is None

    server.now = now - timedelta(seconds=50)  # its clock may be slow
    sid = await twilio.send(SMS, message_id=MESSAGE_ID)
    assert await twilio.find(SMS, message_id=MESSAGE_ID, since=now) == sid


async def test_a_sender_of_a_trial_account_is_found_behind_its_words(
    server: TwilioServer, twilio: Twilio
) -> None:
    sid = await twilio.send(SMS, message_id=MESSAGE_ID)
    server.messages[0]["body"] = f"Sent from your Twilio trial account - {SMS.body}"

    assert await twilio.find(SMS, message_id=MESSAGE_ID, since=datetime.now(UTC)) == sid


async def test_an_sms_that_is_known_is_not_the_lost_one(
    server: TwilioServer, twilio: Twilio
) -> None:
    since = datetime.now(UTC)
    sid = await twilio.send(SMS, message_id=MESSAGE_ID)

    found = await twilio.find(SMS, message_id=MESSAGE_ID, since=since, known={sid})

    assert found is None


async def test_a_lost_sms_is_found_on_a_later_page(
    server: TwilioServer, twilio: Twilio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clients.twilio._PAGE", 2)
    sid = await twilio.send(SMS, message_id=MESSAGE_ID)
    for number in range(5):
        other = replace(SMS, body=f"message {number}")
        await twilio.send(other, message_id=MESSAGE_ID)

    assert await twilio.find(SMS, message_id=MESSAGE_ID, since=datetime.now(UTC)) == sid
    assert server.pages == 3


async def test_a_list_without_an_end_is_no_answer(
    server: TwilioServer, twilio: Twilio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clients.twilio._PAGE", 1)
    for number in range(12):
        other = replace(SMS, body=f"message {number}")
        await twilio.send(other, message_id=MESSAGE_ID)

    with pytest.raises(DeliveryUnknownError, match="more than 10 messages"):
        await twilio.find(SMS, message_id=MESSAGE_ID, since=datetime.now(UTC))

    assert server.pages == 10


@pytest.mark.parametrize("token", [" ", "ş", "two words"])
def test_a_token_that_is_none_is_refused_without_showing_it(token: str) -> None:
    with pytest.raises(ValidationError, match="TWILIO_AUTH_TOKEN") as error:
        TwilioSettings(account_sid=ACCOUNT_SID, auth_token=SecretStr(token))

    assert "two words" not in str(error.value)


async def test_what_was_accepted_for_a_number_is_listed_whatever_it_says(
    server: TwilioServer, twilio: Twilio
) -> None:
    now = datetime.now(UTC)
    sids = []
    for minutes, to in ((30, SMS.to), (20, SMS.to), (20, "+905320000000"), (19, SMS.to)):
        server.now = now - timedelta(minutes=minutes)
        sids.append(await twilio.send(replace(SMS, to=to), message_id=MESSAGE_ID))
    server.now = now - timedelta(minutes=18)
    sids.append(await twilio.send(SMS, message_id=MESSAGE_ID))
    server.messages[-1]["direction"] = "inbound"

    found = await twilio.accepted(
        SMS.to,
        message_id=MESSAGE_ID,
        since=now - timedelta(minutes=20),
        until=now - timedelta(minutes=15),
        known={sids[3]},
    )

    assert found == [sids[1]]
