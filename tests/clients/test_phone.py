import pytest

from clients.phone import e164, sms_number


@pytest.mark.parametrize(
    ("written", "country", "number"),
    [
        ("0532 123 45 67", "TR", "+905321234567"),
        ("(532) 123-45-67", "TR", "+905321234567"),
        ("+90 532 123 45 67", "US", "+905321234567"),
        ("0090 532 123 45 67", "US", "+905321234567"),
        ("(202) 555-0123", "US", "+12025550123"),
        ("  +44 7400 123456 ", "TR", "+447400123456"),
        ("٠٥٣٢ ١٢٣ ٤٥ ٦٧", "TR", "+905321234567"),
        ("0212 555 12 34", "TR", "+902125551234"),
    ],
)
def test_a_number_is_read_as_its_country_writes_it(written: str, country: str, number: str) -> None:
    assert e164(written, country=country) == number


@pytest.mark.parametrize(
    ("written", "country"),
    [
        ("", "TR"),
        ("yok", "TR"),
        ("0532 123", "TR"),
        ("+1 555 010 0001", "US"),
        ("0532 123 45 67", "XX"),
        ("202 555 0123 x5", "US"),
        ("0" * 10_000, "TR"),
        ("+" + "9" * 39, "TR"),
    ],
)
def test_what_is_no_number_of_its_country_is_none(written: str, country: str) -> None:
    assert e164(written, country=country) is None


def test_a_landline_gets_no_sms_where_it_can_be_told() -> None:
    assert sms_number("0212 555 12 34", country="TR") is None
    assert sms_number("0532 123 45 67", country="TR") == "+905321234567"
    assert sms_number("202 555 0123", country="US") == "+12025550123"  # it may be a mobile


def test_what_was_read_reads_the_same_again() -> None:
    number = sms_number("0532 123 45 67", country="TR")

    assert number is not None
    assert sms_number(number, country="US") == number
