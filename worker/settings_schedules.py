"""Settings of when things are due."""

from typing import Any

from pydantic import BaseModel, Field
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource
from pydantic_settings.sources import DotEnvSettingsSource, EnvSettingsSource
from typing_extensions import override

from worker.settings_types import CronLine, Interval

_PREFIX = "schedule_"


class ScheduleSettings(BaseModel):
    """Times that jobs ask for, and an operator's word on any of them."""

    scheduler: bool = Field(
        default=True,
        description="Does this process fire schedules? Any number may; each tick fires once.",
    )
    daily_brief_time: CronLine = Field(
        "0 8 * * *", description="When daily briefs are made: a crontab line, in TIMEZONE."
    )
    document_processing_interval: Interval = Field(
        5, description="Seconds between two looks for documents to process."
    )
    risk_calculation_interval: Interval = Field(
        86_400, description="Seconds between two calculations of risk scores."
    )
    integration_sync_interval: Interval = Field(
        300, description="Seconds between two looks for integration jobs."
    )
    integration_scheduler_interval: Interval = Field(
        600, description="Seconds between two looks for integrations that are due."
    )
    schedules: dict[str, str] = Field(
        default_factory=dict,
        description="SCHEDULE_<JOB> says when a scheduled job is due: '0 9 * * 1-5', the same with "
        "a zone behind it, 'every 15m', 'off'. The job's name is in capitals, with _ for dots.",
    )


class NamedSchedules(PydanticBaseSettingsSource):
    """The settings SCHEDULE_<JOB> of environment and `.env`, by their whole names."""

    def __init__(
        self,
        settings: type[BaseSettings],
        *sources: PydanticBaseSettingsSource,
    ) -> None:
        super().__init__(settings)
        self._sources = sources

    @override
    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    @override
    def __call__(self) -> dict[str, Any]:
        found = {
            name.upper(): value
            for source in self._sources
            if isinstance(source, EnvSettingsSource | DotEnvSettingsSource)
            for name, value in source.env_vars.items()
            if name.lower().startswith(_PREFIX) and value
        }
        return {"schedules": found} if found else {}
