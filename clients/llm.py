"""Language models: Anthropic's Messages API and OpenAI's Chat Completions, over plain HTTP."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal, Protocol

import httpx
from pydantic import BaseModel, ConfigDict, SecretStr, field_validator

from clients.errors import RequestRejectedError, ServiceError, ServiceUnavailableError
from clients.http import TRANSIENT, request

Provider = Literal["anthropic", "openai"]
_VERSION = "2023-06-01"  # of Anthropic's API
# Tokens for what a reasoning model thinks before it answers, which count with those of the answer.
_THOUGHTS = 2000
_CONFLICT, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _THROTTLED = 409, 401, 403, 404, 429
_OUT_OF_CREDIT = 402
_CODE = re.compile(r"[a-z][a-z0-9_.]{0,63}")


class LanguageModel(Protocol):
    """Continues a text."""

    @property
    def name(self) -> str:
        """Who offers it, and which it is, as logs show it."""
        ...

    async def complete(self, system: str, prompt: str, *, max_tokens: int) -> str:
        """Its whole answer, without blanks around it; asking twice is two answers.

        Raises RequestRejectedError when it refuses or does not get to an end, ThrottledError and
        ServiceUnavailableError when it cannot now, or takes too long.
        """
        ...


class ModelSettings(BaseModel):
    """How a model is reached. `url` is what the paths of its API follow; `timeout` in seconds, of
    the whole call.
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    provider: Provider
    api_key: SecretStr
    model: str
    url: str
    timeout: float = 20

    @field_validator("api_key")
    @classmethod
    def _fits_a_header(cls, key: SecretStr) -> SecretStr:
        """Without the line break that secret files end with; else its error would show the key."""
        text = key.get_secret_value().strip()
        if not re.fullmatch(r"[!-~]+", text):
            raise ValueError("has characters that no key has, or none")
        return SecretStr(text)


@dataclass(frozen=True, slots=True)
class Anthropic:
    """`POST /v1/messages`."""

    settings: ModelSettings
    _: KW_ONLY
    http: httpx.AsyncClient

    @property
    def name(self) -> str:
        return f"anthropic {self.settings.model}"

    async def complete(self, system: str, prompt: str, *, max_tokens: int) -> str:
        body = {
            "model": self.settings.model,
            "max_tokens": max_tokens,
            "system": system,
            "messages": [{"role": "user", "content": prompt}],
        }
        headers = {
            "x-api-key": self.settings.api_key.get_secret_value(),
            "anthropic-version": _VERSION,
        }
        answer = await _asked(self.http, self.settings, "v1/messages", body, headers)
        if answer.get("stop_reason") not in {"end_turn", "stop_sequence"}:
            raise _unfinished(self.name, answer.get("stop_reason"))
        # Kinds of blocks that are not known are no text.
        blocks = [one for one in _list(answer.get("content")) if one.get("type") == "text"]
        return "".join(_text(one.get("text"), self.name) for one in blocks).strip()


@dataclass(frozen=True, slots=True)
class OpenAi:
    """`POST /chat/completions`, which others offer too."""

    settings: ModelSettings
    _: KW_ONLY
    http: httpx.AsyncClient

    @property
    def name(self) -> str:
        return f"openai {self.settings.model}"

    async def complete(self, system: str, prompt: str, *, max_tokens: int) -> str:
        body = {
            "model": self.settings.model,
            "max_completion_tokens": max_tokens + _THOUGHTS,
            "messages": [
                {"role": "system", "content": system},
                {"role": "user", "content": prompt},
            ],
            "store": False,
        }
        headers = {"Authorization": f"Bearer {self.settings.api_key.get_secret_value()}"}
        answer = await _asked(self.http, self.settings, "chat/completions", body, headers)
        choice = next(iter(_list(answer.get("choices"))), {})
        message = choice.get("message")
        if not isinstance(message, dict):
            raise _unreadable(self.name)
        if message.get("refusal") or choice.get("finish_reason") != "stop":
            why = "refusal" if message.get("refusal") else choice.get("finish_reason")
            raise _unfinished(self.name, why)
        return _text(message.get("content"), self.name).strip()


def language_model(settings: ModelSettings, *, http: httpx.AsyncClient) -> LanguageModel:
    """The model that these settings name."""
    match settings.provider:
        case "anthropic":
            return Anthropic(settings, http=http)
        case "openai":
            return OpenAi(settings, http=http)


async def _asked(
    http: httpx.AsyncClient,
    settings: ModelSettings,
    path: str,
    body: Mapping[str, Any],
    headers: Mapping[str, str],
) -> dict[str, Any]:
    """One call, however slowly its answer comes. Its errors tell nothing of what was asked."""
    url = f"{settings.url.rstrip('/')}/{path}"
    try:
        async with asyncio.timeout(settings.timeout):
            reply = await request(
                http,
                "POST",
                url,
                explain=_reason,
                judge=_judged,
                transient=TRANSIENT | {_CONFLICT},
                json=body,
                headers=dict(headers),
                timeout=settings.timeout,
            )
        answer = reply.json()
    except TimeoutError:
        raise ServiceUnavailableError(
            f"{settings.provider}: no answer within {settings.timeout:g} s"
        ) from None
    except (ValueError, RecursionError, httpx.DecodingError):
        raise _unreadable(settings.provider) from None
    if not isinstance(answer, dict):
        raise _unreadable(settings.provider)
    return answer


def _judged(reply: httpx.Response) -> ServiceError | None:
    """What an operator has to see to: asking again is of no use."""
    advice = {
        _UNAUTHORIZED: "check its API key",
        _OUT_OF_CREDIT: "check the account's credits",
        _FORBIDDEN: "check what its API key may do",
        _NOT_FOUND: "check LLM_MODEL and LLM_URL",
    }.get(reply.status_code)
    if reply.status_code == _THROTTLED and "insufficient_quota" in _reason(reply):
        advice = "check the account's credits"
    if advice is None:
        return None
    return RequestRejectedError(f"the model answered {reply.status_code}: {advice}")


def _reason(reply: httpx.Response) -> str:
    """Kind and code of an error. Its sentence may quote what was asked."""
    try:
        error = reply.json()["error"]
        told = [error.get("type"), error.get("code")]
    except (ValueError, KeyError, TypeError, AttributeError):  # whoever stands before it: in HTML
        return ""
    return " ".join(one for one in told if isinstance(one, str) and _CODE.fullmatch(one))


def _unfinished(name: str, why: object) -> RequestRejectedError:
    said = why if isinstance(why, str) and _CODE.fullmatch(why) else "without a reason"
    return RequestRejectedError(f"{name}: it did not answer to the end ({said})")


def _unreadable(name: str) -> ServiceUnavailableError:
    return ServiceUnavailableError(f"{name}: what it answered is no answer")


def _list(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _text(value: object, name: str) -> str:
    """Raises ServiceUnavailableError."""
    if not isinstance(value, str):
        raise _unreadable(name)
    return value
