"""Anthropic's Messages API and OpenAI's Chat Completions as they are documented, on a real socket.

    python -m tests.clients.stand_ins.llm --port 8027

prints its URLs and keys as JSON; its control endpoint is described in `control.py`. It says what
`answers` has for a provider, one after the other, the last one for ever.
"""

import argparse
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

from tests.clients.stand_ins.control import (
    Fault,
    Faults,
    after_accepting,
    control_routes,
    serve_until_stopped,
    started,
)

ANTHROPIC_KEY, OPENAI_KEY = "sk-ant-of-the-stand-in", "sk-of-the-stand-in"
# What it knows; under other names there is nothing.
ANTHROPIC_MODELS = {"claude-haiku-4-5", "claude-sonnet-5-5"}
OPENAI_MODELS = {"gpt-6-luna", "gpt-example"}
_VERSIONS = {"2023-06-01", "2026-10-21"}
_SAMPLING = ("temperature", "top_p", "top_k")
_CACHED = 2048  # tokens of a prompt that it had seen before


@dataclass
class Answer:
    """What the model says, and how that ends.

    refused   it declines: a stop reason, or a `refusal` beside a content of null
    cut       the answer ends where its tokens do
    mangled   200, and no JSON
    empty     200, and JSON without what belongs into it
    no_quota  429 for good: the account has no money (OpenAI)
    """

    text: str = "Thank you for asking about us."
    ending: Literal["done", "refused", "cut", "mangled", "empty", "no_quota"] = "done"


@dataclass
class LlmServer:
    """`asked` are the bodies that it accepted, the oldest first, with the provider as `at`."""

    url: str = ""
    answers: list[Answer] = field(default_factory=lambda: [Answer()])
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    faults: Faults = field(default_factory=Faults)
    requests: int = 0

    @property
    def openai_url(self) -> str:
        return f"{self.url}/v1"

    def about(self) -> dict[str, str]:
        return {
            "url": self.url,
            "openai_url": self.openai_url,
            "anthropic_key": ANTHROPIC_KEY,
            "openai_key": OPENAI_KEY,
        }

    def tell(self, url: str | None) -> None:
        """Nobody is told of anything."""

    def accepted_as_json(self) -> list[dict[str, Any]]:
        return self.asked

    def _next(self) -> Answer:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    async def messages(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        fault, headers = self.faults.next(), {"request-id": f"req_{self.requests:024d}"}
        body = await _json(request)
        problem = _anthropic_fault(fault) or _anthropic_problem(request, body)
        if problem is not None:
            return _anthropic_error(*problem, headers)
        self._accept(request, body, "anthropic")
        if (lost := await after_accepting(request, fault)) is not None:
            return lost
        answer = self._next()
        if answer.ending == "mangled":
            return web.Response(text='{"id": "msg_01', content_type="application/json")
        if answer.ending == "empty":
            return web.json_response({"type": "message", "stop_reason": "end_turn"})
        return web.json_response(_message(body, answer, self.requests), headers=headers)

    async def completions(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        fault, headers = self.faults.next(), {"x-request-id": f"req_{self.requests:032x}"}
        body = await _json(request)
        problem = _openai_fault(fault) or _openai_problem(request, body)
        if problem is not None:
            return _openai_error(*problem, headers)
        self._accept(request, body, "openai")
        if (lost := await after_accepting(request, fault)) is not None:
            return lost
        answer = self._next()
        if answer.ending == "no_quota":
            return _openai_error(429, "insufficient_quota", "insufficient_quota", headers)
        if answer.ending == "mangled":
            return web.Response(text='{"id": "chatcmpl', content_type="application/json")
        if answer.ending == "empty":
            return web.json_response({"object": "chat.completion", "choices": []})
        return web.json_response(_completion(body, answer), headers=headers)

    def _accept(self, request: web.Request, body: dict[str, Any], at: str) -> None:
        self.asked.append({**body, "at": at})
        self.headers.append({name.lower(): value for name, value in request.headers.items()})


Problem = tuple[int, str, str]  # status, type, and OpenAI's code or Anthropic's sentence


async def _json(request: web.Request) -> dict[str, Any]:
    """Nothing for what is no object, which then lacks all fields."""
    try:
        body = await request.json()
    except json.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) else {}


def _anthropic_fault(fault: Fault | None) -> Problem | None:
    match fault:
        case Fault(kind="throttled" | "throttled_until"):
            return 429, "rate_limit_error", "This request would exceed your rate limit."
        case Fault(kind="broken", status=529):
            return 529, "overloaded_error", "Overloaded"
        case Fault(kind="broken"):
            return fault.status, "api_error", "Internal server error"
    return None


def _anthropic_problem(request: web.Request, body: dict[str, Any]) -> Problem | None:
    """x-api-key wins where both are given."""
    bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
    version = request.headers.get("anthropic-version")
    missing = [name for name in ("model", "max_tokens", "messages") if name not in body]
    sampled = [name for name in _SAMPLING if name in body]
    if request.headers.get("x-api-key", bearer) != ANTHROPIC_KEY:
        return 401, "authentication_error", "invalid x-api-key"
    if version not in _VERSIONS:
        return 400, "invalid_request_error", "anthropic-version: header is required"
    if missing:
        return 400, "invalid_request_error", f"{missing[0]}: Field required"
    if sampled and version == "2026-10-21":
        return 400, "invalid_request_error", f"{sampled[0]}: Extra inputs are not permitted"
    if body["model"] not in ANTHROPIC_MODELS:
        return 404, "not_found_error", f"model: {body['model']}"
    return None


def _anthropic_error(status: int, kind: str, message: str, headers: dict[str, str]) -> web.Response:
    body = {
        "type": "error",
        "error": {"type": kind, "message": message},
        "request_id": headers["request-id"],
    }
    if status == 429:
        headers = {**headers, "retry-after": "7", "anthropic-ratelimit-requests-remaining": "0"}
    return web.json_response(body, status=status, headers=headers)


def _message(body: dict[str, Any], answer: Answer, number: int) -> dict[str, Any]:
    text = answer.text
    content = [
        {"type": "thinking", "thinking": "Let me see.", "signature": "x"},
        {"type": "text", "text": text, "citations": None},
    ]
    made = {
        "id": f"msg_{number:024d}",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": content,
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            # Without what came from the cache.
            "input_tokens": len(json.dumps(body["messages"])) // 4,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": _CACHED,
            "output_tokens": len(text) // 4,
            "service_tier": "standard",
        },
        "a_field_of_tomorrow": {},
    }
    if answer.ending == "refused":
        return {
            **made,
            "content": [],
            "stop_reason": "refusal",
            "stop_details": {"type": "refusal"},
        }
    if answer.ending == "cut":
        return {**made, "stop_reason": "max_tokens"}
    return made


