import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr, ValidationError
from typing_extensions import override

from clients.errors import (
    RequestRejectedError,
    ServiceError,
    ServiceUnavailableError,
    ThrottledError,
)
from clients.llm import LanguageModel, ModelSettings, Provider, language_model
from tests.clients.stand_ins.control import Fault
from tests.clients.stand_ins.llm import (
    ANTHROPIC_KEY,
    OPENAI_KEY,
    Answer,
    LlmServer,
    llm_server,
)

SYSTEM, PROMPT = "Say it in other words.", "a paragraph for Deniz Kaya"
KEYS: dict[Provider, str] = {"anthropic": ANTHROPIC_KEY, "openai": OPENAI_KEY}


@pytest.fixture
async def server() -> AsyncIterator[LlmServer]:
    async with llm_server() as server:
        yield server


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as http:
        yield http


@pytest.fixture(params=["anthropic", "openai"])
def provider(request: pytest.FixtureRequest) -> Provider:
    name: Provider = request.param
    return name


def settings_of(provider: Provider, server: LlmServer, **changes: Any) -> ModelSettings:
    models = {"anthropic": "claude-haiku-4-5", "openai": "gpt-6-luna"}
    urls = {"anthropic": f"{server.url}/", "openai": server.openai_url}
    known = {
        "provider": provider,
        "api_key": SecretStr(f"{KEYS[provider]}\n"),
        "model": models[provider],
        "url": urls[provider],
        "timeout": 5,
    }
    return ModelSettings(**{**known, **changes})


@pytest.fixture
def model(provider: Provider, server: LlmServer, http: httpx.AsyncClient) -> LanguageModel:
    return language_model(settings_of(provider, server), http=http)


async def refused(model: LanguageModel) -> ServiceError:
    with pytest.raises(ServiceError) as error:
        await model.complete(SYSTEM, PROMPT, max_tokens=100)
    for secret in (*KEYS.values(), PROMPT, "Deniz"):
        assert secret not in str(error.value)
    return error.value


async def test_it_says_what_the_model_says(server: LlmServer, model: LanguageModel) -> None:
    server.answers = [Answer("  İyi ki sordunuz.\n")]

    assert await model.complete(SYSTEM, PROMPT, max_tokens=100) == "İyi ki sordunuz."

    (asked,) = server.asked
    assert SYSTEM in json.dumps(asked)
    assert asked["messages"][-1] == {"role": "user", "content": PROMPT}


async def test_answers_are_bounded_in_tokens_and_not_kept(
    server: LlmServer, http: httpx.AsyncClient
) -> None:
    for provider in KEYS:
        model = language_model(settings_of(provider, server), http=http)
        await model.complete(SYSTEM, PROMPT, max_tokens=100)

    anthropic, openai = server.asked
    assert anthropic["max_tokens"] == 100
    assert openai["max_completion_tokens"] == 2100
    assert openai["store"] is False
    assert server.headers[0]["anthropic-version"] == "2023-06-01"


@pytest.mark.parametrize("ending", ["refused", "cut"])
async def test_what_is_no_whole_answer_is_none(
    server: LlmServer, model: LanguageModel, ending: Any
) -> None:
    server.answers = [Answer("Half of it, and th", ending)]

    assert isinstance(await refused(model), RequestRejectedError)


@pytest.mark.parametrize("ending", ["mangled", "empty"])
async def test_what_cannot_be_read_may_be_read_later(
    server: LlmServer, http: httpx.AsyncClient, provider: Provider, ending: Any
) -> None:
    server.answers = [Answer(ending=ending)]
    model = language_model(settings_of(provider, server), http=http)

    if provider == "anthropic" and ending == "empty":
        assert await model.complete(SYSTEM, PROMPT, max_tokens=100) == ""
    else:
        assert isinstance(await refused(model), ServiceUnavailableError)


async def test_who_asks_too_often_is_told_until_when(
    server: LlmServer, model: LanguageModel
) -> None:
    server.faults.fault = Fault("throttled")

    error = await refused(model)

    assert isinstance(error, ThrottledError)
    assert error.retry_after == timedelta(seconds=7)


@pytest.mark.parametrize("status", [500, 503, 529])
async def test_an_overloaded_one_may_answer_later(
    server: LlmServer, model: LanguageModel, status: int
) -> None:
    server.faults.fault = Fault("broken", status=status)

    error = await refused(model)

    assert isinstance(error, ServiceUnavailableError)
    assert not isinstance(error, ThrottledError)
    assert str(status) in str(error)


async def test_an_account_without_money_is_no_matter_of_time(
    server: LlmServer, http: httpx.AsyncClient
) -> None:
    server.answers = [Answer(ending="no_quota")]

    error = await refused(language_model(settings_of("openai", server), http=http))

    assert isinstance(error, RequestRejectedError)
    assert "check the account's credits" in str(error)


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"api_key": SecretStr("another")}, "401: check its API key"),
        ({"model": "nothing"}, "404: check LLM_MODEL and LLM_URL"),
    ],
)
async def test_a_wrong_setting_is_named(
    server: LlmServer,
    http: httpx.AsyncClient,
    provider: Provider,
    changes: dict[str, Any],
    advice: str,
) -> None:
    error = await refused(language_model(settings_of(provider, server, **changes), http=http))

    assert isinstance(error, RequestRejectedError)
    assert advice in str(error)


@pytest.mark.parametrize("kind", ["hangs", "drops"])
async def test_one_that_never_answers_is_not_waited_for(
    server: LlmServer, http: httpx.AsyncClient, provider: Provider, kind: Any
) -> None:
    server.faults.fault = Fault(kind)
    model = language_model(settings_of(provider, server, timeout=0.3), http=http)

    assert isinstance(await refused(model), ServiceUnavailableError)
    assert len(server.asked) == 1


async def test_nor_one_that_answers_drop_by_drop(provider: Provider) -> None:
    """No pause is long, but all of them together are."""

    class Slow(httpx.AsyncByteStream):
        @override
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                await asyncio.sleep(0.05)
                yield b" "

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=Slow())

    settings = ModelSettings(
        provider=provider,
        api_key=SecretStr("key"),
        model="any",
        url="http://127.0.0.1:9",
        timeout=0.3,
    )
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        assert "within 0.3 s" in str(await refused(language_model(settings, http=http)))


async def test_where_nobody_listens_there_is_no_model(
    http: httpx.AsyncClient, provider: Provider, server: LlmServer
) -> None:
    away = settings_of(provider, server, url="http://127.0.0.1:9")

    assert isinstance(await refused(language_model(away, http=http)), ServiceUnavailableError)


async def test_a_very_long_answer_is_told_as_it_is(server: LlmServer, model: LanguageModel) -> None:
    """Whoever asked looks at it."""
    server.answers = [Answer("word " * 200_000)]

    assert len(await model.complete(SYSTEM, PROMPT, max_tokens=100)) == 999_999


def test_a_name_says_which_it_is(model: LanguageModel, provider: Provider) -> None:
    assert model.name.startswith(provider)


def test_a_key_that_no_header_takes_is_not_shown(provider: Provider) -> None:
    with pytest.raises(ValidationError) as error:
        ModelSettings(
            provider=provider, api_key=SecretStr("kéy of mine"), model="m", url="http://x"
        )

    assert "kéy of mine" not in str(error.value)
