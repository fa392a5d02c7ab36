"""Settings of what leaves the house, and of where files are kept."""

from pathlib import Path
from typing import Literal

from pydantic import AnyHttpUrl, BaseModel, Field, SecretStr, field_validator

from clients.mail import Sender
from clients.sendgrid import SendGridSettings
from clients.smtp import SmtpSettings


class SendingSettings(BaseModel):
    """Mail and SMS."""

    email_provider: Literal["file", "smtp", "sendgrid"] = Field(
        "file", description="'file' writes .eml files to VAR_DIR/mail."
    )
    email_from: str = Field(
        "deskhand <no-reply@deskhand.example>", description="Sender: address, or Name <address>."
    )
    smtp_host: str | None = Field(None, description="With EMAIL_PROVIDER=smtp.")
    smtp_port: int = Field(587, ge=1, le=65535, description="587 with starttls, 465 with tls.")
    smtp_username: str | None = Field(None, description="Empty: no login.")
    smtp_password: SecretStr | None = Field(None, description="With SMTP_USERNAME.")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="How the connection is protected."
    )
    smtp_ca_file: Path | None = Field(
        None, description="Certificates to trust besides the system's."
    )
    smtp_connections: int = Field(
        8, ge=1, le=100, description="At most so many at once of a worker, kept between mails."
    )
    smtp_mails_per_connection: int = Field(
        100, ge=1, description="A connection is closed after so many."
    )
    sendgrid_api_key: SecretStr | None = Field(None, description="With EMAIL_PROVIDER=sendgrid.")
    sendgrid_url: AnyHttpUrl = Field(
        AnyHttpUrl("https://api.sendgrid.com"),
        description="https://api.eu.sendgrid.com for the EU.",
    )
    twilio_account_sid: str | None = Field(
        None, pattern="^AC[0-9a-f]{32}$", description="Checked; no job sends SMS yet."
    )
    twilio_auth_token: SecretStr | None = Field(None, description="With TWILIO_ACCOUNT_SID.")

    @field_validator("email_from")
    @classmethod
    def _is_sender(cls, value: str) -> str:
        Sender.parse(value)
        return value

    def sending_problems(self) -> list[str]:
        problems = []
        if self.email_provider == "smtp" and not self.smtp_host:
            problems.append("SMTP_HOST: EMAIL_PROVIDER=smtp needs it")
        if self.smtp_username and not self.smtp_password:
            problems.append("SMTP_PASSWORD: SMTP_USERNAME needs it")
        if self.smtp_password and not self.smtp_username:
            problems.append("SMTP_USERNAME: SMTP_PASSWORD needs it")
        if self.smtp_username and self.smtp_security == "none":
            problems.append("SMTP_SECURITY: a login needs starttls or tls")
        if self.email_provider == "sendgrid" and not self.sendgrid_api_key:
            problems.append("SENDGRID_API_KEY: EMAIL_PROVIDER=sendgrid needs it")
        if (self.twilio_account_sid is None) != (self.twilio_auth_token is None):
            problems.append("TWILIO_AUTH_TOKEN: it and TWILIO_ACCOUNT_SID need each other")
        return problems

    @property
    def smtp(self) -> SmtpSettings:
        return SmtpSettings(
            host=self.smtp_host or "",
            port=self.smtp_port,
            username=self.smtp_username,
            password=self.smtp_password,
            security=self.smtp_security,
            ca_file=self.smtp_ca_file,
            connections=self.smtp_connections,
            mails_per_connection=self.smtp_mails_per_connection,
        )

    @property
    def sendgrid(self) -> SendGridSettings:
        return SendGridSettings(
            api_key=self.sendgrid_api_key or SecretStr(""), url=str(self.sendgrid_url)
        )


class FileSettings(BaseModel):
    """Where files are kept; the default lies under VAR_DIR."""

    storage_type: Literal["local"] = Field("local", description="Where files are kept.")
    storage_base_path: Path | None = Field(None, description="Default: VAR_DIR/storage.")
