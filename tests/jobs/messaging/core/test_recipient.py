from dataclasses import replace
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from jobs.messaging.core.recipient import Recipient

SOMEBODY = Recipient(
    tenant_id=UUID(int=1),
    name="  Ayşe\n Işık ",
    locale="tr",
    timezone="Europe/Istanbul",
    email="ayse@example.com",
    phone="0532 123 45 67",
)


def test_a_name_is_on_one_line_and_a_zone_is_found() -> None:
    assert SOMEBODY.display_name == "Ayşe Işık"
    assert SOMEBODY.zone == ZoneInfo("Europe/Istanbul")


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd", "Europe"])
def test_a_zone_that_is_none_is_refused_by_its_fields_name(zone: str) -> None:
    with pytest.raises(ValueError, match=r"^timezone: "):
        _ = replace(SOMEBODY, timezone=zone).zone


def test_nothing_personal_shows_in_a_log() -> None:
    shown = repr(SOMEBODY)

    assert not [text for text in ("Ayşe", "ayse@", "0532") if text in shown]


def test_a_name_is_shown_without_what_no_header_takes() -> None:
    recipient = Recipient(
        tenant_id=UUID(int=1),
        name=" Ayşe\x07\r\n Işık\x00 👩\u200d💻",
        locale="tr",
        timezone="Europe/Istanbul",
    )

    assert recipient.display_name == "Ayşe Işık 👩\u200d💻"
