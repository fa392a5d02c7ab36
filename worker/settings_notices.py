"""Settings of what admins are told of, and how."""

from datetime import timedelta
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, NonNegativeInt, SecretStr
from pydantic_settings import NoDecode

from clients.mail import ascii_address
from clients.webhook import WebhookSettings, is_loopback, is_private, keys_of
from worker.notices.policy import Rules
from worker.settings_types import of_known_queues, parse_json, split

_MOST_ADDRESSES = 20


def _are_addresses(addresses: tuple[str, ...]) -> tuple[str, ...]:
    ascii_ones = tuple(ascii_address(one) for one in addresses)
    known = tuple(one for one in ascii_ones if one is not None)
    if len(known) < len(ascii_ones):
        raise ValueError("it is addresses separated by commas: ops@example.com,ada@example.com")
    if len(known) > _MOST_ADDRESSES:
        raise ValueError(f"it is {_MOST_ADDRESSES} addresses at most; a mailing list has more")
    return tuple(dict.fromkeys(known))


def _is_reachable(value: SecretStr) -> SecretStr:
    sentence = "it is a URL that begins with https://, or with http:// on this machine"
    try:
        parts = urlsplit(value.get_secret_value())
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(sentence) from None
    is_known = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
    if not (is_known and host) or parts.username or any(one.isspace() for one in parts.geturl()):
        raise ValueError(sentence)
    return value


def _are_keys(value: SecretStr) -> SecretStr:
    if not keys_of(value.get_secret_value()):
        raise ValueError("it has no key in it")
    return value


Addresses = Annotated[
    tuple[str, ...], NoDecode, BeforeValidator(split), AfterValidator(_are_addresses)
]
PerQueueCount = Annotated[
    dict[str, NonNegativeInt],
    NoDecode,
    BeforeValidator(parse_json),
    AfterValidator(of_known_queues),
]


class NoticeSettings(BaseModel):
    """Without an address and a URL notices are in log, API and `deskhand notices` alone."""

    alert_email: Addresses = Field(
        (), description="Who is told of troubles by mail: addresses, separated by commas."
    )
    alert_language: Literal["en", "tr"] = Field("en", description="Language of these mails.")
    alert_webhook_url: Annotated[SecretStr, AfterValidator(_is_reachable)] | None = Field(
        None, description="Where troubles are posted to: https://, or http:// on this machine."
    )
    alert_webhook_secret: Annotated[SecretStr, AfterValidator(_are_keys)] | None = Field(
        None,
        description="With ALERT_WEBHOOK_URL: signs what is posted, as Standard Webhooks has it;"
        " `openssl rand -base64 32`. While one takes another's place: both, with a comma between.",
    )
    alert_webhook_private: bool = Field(
        default=False, description="True: the webhook's host may have a private address."
    )
    alert_failures: int = Field(
        5,
        ge=0,
        le=1_000_000,
        description="So many failed attempts of one job with one error are a trouble; 0 = never.",
    )
    alert_window: float = Field(
        900,
        ge=60,
        le=86_400,
        allow_inf_nan=False,
        description="Seconds within which these are counted; so long a silence ends the trouble.",
    )
    alert_scheduled: int = Field(
        1,
        ge=0,
        le=1_000_000,
        description="So many runs of one schedule that were given up on are one; 0 = never.",
    )
    alert_waiting: int = Field(
        100,
        ge=0,
        le=100_000_000,
        description="More due runs than that, waiting in one queue, are a trouble; 0 = never.",
    )
    alert_waiting_by_queue: PerQueueCount = Field(
        default_factory=dict, description='The same for single queues: {"document": 500}.'
    )
    alert_unserved: bool = Field(
        default=True, description="Runs that are due in a queue that no worker serves are one."
    )
    alert_repeat: float = Field(
        3600,
        ge=60,
        le=86_400,
        allow_inf_nan=False,
        description="Seconds until a trouble that goes on is told of again; then twice as long,"
        " up to a day.",
    )
    slots_target: float = Field(
        60,
        ge=1,
        le=86_400,
        allow_inf_nan=False,
        description="Seconds within which what waits is to start: worker_queue_wanted_slots says"
        " how many slots that takes.",
    )

    def notice_problems(self) -> list[str]:
        problems = []
        if (self.alert_webhook_url is None) != (self.alert_webhook_secret is None):
            missing = "SECRET" if self.alert_webhook_secret is None else "URL"
            problems.append(
                f"ALERT_WEBHOOK_{missing}: ALERT_WEBHOOK_URL and ALERT_WEBHOOK_SECRET need each"
                " other"
            )
        if self.alert_webhook_url is not None and not self.alert_webhook_private:
            host = urlsplit(self.alert_webhook_url.get_secret_value()).hostname or ""
            if is_private(host) and not is_loopback(host):
                problems.append(
                    "ALERT_WEBHOOK_URL: its host is a private address; ALERT_WEBHOOK_PRIVATE=true"
                    " allows that"
                )
        return problems

    @property
    def alert_webhook(self) -> WebhookSettings | None:
        if self.alert_webhook_url is None or self.alert_webhook_secret is None:
            return None
        return WebhookSettings(
            url=self.alert_webhook_url.get_secret_value(),
            keys=keys_of(self.alert_webhook_secret.get_secret_value()),
            allows_private=self.alert_webhook_private,
        )

    @property
    def notice_rules(self) -> Rules:
        return Rules(
            failures=self.alert_failures,
            window=timedelta(minutes=round(self.alert_window / 60)),
            scheduled=self.alert_scheduled,
            waiting=self.alert_waiting,
            waiting_by_queue=self.alert_waiting_by_queue,
            unserved=self.alert_unserved,
            repeat=timedelta(seconds=self.alert_repeat),
        )
