from datetime import date
from decimal import Decimal

from jobs.dunning.core.money import Owed
from jobs.dunning.core.words import reminder_values

OWED = Owed(open_amount=Decimal("10.00"), fees=Decimal("0.50"), currency="TRY")


def test_a_reminder_says_what_is_owed_for_what_and_since_when() -> None:
    values = reminder_values(
        OWED,
        tone="firm",
        days_overdue=10,
        payment_link="https://pay.example/",
        invoice_number="42",
        due_on=date(2026, 11, 23),
    )

    assert values == {
        "tone": "firm",
        "amount": Decimal("10.00"),
        "fees": Decimal("0.50"),
        "total": Decimal("10.50"),
        "currency": "TRY",
        "days_overdue": 10,
        "payment_link": "https://pay.example/",
        "invoice_number": "42",
        "due_on": date(2026, 11, 23),
    }


def test_what_is_not_known_has_its_name_all_the_same() -> None:
    values = reminder_values(
        OWED, tone="firm", days_overdue=10, payment_link=None, invoice_number=""
    )

    assert (values["invoice_number"], values["due_on"], values["payment_link"]) == (None,) * 3
