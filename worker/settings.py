"""The environment, read once and frozen. Nobody else reads it.

Names are flat (`SENDGRID_API_KEY`), an empty value counts as unset, and a `.env` file in the
working directory serves for what the environment does not say. A wrong value stops the start with
one line per setting; values never appear in those lines, because they may be secrets.
"""

import os
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from typing_extensions import override

from worker.settings_access import AccessSettings
from worker.settings_llm import LlmSettings
from worker.settings_notices import NoticeSettings
from worker.settings_running import HistorySettings, RunningSettings
from worker.settings_schedules import NamedSchedules, ScheduleSettings
from worker.settings_sending import FileSettings, SendingSettings
from worker.settings_service import ServerSettings, ServiceSettings
from worker.settings_watching import WatchingSettings


class SettingsError(Exception):
    """Settings do not fit; `problems` has one line for each, without values."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(["deskhand cannot start with these settings:", *problems]))
        self.problems = problems


class Settings(
    # The last one's fields come first, in `.env.example` too.
    AccessSettings,
    NoticeSettings,
    WatchingSettings,
    FileSettings,
    LlmSettings,
    SendingSettings,
    HistorySettings,
    ScheduleSettings,
    RunningSettings,
    ServerSettings,
    ServiceSettings,
    BaseSettings,
):
    """Every setting of the product. The description is what `.env.example` says."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    @classmethod
    @override
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # The environment's last: it wins over the file.
        named = NamedSchedules(settings_cls, dotenv_settings, env_settings)
        return init_settings, named, env_settings, dotenv_settings, file_secret_settings

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        problems = [
            *self.sending_problems(),
            *self.llm_problems(),
            *self.notice_problems(),
            *self.server_problems(),
        ]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def status_callback(self) -> str | None:
        """Where Twilio tells what became of an SMS; None: nobody outside knows where we are."""
        base = self.public_url
        return None if base is None else f"{str(base).rstrip('/')}/api/webhooks/twilio"

    @property
    def storage_path(self) -> Path:
        return self.storage_base_path or self.var_dir / "storage"


def load_settings(**overrides: Any) -> Settings:
    """Read environment and `.env`. Raises SettingsError with one line per wrong setting."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise SettingsError(_problems(error)) from None
    except UnicodeDecodeError:
        raise SettingsError([".env: it is not UTF-8 text"]) from None


def export(**urls: str) -> None:
    """Hand the URLs of private services on to whatever reads settings later in this process."""
    os.environ.update({name.upper(): url for name, url in urls.items()})  # noqa: TID251 - the one place


def _problems(error: ValidationError) -> list[str]:
    lines = []
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        message = item["msg"].removeprefix("Value error, ")
        name = ".".join(map(str, item["loc"])).upper()
        lines += [f"{name}: {message}"] if name else message.splitlines()
    return lines
