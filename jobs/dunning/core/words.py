"""What a payment reminder says."""

from datetime import date
from typing import Any

from jobs.dunning.core.money import Owed
from jobs.dunning.core.stages import Tone


def reminder_values(
    owed: Owed,
    *,
    tone: Tone,
    days_overdue: int,
    payment_link: str | None,
    invoice_number: str | None = None,
    due_on: date | None = None,
) -> dict[str, Any]:
    """By the names of the template; amounts are Decimal, for the filter `money`."""
    return {
        "tone": tone,
        "amount": owed.open_amount,
        "fees": owed.fees,
        "total": owed.total,
        "currency": owed.currency,
        "days_overdue": days_overdue,
        "payment_link": payment_link,
        "invoice_number": invoice_number or None,
        "due_on": due_on,
    }
