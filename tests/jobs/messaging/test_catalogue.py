from typing import Any

import pytest

from jobs.kit import discover
from jobs.messaging import catalogue
from jobs.messaging.catalogue import (
    Enclosed,
    UnknownTemplateError,
    declare,
    kind_of,
    kind_of_delivery,
    message,
    messages,
    spelt,
)

discover()  # before the catalogue is another one: what is declared is declared once


@pytest.fixture(autouse=True)
def _own_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "_declared", {})
    monkeypatch.setattr(catalogue, "_families", {})


def sample(_: str) -> dict[str, Any]:
    return {"a": 1}


def test_what_is_declared_is_known_by_name() -> None:
    declare("second", channels={"sms"}, sample=sample)
    declare("first_one", channels={"email", "sms"}, sample=sample)

    assert [one.name for one in messages()] == ["first_one", "second"]
    assert message("first_one").sample("en") == {"a": 1}
    assert kind_of("first_one") == "first-one"


@pytest.mark.parametrize("name", ["", "First", "a-b", "a__b", "_a", "a.b", "../a", "a\n"])
def test_a_name_is_words(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        declare(name, channels={"email"}, sample=sample)


@pytest.mark.parametrize("channels", [set(), {"pigeon"}])
def test_channels_are_known_ones(channels: set[Any]) -> None:
    with pytest.raises(ValueError, match="channels are some of email, sms"):
        declare("one", channels=channels, sample=sample)


def test_a_name_is_taken_once() -> None:
    declare("one", channels={"email"}, sample=sample)

    for is_family in (False, True):
        with pytest.raises(ValueError, match="two messages 'one'"):
            declare("one", channels={"sms"}, sample=sample, is_family=is_family)


def test_what_is_not_declared_is_told() -> None:
    for name in ("nothing", "", "nurture_", "nurture_../x"):
        with pytest.raises(UnknownTemplateError, match="there is no message"):
            message(name)


def test_what_tenants_make_up_is_counted_under_its_family() -> None:
    declare("nurture", channels={"email"}, sample=sample, is_family=True)
    declare("nurture_known", channels={"sms"}, sample=sample)

    assert kind_of("nurture_ayse_yilmaz_offer") == "nurture"
    assert kind_of("nurture_known") == "nurture-known"
    assert kind_of("nothing_of_ours") == "unknown"
    assert kind_of_delivery("nurture-ayse-yilmaz-offer") == "nurture"
    assert kind_of_delivery("nurture-known") == "nurture-known"
    assert kind_of_delivery("nothing-of-ours") == "unknown"
    assert spelt("nurture_spring_offer") == "nurture-spring-offer"


def test_a_message_says_what_is_special_about_it() -> None:
    declare("demand", channels={"email"}, sample=sample, has_way_out=False, most_segments=2)
    declare("plain", channels={"email"}, sample=sample)

    assert (message("demand").has_way_out, message("demand").most_segments) == (False, 2)
    assert (message("plain").has_way_out, message("plain").is_tenants) == (True, True)
    assert message("plain").enclosed("en", "Acme") == Enclosed()


def test_a_family_is_whatever_begins_with_its_name() -> None:
    declare("nurture", channels={"email"}, sample=sample, is_family=True)
    declare("nurture_known", channels={"sms"}, sample=sample)

    assert messages() == [message("nurture_known")]
    assert (message("nurture_spring_offer").name, message("nurture_spring_offer").is_open) == (
        "nurture_spring_offer",
        True,
    )
    assert message("nurture_known").channels == {"sms"}
    with pytest.raises(UnknownTemplateError):
        message("nurture_Spring")
