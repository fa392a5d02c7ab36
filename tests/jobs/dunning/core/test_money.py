from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.dunning.core.money import (
    Owed,
    currency_of,
    fee_of,
    is_known,
    plain_amount,
    rounded,
)
from jobs.dunning.core.stages import DEFAULTS
from jobs.messaging.core.formats import money, money_in_sms

STAGE = DEFAULTS[1]
AMOUNT = Decimal("1234567.895")


@pytest.mark.parametrize(
    ("currency", "english", "turkish"),
    [
        ("TRY", "TRY 1,234,567.90", "₺1.234.567,90"),
        ("USD", "$1,234,567.90", "$1.234.567,90"),
        ("EUR", "€1,234,567.90", "€1.234.567,90"),
        ("GBP", "£1,234,567.90", "£1.234.567,90"),
        ("JPY", "¥1,234,568", "¥1.234.568"),
        ("KRW", "₩1,234,568", "₩1.234.568"),
        ("CHF", "CHF 1,234,567.90", "CHF 1.234.567,90"),
        ("KWD", "KWD 1,234,567.895", "KWD 1.234.567,895"),
        ("BHD", "BHD 1,234,567.895", "BHD 1.234.567,895"),
        ("ISK", "ISK 1,234,568", "ISK 1.234.568"),
        ("INR", "₹1,234,567.90", "₹1.234.567,90"),
        ("BRL", "R$1,234,567.90", "R$1.234.567,90"),
    ],
)
def test_an_amount_has_its_currencys_digits_and_the_readers_separators(
    currency: str, english: str, turkish: str
) -> None:
    amount = rounded(AMOUNT, currency)

    assert money(amount, currency, locale="en") == english
    assert money(amount, currency, locale="tr") == turkish


def test_an_sms_has_letters_that_every_telephone_has() -> None:
    assert money_in_sms(Decimal("1250.50"), "TRY", locale="tr") == "1.250,50 TL"
    assert money_in_sms(Decimal(1250), "KRW", locale="en") == "1,250 KRW"


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [
        ("0.005", "TRY", "0.01"),
        ("0.0049", "TRY", "0.00"),
        ("2.5", "JPY", "3"),
        ("1.0005", "KWD", "1.001"),
    ],
)
def test_halves_are_rounded_up(amount: str, currency: str, expected: str) -> None:
    assert str(rounded(Decimal(amount), currency)) == expected


def test_a_fee_is_fixed_in_its_currency_or_a_share() -> None:
    fixed = replace(STAGE, fee_amount=Decimal(25), fee_currency="TRY")
    share = replace(STAGE, fee_percent=Decimal("1.5"))

    assert fee_of(fixed, Decimal(1000), "TRY") == Decimal("25.00")
    assert fee_of(fixed, Decimal(1000), "EUR") == 0
    assert fee_of(share, Decimal("333.33"), "EUR") == Decimal("5.00")
    assert fee_of(share, Decimal(1000), "JPY") == Decimal(15)
    assert fee_of(STAGE, Decimal(1000), "TRY") == 0


def test_what_is_owed_is_the_open_amount_and_the_fees() -> None:
    assert Owed(
        open_amount=Decimal("10.10"), fees=Decimal("0.90"), currency="TRY"
    ).total == Decimal("11.00")


@pytest.mark.parametrize(
    ("given_", "amount"),
    [
        ("1250.50", "1250.50"),
        ("1250", "1250"),
        ("0.0001", "0.0001"),
        ("99999999999999.9999", "99999999999999.9999"),
        (1250, "1250"),
        (1250.5, "1250.5"),
        (1250.10, "1250.1"),
        (0.1 + 0.2, "0.3"),
        (100.0, "100"),
        (1e13, "10000000000000"),
        (Decimal("12.3400"), "12.3400"),
    ],
    ids=repr,
)
def test_an_amount_is_read_by_its_digits(given_: Any, amount: str) -> None:
    assert str(plain_amount(given_)) == amount


@pytest.mark.parametrize(
    "given_",
    [
        "0", "0.00", 0, 0.0, -1, "-1", -0.5, "NaN", "nan", "Infinity", float("nan"), float("inf"),
        float("-inf"), True, False, None, [], {}, "", " ", "1,50", "1.250,50", "1e3", "1_000",
        "１２", "+5", "12.", ".5", "1250.50 TRY", " 12", "12\n", "0x10", "12.34567", 12.34567,
        0.00001, 1e14, 1e300, 10**14, "100000000000000", Decimal("NaN"), Decimal(-1),
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_no_amount_is_refused(given_: Any) -> None:
    with pytest.raises(ValueError, match=r"1250\.50|4 decimals|14 digits"):
        plain_amount(given_)


@given(cents=st.integers(1, 10**14))
def test_no_cent_is_lost_on_the_way_through_a_float(cents: int) -> None:
    exact = Decimal(cents).scaleb(-2)
    if cents < 10**13:  # a double has 15 digits that can be relied on
        assert plain_amount(float(exact)) == exact
    assert plain_amount(str(exact)) == exact


def test_currencies_are_those_of_iso_4217_and_of_today() -> None:
    assert is_known("TRY")
    assert not is_known("XYZ")
    assert [currency_of(country) for country in ("TR", "US", "DE", "JP", "ZZ")] == [
        "TRY", "USD", "EUR", "JPY", None,
    ]  # fmt: skip
