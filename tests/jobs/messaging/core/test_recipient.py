from dataclasses import replace
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from jobs.messaging.core.recipient import Recipient, person_name

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


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("Ay\u202eşe\u202c I\u2066ş\u2069ık", "Ayşe Işık"),  # would turn round what follows
        ("\u200fדנה\u200e \ufeffLevi\u00ad", "דנה Levi"),
        ("می\u200cخواهم", "می\u200cخواهم"),  # joins letters as its script asks
        ("Dr.Ayşe Işık", "Dr. Ayşe Işık"),
        ("J.R.R. Tolkien", "J. R. R. Tolkien"),
        ("Grace O'Neil-Smith, Jr.", "Grace O'Neil-Smith, Jr."),
        ("evil.example", "evil. example"),
        ("evil。example/win", "evil。 example/win"),
        ("http://evil.example/win", ""),
        ("Your prize: HTTPS://evil", ""),
        ("www.evil", ""),
        ("pat@evil.example", ""),
        ("", ""),
        (" \u200d\u202e ", ""),
        ("-", ""),
    ],
    ids=ascii,
)
def test_a_name_is_shown_so_that_it_is_no_link_and_turns_nothing_round(
    given: str, shown: str
) -> None:
    assert person_name(given) == shown
    assert replace(SOMEBODY, name=given).display_name == shown
    assert person_name(shown) == shown
