"""What is owed: amounts as Decimal, to the digits of their currency."""

import math
import re
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from babel.numbers import get_currency_precision, get_territory_currencies, is_currency

from jobs.dunning.core.stages import Stage

_AMOUNT = re.compile(r"[0-9]{1,14}(\.[0-9]{1,4})?")
_FINEST = Decimal("0.0001")  # as the database keeps amounts
_NOISE = Decimal("0.000001")  # what 0.1 + 0.2 has too much
_MOST = Decimal(10) ** 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """What somebody is asked to pay: what is open of the invoice, and the fees so far."""

    open_amount: Decimal
    fees: Decimal
    currency: str

    @property
    def total(self) -> Decimal:
        return self.open_amount + self.fees


def rounded(amount: Decimal, currency: str) -> Decimal:
    """To the currency's digits as CLDR has them: 2 for TRY, none for JPY, 3 for KWD; half up.

    >>> rounded(Decimal("10.005"), "TRY")
    Decimal('10.01')
    """
    return amount.quantize(Decimal(1).scaleb(-get_currency_precision(currency)), ROUND_HALF_UP)


def fee_of(stage: Stage, open_amount: Decimal, currency: str) -> Decimal:
    """What a stage adds to such an invoice. A fee in another currency is not converted: none."""
    if stage.fee_percent is not None:
        return rounded(open_amount * stage.fee_percent / 100, currency)
    if stage.fee_amount is not None and stage.fee_currency == currency:
        return rounded(stage.fee_amount, currency)
    return Decimal(0)


def is_known(currency: str) -> bool:
    """Is that a currency (ISO 4217)?"""
    return is_currency(currency)


def currency_of(country: str) -> str | None:
    """What they pay with today in a country (ISO 3166).

    >>> currency_of("TR")
    'TRY'
    """
    found = get_territory_currencies(country)
    return found[0] if found else None


def plain_amount(value: Any) -> Decimal:
    """An amount as JSON may carry it: "1250.50", 1250.5, 1250. Raises ValueError.

    A number is read by its digits, without what computing in binary has left behind them.

    >>> plain_amount(0.1 + 0.2)
    Decimal('0.3')
    """
    if isinstance(value, Decimal):
        value = str(value)
    if isinstance(value, int) and not isinstance(value, bool):
        amount = Decimal(value)
    elif isinstance(value, float) and math.isfinite(value) and abs(value) < _MOST:
        amount = _without_noise(value)
    elif isinstance(value, str) and _AMOUNT.fullmatch(value):
        amount = Decimal(value)
    else:
        raise ValueError("write it as 1250.50: digits, a point, and at most 4 decimals")
    if not 0 < amount < _MOST:
        raise ValueError("it is more than nothing, and has at most 14 digits before the point")
    return amount


def _without_noise(value: float) -> Decimal:
    exact = Decimal(repr(value))
    amount = exact.quantize(_FINEST)
    if abs(exact - amount) > _NOISE:
        raise ValueError("it has at most 4 decimals")
    return amount.normalize() if amount % 1 else amount.quantize(Decimal(1))
