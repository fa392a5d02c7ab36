"""Settings of logs, errors and traces."""

from typing import Literal

from pydantic import AnyHttpUrl, BaseModel, Field, field_validator

from worker.settings_types import Seconds, SentryDsn


class WatchingSettings(BaseModel):
    """What is told of the runs, and to whom."""

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level that is logged."
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="'[time] [LEVEL] message {context}', or one JSON object a line."
    )
    log_runs: Literal["all", "problems", "none"] = Field(
        "all",
        description="Which runs get a line in the log: all, those that did not succeed, or none.",
    )
    status_every: Seconds = Field(
        60, description="Seconds between two blocks of worker status in the log; 0 = none."
    )
    sentry_dsn: SentryDsn | None = Field(
        None, description="Where errors that end the worker itself are reported; no values of runs."
    )
    otel_exporter_otlp_endpoint: AnyHttpUrl | None = Field(
        None, description="Checked; traces are not sent yet."
    )

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value
