"""Settings of the language model, which may be left out."""

import re
from typing import Final, Literal

from pydantic import AnyHttpUrl, BaseModel, Field, SecretStr, field_validator

from clients.llm import ModelSettings, Provider

_MODELS: Final[dict[Provider, str]] = {"anthropic": "claude-haiku-4-5", "openai": "gpt-6-luna"}
_URLS: Final[dict[Provider, str]] = {
    "anthropic": "https://api.anthropic.com",
    "openai": "https://api.openai.com/v1",
}


class LlmSettings(BaseModel):
    """Without a key nothing is asked of anybody."""

    llm_provider: Literal["none", "anthropic", "openai"] | None = Field(
        None,
        description="Who says the openings of sequences' mails in other words."
        " Default: anthropic with ANTHROPIC_API_KEY, else openai with OPENAI_API_KEY, else none.",
    )
    anthropic_api_key: SecretStr | None = Field(None, description="With LLM_PROVIDER=anthropic.")
    openai_api_key: SecretStr | None = Field(None, description="With LLM_PROVIDER=openai.")
    llm_model: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description=f"Default: {_MODELS['anthropic']} of anthropic, {_MODELS['openai']} of openai.",
    )
    llm_url: AnyHttpUrl | None = Field(
        None,
        description=f"Default: {_URLS['anthropic']} or {_URLS['openai']}.",
    )

    @field_validator("anthropic_api_key", "openai_api_key")
    @classmethod
    def _is_llm_key(cls, value: SecretStr | None) -> SecretStr | None:
        """Secret files end with a line break, which is none of it."""
        if value is not None and not re.fullmatch(r"[!-~]+", value.get_secret_value().strip()):
            raise ValueError("has characters that none has, or nothing else: copy it anew")
        return value

    def llm_problems(self) -> list[str]:
        provider = self.llm_is_offered_by
        if provider is None or self._key_of(provider) is not None:
            return []
        return [f"{provider.upper()}_API_KEY: LLM_PROVIDER={provider} needs it"]

    @property
    def llm_is_offered_by(self) -> Provider | None:
        """LLM_PROVIDER, or what the keys say."""
        if self.llm_provider is not None:
            return None if self.llm_provider == "none" else self.llm_provider
        if self.anthropic_api_key is not None:
            return "anthropic"
        return "openai" if self.openai_api_key is not None else None

    @property
    def llm(self) -> ModelSettings | None:
        """None: there is no model."""
        provider = self.llm_is_offered_by
        key = None if provider is None else self._key_of(provider)
        if provider is None or key is None:
            return None
        return ModelSettings(
            provider=provider,
            api_key=key,
            model=self.llm_model or _MODELS[provider],
            url=str(self.llm_url or _URLS[provider]),
        )

    def _key_of(self, provider: Provider) -> SecretStr | None:
        return {"anthropic": self.anthropic_api_key, "openai": self.openai_api_key}[provider]