def _openai_fault(fault: Fault | None) -> Problem | None:
    match fault:
        case Fault(kind="throttled" | "throttled_until"):
            return 429, "requests", "rate_limit_exceeded"
        case Fault(kind="broken"):
            return fault.status, "server_error", "overloaded"
    return None


def _openai_problem(request: web.Request, body: dict[str, Any]) -> Problem | None:
    if request.headers.get("Authorization") != f"Bearer {OPENAI_KEY}":
        return 401, "invalid_request_error", "invalid_api_key"
    if not body.get("messages") or "model" not in body:
        return 400, "invalid_request_error", "missing_required_parameter"
    if "max_tokens" in body or any(name in body for name in _SAMPLING):
        return 400, "invalid_request_error", "unsupported_parameter"  # by reasoning models
    if body["model"] not in OPENAI_MODELS:
        return 404, "invalid_request_error", "model_not_found"
    return None


def _openai_error(status: int, kind: str, code: str, headers: dict[str, str]) -> web.Response:
    error = {"message": f"Error: {code}", "type": kind, "param": None, "code": code}
    if status == 429:
        headers = {
            **headers,
            "retry-after": "7",
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": "6m0s",
        }
    return web.json_response({"error": error}, status=status, headers=headers)


def _completion(body: dict[str, Any], answer: Answer) -> dict[str, Any]:
    text: str | None = answer.text
    finish, refusal = "stop", None
    if answer.ending == "refused":
        text, refusal = None, "I cannot help with that."
    if answer.ending == "cut":
        finish = "length"
    prompt, said = len(json.dumps(body["messages"])) // 4 + _CACHED, len(text or "") // 4
    return {
        "id": "chatcmpl-of-the-stand-in",
        "object": "chat.completion",
        "created": 1_795_000_000,
        "model": body["model"],
        "choices": [
            {
                "index": 0,
                "finish_reason": finish,
                "message": {"role": "assistant", "content": text, "refusal": refusal},
            }
        ],
        "usage": {
            # With what came from the cache.
            "prompt_tokens": prompt,
            "completion_tokens": said,
            "total_tokens": prompt + said,
            "prompt_tokens_details": {"cached_tokens": _CACHED, "cache_write_tokens": 0},
        },
        "a_field_of_tomorrow": {},
    }


@asynccontextmanager
async def llm_server(*, port: int = 0) -> AsyncIterator[LlmServer]:
    server = LlmServer()
    app = web.Application()
    app.router.add_post("/v1/messages", server.messages)
    app.router.add_post("/v1/chat/completions", server.completions)
    app.add_routes(control_routes(server))
    async with AsyncExitStack() as stack:
        server.url = await started(app, port, stack)
        yield server


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--answer", help="what it says")


@asynccontextmanager
async def _as_told(options: argparse.Namespace) -> AsyncIterator[LlmServer]:
    async with llm_server(port=options.port) as server:
        if options.answer:
            server.answers = [Answer(options.answer)]
        yield server


if __name__ == "__main__":
    serve_until_stopped(_as_told, _options)
