"""`deskhand config …`: what the settings are, and what they should be."""

import click

from worker.cli.tools import plans_or_exit, settings_or_exit
from worker.settings_docs import env_example, shown
from worker.settings_hints import hints
from worker.sidecar.access.browser import HOW_TO_OPEN
from worker.sidecar.access.gate import Gate


@click.group()
def config() -> None:
    """Check and show settings."""


@config.command()
def check() -> None:
    """Exit code 0 when the worker would start with these settings; says what is off."""
    settings = settings_or_exit()
    plans_or_exit(settings)
    off = {
        "DATABASE_URL": (settings.database_dsn, "a private PostgreSQL under VAR_DIR is used"),
        "REDIS_URL": (settings.redis_dsn, "a private Valkey under VAR_DIR is used"),
        "SENTRY_DSN": (settings.sentry_dsn, "errors are not sent anywhere"),
        "OTEL_EXPORTER_OTLP_ENDPOINT": (
            settings.otel_exporter_otlp_endpoint,
            "traces are not sent anywhere",
        ),
    }
    for name, (value, consequence) in off.items():
        if value is None:
            click.echo(f"{name} is not set: {consequence}")
    if settings.email_provider == "file":
        click.echo(f"EMAIL_PROVIDER=file: mail is written to {settings.var_dir / 'mail'}")
    if settings.sms_is_sent_by == "file":
        click.echo(f"SMS_PROVIDER=file: SMS are written to {settings.var_dir / 'sms'}")
    for hint in hints(settings):
        click.echo(hint)
    if Gate(settings).is_closed:
        click.echo(f"HOST={settings.host}: API and console are closed; {HOW_TO_OPEN}")
    click.echo("the settings are valid")


@config.command("show")
def show_() -> None:
    """Every setting as it is read; secrets are hidden."""
    for name, value in shown(settings_or_exit()).items():
        click.echo(f"{name}={value}")


@config.command()
def example() -> None:
    """A `.env` file with every setting, its default and what it is for."""
    click.echo(env_example(), nl=False)
