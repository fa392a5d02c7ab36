from datetime import UTC, datetime
from email import message_from_bytes, policy
from typing import Any

import pytest

from clients.mime import written_message
from jobs.kit import discover
from jobs.messaging.catalogue import messages
from jobs.messaging.core.override import Override
from jobs.messaging.previewing import SOMEBODY, Preview, nobodys_profile, preview, problem_of
from jobs.messaging.sandbox import OverrideError
from worker.offload import Offloader

discover()
EVERY = [
    (one.name, language, channel)
    for one in messages()
    for language in ("en", "tr")
    for channel in sorted(one.channels)
]


async def made(name: str, language: str, channel: Any, override: Override | None = None) -> Preview:
    (declared,) = [one for one in messages() if one.name == name]
    return await preview(
        declared,
        language=language,
        channel=channel,
        profile=nobodys_profile(language),
        override=override,
        sender=SOMEBODY,
        offload=Offloader(),
    )


@pytest.mark.parametrize(("name", "language", "channel"), EVERY)
async def test_every_message_can_be_looked_at(name: str, language: str, channel: str) -> None:
    shown = await made(name, language, channel)

    assert (shown.mail is None) == (channel == "sms")
    assert (shown.sms is None) == (channel == "email")
    if shown.mail is not None:
        written = written_message(
            shown.mail,
            SOMEBODY,
            message_id="<1@example.com>",
            date=datetime(2026, 12, 1, tzinfo=UTC),
        )
        message = message_from_bytes(written, policy=policy.default)
        assert message["List-Unsubscribe"]
        assert message["From"].addresses[0].display_name == nobodys_profile(language).tenant_name


async def test_an_override_is_looked_at_too() -> None:
    override = Override(version=4, text="Selam {{ name }}")

    shown = await made("welcome", "tr", "email", override)

    assert shown.rendered.version == "tenant-4"
    assert shown.rendered.text.startswith("Selam Ayşe Işık")


async def test_an_override_that_does_not_work_is_told() -> None:
    with pytest.raises(OverrideError, match="text: there is no amount"):
        await made("welcome", "tr", "email", Override(version=4, text="{{ amount }}"))


@pytest.mark.parametrize(
    ("language", "channel", "field"),
    [("de", "email", "language"), ("en", "sms", "channel"), ("en", "email", None)],
)
def test_what_there_is_not_is_named(language: str, channel: Any, field: str | None) -> None:
    (welcome,) = [one for one in messages() if one.name == "welcome"]

    assert list(problem_of(welcome, language, channel)) == ([] if field is None else [field])
