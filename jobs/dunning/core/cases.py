"""Overdue invoices, and whether to ask for them today."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Literal
from uuid import UUID

from jobs.dunning.core.links import LinkRefusedError, payment_link
from jobs.dunning.core.money import Owed, fee_of, rounded
from jobs.dunning.core.stages import Stage, due_stage, reached
from jobs.messaging.core.channels import Channel
from jobs.messaging.core.suppression import Suppression


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """What is known of an invoice."""

    invoice_id: UUID
    contact_id: UUID
    number: str
    amount: Decimal
    paid_amount: Decimal
    currency: str
    due_on: date
    state: str
    payment_link: str | None = field(repr=False)

    def days_overdue(self, today: date) -> int:
        return (today - self.due_on).days

    @property
    def open_amount(self) -> Decimal:
        return rounded(self.amount - self.paid_amount, self.currency)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """How somebody may be asked. `hold` says why not to; None: it may be.

    `mail_suppression` is why their address gets nothing.
    """

    full_name: str = field(repr=False)
    email: str | None = field(repr=False)
    phone: str | None = field(repr=False)
    locale: str
    timezone: str
    preferred_channel: Channel | None
    agrees_to_sms: bool
    hold: Literal["paused", "stopped"] | None
    mail_suppression: Suppression | None

    @property
    def has_unsubscribed(self) -> bool:
        return self.mail_suppression is not None and self.mail_suppression.is_wish


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A reminder of which at least one message left."""

    position: int
    sent_on: date
    channels: frozenset[Channel]
    fee: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An invoice, who is to pay it, and the last reminder of it; `fees` are of those before."""

    invoice: Invoice
    contact: Contact
    last: Notice | None = None
    fees: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Overdue:
    """An open invoice as the daily search sees it; `sent` is the last stage's position, or 0."""

    invoice: Invoice
    sent: int


@dataclass(frozen=True, slots=True)
class Due:
    """An invoice with the stage that is due."""

    invoice: Invoice
    stage: Stage


_STATES = {
    "paid": "the invoice is paid",
    "disputed": "the invoice is disputed",
    "void": "the invoice is void",
}


def obstacle(case: Case, stages: Sequence[Stage], *, step: int, today: date) -> str | None:
    """Why this stage of this invoice is not to be sent today; None when it is.

    A stage that was sent today may miss one of its channels still.
    """
    return settled(case) or _out_of_turn(
        case.last, reached(stages, case.invoice.days_overdue(today)), step=step, today=today
    )


def settled(case: Case) -> str | None:
    """Why nobody is asked for this invoice any more, or for now; None: they are."""
    if case.invoice.state != "open":
        return _STATES.get(case.invoice.state, "the invoice is not open")
    if case.invoice.open_amount <= 0:
        return "nothing of the invoice is open"
    if case.contact.hold is not None:
        return f"dunning is {case.contact.hold} for this contact"
    return None


def _out_of_turn(last: Notice | None, stage: Stage | None, *, step: int, today: date) -> str | None:
    if stage is None or stage.position < step:
        return "the invoice is not overdue for so long"
    if stage.position > step:
        return "a later stage is due by now"
    if last is not None and last.position > step:
        return "a later stage was sent already"
    if last is not None and last.position == step and last.sent_on != today:
        return "this stage was sent already"
    return None


def owed(case: Case, stage: Stage) -> Owed:
    """What this reminder asks for, its own fee included. A fee that was told stays what it was."""
    invoice, last = case.invoice, case.last
    was_told = last is not None and last.position == stage.position
    fee = last.fee if last is not None and was_told else own_fee(invoice, stage)
    return Owed(
        open_amount=invoice.open_amount,
        fees=rounded(case.fees + fee, invoice.currency),
        currency=invoice.currency,
    )


def own_fee(invoice: Invoice, stage: Stage) -> Decimal:
    """What the stage adds by itself."""
    return fee_of(stage, invoice.open_amount, invoice.currency)


class Picking:
    """Picks for each contact the one invoice to ask for today, the most urgent.

    Invoices are given page by page, those of a contact one after the other.
    """

    def __init__(self, stages: Sequence[Stage], *, today: date, hosts: Sequence[str]) -> None:
        self._stages = stages
        self._today = today
        self._hosts = hosts
        self._best: Due | None = None  # of the contact whose invoices may go on

    def picked(self, page: Iterable[Overdue]) -> list[Due]:
        """Of the contacts that are complete with this page."""
        complete = []
        for overdue in page:
            due = self._due(overdue)
            if due is None:
                continue
            best = self._best
            if best is not None and best.invoice.contact_id != due.invoice.contact_id:
                complete.append(best)
                best = None
            is_better = best is None or self._urgency(due) > self._urgency(best)
            self._best = due if is_better else best
        return complete

    def rest(self) -> list[Due]:
        """Of the last contact, when there is no page left."""
        return [] if self._best is None else [self._best]

    def _due(self, overdue: Overdue) -> Due | None:
        invoice = overdue.invoice
        if invoice.open_amount <= 0:
            return None
        days = invoice.days_overdue(self._today)
        stage = due_stage(self._stages, days_overdue=days, sent=overdue.sent)
        return None if stage is None else Due(invoice, stage)

    def _urgency(self, due: Due) -> tuple[bool, int, int]:
        """One with a link that is refused comes last, so that it cannot hold up the others."""
        is_payable = has_good_link(due.invoice, self._hosts)
        return is_payable, due.stage.position, -due.invoice.due_on.toordinal()


def has_good_link(invoice: Invoice, hosts: Sequence[str]) -> bool:
    """Without a link it is paid as the invoice says."""
    try:
        return invoice.payment_link is None or bool(payment_link(invoice.payment_link, hosts))
    except LinkRefusedError:
        return False
