import httpx
import pytest

from worker.providers import model
from worker.settings import Settings, SettingsError, load_settings

ANTHROPIC, OPENAI = {"ANTHROPIC_API_KEY": "sk-ant-canary"}, {"OPENAI_API_KEY": "sk-canary"}
NAMES = ("LLM_PROVIDER", "LLM_MODEL", "LLM_URL", *ANTHROPIC, *OPENAI)


@pytest.fixture(autouse=True)
def _without_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def read(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> Settings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return load_settings()


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({}, None),
        ({"LLM_PROVIDER": "none", **ANTHROPIC, **OPENAI}, None),
        (ANTHROPIC, "anthropic claude-haiku-4-5"),
        (OPENAI, "openai gpt-6-luna"),
        ({**ANTHROPIC, **OPENAI}, "anthropic claude-haiku-4-5"),
        ({**ANTHROPIC, **OPENAI, "LLM_PROVIDER": "openai"}, "openai gpt-6-luna"),
        ({**OPENAI, "LLM_MODEL": "ours"}, "openai ours"),
    ],
)
async def test_there_is_a_model_where_there_is_a_key(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], named: str | None
) -> None:
    settings = read(monkeypatch, environment)

    async with httpx.AsyncClient() as http:
        chosen = model(settings, http)
    assert (chosen.name if chosen else None) == named


@pytest.mark.parametrize("provider", ["anthropic", "openai"])
@pytest.mark.parametrize("keys", [{}, {"ANTHROPIC_API_KEY": "", "OPENAI_API_KEY": ""}])
def test_one_that_is_chosen_without_its_key_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, provider: str, keys: dict[str, str]
) -> None:
    with pytest.raises(SettingsError) as refused:
        read(monkeypatch, {"LLM_PROVIDER": provider, **keys})

    assert refused.value.problems == [
        f"{provider.upper()}_API_KEY: LLM_PROVIDER={provider} needs it"
    ]


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({"ANTHROPIC_API_KEY": "kéy canary"}, "ANTHROPIC_API_KEY"),
        ({**ANTHROPIC, "LLM_URL": "canary"}, "LLM_URL"),
        ({"LLM_PROVIDER": "canary"}, "LLM_PROVIDER"),
    ],
)
def test_a_setting_that_does_not_fit_is_named_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], name: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        read(monkeypatch, environment)

    (line,) = refused.value.problems
    assert line.startswith(f"{name}: ")
    assert "canary" not in line


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        (ANTHROPIC, "https://api.anthropic.com"),
        (OPENAI, "https://api.openai.com/v1"),
        ({**OPENAI, "LLM_URL": "http://llm.internal:8000/v1"}, "http://llm.internal:8000/v1"),
    ],
)
def test_it_is_asked_where_it_is(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], url: str
) -> None:
    settings = read(monkeypatch, environment).llm

    assert settings is not None
    assert settings.url == url
    assert "canary" not in repr(settings)
