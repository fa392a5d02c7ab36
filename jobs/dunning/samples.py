"""What a payment reminder is filled with, for somebody made up: previews show it."""

from datetime import date
from decimal import Decimal
from typing import Any

from jobs.dunning.core.money import Owed
from jobs.dunning.core.words import reminder_values
from jobs.dunning.sending import TEMPLATE
from jobs.messaging.catalogue import declare


def payment_reminder(locale: str) -> dict[str, Any]:
    """A firm one, with a fee. `tone` is friendly, firm or final; `payment_link`, `invoice_number`
    and `due_on` may be None.
    """
    return reminder_values(
        Owed(
            open_amount=Decimal("1250.50"),
            fees=Decimal("25.00"),
            currency={"en": "USD", "tr": "TRY"}[locale],
        ),
        tone="firm",
        days_overdue=10,
        payment_link="https://pay.example.com/i/2026-0042",
        invoice_number="2026-0042",
        due_on=date(2026, 11, 23),
    )


# A demand for money is no newsletter. Who has unsubscribed from others gets none all the same.
declare(TEMPLATE, channels={"email", "sms"}, sample=payment_reminder, has_way_out=False)
