"""Settings of what leaves the house, and of where files are kept."""

import base64
import re
import ssl
from pathlib import Path
from typing import Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import AnyHttpUrl, BaseModel, Field, SecretStr, field_validator

from clients.mail import Sender
from clients.sendgrid import SendGridSettings
from clients.smtp import SmtpSettings
from clients.twilio import TwilioSettings


class SendingSettings(BaseModel):
    """Mail and SMS."""

    email_provider: Literal["file", "smtp", "sendgrid"] = Field(
        "file", description="'file' writes .eml files to VAR_DIR/mail."
    )
    email_from: str = Field(
        "deskhand <no-reply@deskhand.example>", description="Sender: address, or Name <address>."
    )
    smtp_host: str | None = Field(
        None, pattern=r"^[^\s/@]+$", description="With EMAIL_PROVIDER=smtp: its name or IP address."
    )
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
    sendgrid_webhook_public_key: str | None = Field(
        None, description="Of the signed event webhook at /api/webhooks/sendgrid; else it is shut."
    )
    sms_provider: Literal["file", "twilio"] | None = Field(
        None,
        description="'file' writes .json files to VAR_DIR/sms."
        " Default: twilio with TWILIO_ACCOUNT_SID, else file.",
    )
    twilio_account_sid: str | None = Field(
        None, pattern="^AC[0-9a-f]{32}$", description="With SMS_PROVIDER=twilio."
    )
    twilio_auth_token: SecretStr | None = Field(
        None, description="With TWILIO_ACCOUNT_SID; also checks /api/webhooks/twilio."
    )
    twilio_from: str | None = Field(
        None,
        pattern=r"^(\+[1-9]\d{6,14}|\d{3,8}|[A-Za-z0-9 ]{1,11})$",
        description="Sender of SMS: a number as +15005550006, a short code or a name.",
    )
    twilio_messaging_service_sid: str | None = Field(
        None, pattern="^MG[0-9a-f]{32}$", description="Chooses the sender; wins over TWILIO_FROM."
    )
    twilio_url: AnyHttpUrl = Field(
        AnyHttpUrl("https://api.twilio.com"), description="Where its API is."
    )
    twilio_webhook_shared_key: SecretStr | None = Field(
        None, description="Where Twilio signs webhooks with HMAC-SHA256 and a shared key."
    )

    @field_validator("sendgrid_api_key", "twilio_auth_token")
    @classmethod
    def _fits_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        """Secret files end with a line break, which is none of it."""
        if value is not None and not re.fullmatch(r"[!-~]+", value.get_secret_value().strip()):
            raise ValueError("has characters that none has, or nothing else: copy it anew")
        return value

    @field_validator("sendgrid_webhook_public_key")
    @classmethod
    def _is_public_key(cls, value: str | None) -> str | None:
        if value is not None:
            event_key(value)
        return value

    @field_validator("email_from")
    @classmethod
    def _is_sender(cls, value: str) -> str:
        Sender.parse(value)
        return value

    def sending_problems(self) -> list[str]:
        problems = []
        if self.email_provider == "smtp" and not self.smtp_host:
            problems.append("SMTP_HOST: EMAIL_PROVIDER=smtp needs it")
        problems += self._smtp_problems()
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
        if self.sms_provider == "twilio" and not self.twilio_account_sid:
            problems.append("TWILIO_ACCOUNT_SID: SMS_PROVIDER=twilio needs it")
        return problems

    def _smtp_problems(self) -> list[str]:
        """What would only be noticed when the first mail is sent."""
        problems = []
        if (self.smtp_port, self.smtp_security) in {(465, "starttls"), (587, "tls")}:
            fits = "tls" if self.smtp_port == 465 else "starttls"  # noqa: PLR2004 - RFC 8314
            problems.append(f"SMTP_SECURITY: port {self.smtp_port} wants {fits}")
        host, _, port = (self.smtp_host or "").rpartition(":")
        if port.isdigit() and ":" not in host:
            problems.append("SMTP_HOST: say the port in SMTP_PORT")
        if self.smtp_ca_file is not None and not _has_certificates(self.smtp_ca_file):
            problems.append("SMTP_CA_FILE: there is no file with PEM certificates")
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

    @property
    def sms_is_sent_by(self) -> Literal["file", "twilio"]:
        """SMS_PROVIDER, or what the credentials say."""
        return self.sms_provider or ("twilio" if self.twilio_account_sid else "file")

    def twilio(self, *, status_callback: str | None) -> TwilioSettings:
        """`status_callback` is our webhook's URL as Twilio reaches it; None: it cannot."""
        return TwilioSettings(
            account_sid=self.twilio_account_sid or "",
            auth_token=self.twilio_auth_token or SecretStr(""),
            sender=self.twilio_from,
            messaging_service_sid=self.twilio_messaging_service_sid,
            status_callback=status_callback,
            url=str(self.twilio_url),
        )


def _has_certificates(path: Path) -> bool:
    try:
        ssl.create_default_context(cafile=path)
    except OSError:  # SSLError is one, too
        return False
    return True


def event_key(text: str) -> ec.EllipticCurvePublicKey:
    """The key as SendGrid shows it: base64 of DER. Raises ValueError when it is none of P-256."""
    try:
        key = serialization.load_der_public_key(base64.b64decode("".join(text.split())))
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise ValueError("copy it from SendGrid's settings of the signed event webhook")


class FileSettings(BaseModel):
    """Where files are kept; the default lies under VAR_DIR."""

    storage_type: Literal["local"] = Field("local", description="Where files are kept.")
    storage_base_path: Path | None = Field(None, description="Default: VAR_DIR/storage.")
