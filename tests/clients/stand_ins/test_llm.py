"""The stand-in does what the documentation of both services says."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.clients.stand_ins.control import Fault
from tests.clients.stand_ins.llm import (
    ANTHROPIC_KEY,
    OPENAI_KEY,
    Answer,
    LlmServer,
    llm_server,
)

ASKED = {
    "model": "claude-haiku-4-5",
    "max_tokens": 10,
    "messages": [{"role": "user", "content": "Hello"}],
}
VERSION = {"anthropic-version": "2023-06-01"}
CHAT = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture
async def server() -> AsyncIterator[LlmServer]:
    async with llm_server() as server:
        yield server


async def messages(
    server: LlmServer, body: dict[str, Any], headers: dict[str, str]
) -> httpx.Response:
    async with httpx.AsyncClient() as http:
        return await http.post(f"{server.url}/v1/messages", json=body, headers=headers)


async def chat(server: LlmServer, body: dict[str, Any], key: str = OPENAI_KEY) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient() as http:
        url = f"{server.openai_url}/chat/completions"
        return await http.post(url, json=body, headers=headers)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"x-api-key": ANTHROPIC_KEY}, 200),
        ({"Authorization": f"Bearer {ANTHROPIC_KEY}"}, 200),
        ({"x-api-key": "wrong", "Authorization": f"Bearer {ANTHROPIC_KEY}"}, 401),
        ({}, 401),
    ],
)
async def test_either_header_signs_in_at_anthropic(
    server: LlmServer, headers: dict[str, str], status: int
) -> None:
    reply = await messages(server, ASKED, {**VERSION, **headers})

    assert reply.status_code == status
    assert reply.headers["request-id"].startswith("req_")


@pytest.mark.parametrize(
    ("version", "changes", "status"),
    [
        ("2023-06-01", {"temperature": 1}, 200),
        ("2026-10-21", {"temperature": 1}, 400),
        ("2026-10-21", {}, 200),
        ("2020-01-01", {}, 400),
        ("2023-06-01", {"model": "nothing"}, 404),
    ],
)
async def test_what_a_version_of_anthropic_refuses(
    server: LlmServer, version: str, changes: dict[str, Any], status: int
) -> None:
    headers = {"x-api-key": ANTHROPIC_KEY, "anthropic-version": version}

    reply = await messages(server, {**ASKED, **changes}, headers)

    assert reply.status_code == status
    assert (reply.json()["type"] == "error") == (status != 200)


@pytest.mark.parametrize("missing", ["model", "max_tokens", "messages"])
async def test_anthropic_demands_its_fields(server: LlmServer, missing: str) -> None:
    body = {name: value for name, value in ASKED.items() if name != missing}

    reply = await messages(server, body, {"x-api-key": ANTHROPIC_KEY, **VERSION})

    assert reply.status_code == 400
    assert missing in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "key", "status"),
    [
        (CHAT, OPENAI_KEY, 200),
        ({**CHAT, "max_completion_tokens": 5}, OPENAI_KEY, 200),
        ({**CHAT, "max_tokens": 5}, OPENAI_KEY, 400),
        ({**CHAT, "temperature": 1}, OPENAI_KEY, 400),
        ({**CHAT, "model": "nothing"}, OPENAI_KEY, 404),
        ({"model": "gpt-6-luna"}, OPENAI_KEY, 400),
        (CHAT, "wrong", 401),
    ],
)
async def test_what_a_reasoning_model_of_openai_refuses(
    server: LlmServer, body: dict[str, Any], key: str, status: int
) -> None:
    assert (await chat(server, body, key)).status_code == status


async def test_each_counts_what_was_cached_its_own_way(server: LlmServer) -> None:
    headers = {"x-api-key": ANTHROPIC_KEY, **VERSION}
    anthropic = (await messages(server, ASKED, headers)).json()["usage"]
    openai = (await chat(server, CHAT)).json()["usage"]

    assert anthropic["input_tokens"] < anthropic["cache_read_input_tokens"]
    assert openai["prompt_tokens"] > openai["prompt_tokens_details"]["cached_tokens"]


async def test_whoever_asks_too_often_is_told_when_to_come_back(server: LlmServer) -> None:
    server.faults.fault = Fault("throttled")

    anthropic = await messages(server, ASKED, {"x-api-key": ANTHROPIC_KEY, **VERSION})
    openai = await chat(server, CHAT)

    assert [one.status_code for one in (anthropic, openai)] == [429, 429]
    assert anthropic.json()["error"]["type"] == "rate_limit_error"
    assert openai.json()["error"]["code"] == "rate_limit_exceeded"
    assert [one.headers["retry-after"] for one in (anthropic, openai)] == ["7", "7"]


async def test_answers_come_in_their_order_and_the_last_stays(server: LlmServer) -> None:
    server.answers = [Answer("one"), Answer("two")]

    said = [(await chat(server, CHAT)).json()["choices"][0]["message"] for _ in range(3)]

    assert [message["content"] for message in said] == ["one", "two", "two"]
