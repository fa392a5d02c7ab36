from collections import defaultdict
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.dunning.core.cases import (
    Case,
    Invoice,
    Notice,
    Overdue,
    Picking,
    has_good_link,
    obstacle,
    owed,
)
from jobs.dunning.core.stages import DEFAULTS
from tests.jobs.dunning.rows import CONTACT, INVOICE, LINK, TODAY

HOSTS = ("pay.example",)
DAY = timedelta(days=1)
CASE = Case(invoice=INVOICE, contact=CONTACT)  # ten days overdue: step 2


def notice(position: int, *, days_ago: int = 1, **changes: Any) -> Notice:
    channels: frozenset[Any] = frozenset({"email"})
    sent_on = TODAY - days_ago * DAY
    return replace(
        Notice(position=position, sent_on=sent_on, channels=channels, fee=Decimal(0)), **changes
    )


def invoice(**changes: Any) -> Case:
    return replace(CASE, invoice=replace(INVOICE, **changes))


def test_a_stage_that_is_due_has_no_obstacle() -> None:
    assert obstacle(CASE, DEFAULTS, step=2, today=TODAY) is None
    assert obstacle(replace(CASE, last=notice(1)), DEFAULTS, step=2, today=TODAY) is None


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (invoice(state="paid"), "the invoice is paid"),
        (invoice(state="disputed"), "the invoice is disputed"),
        (invoice(state="void"), "the invoice is void"),
        (invoice(paid_amount=INVOICE.amount), "nothing of the invoice is open"),
        (invoice(paid_amount=INVOICE.amount + 5), "nothing of the invoice is open"),
        (invoice(paid_amount=Decimal("1250.4960")), "nothing of the invoice is open"),
        (replace(CASE, contact=replace(CONTACT, hold="paused")), "dunning is paused"),
        (replace(CASE, contact=replace(CONTACT, hold="stopped")), "dunning is stopped"),
        (invoice(due_on=TODAY - 9 * DAY), "not overdue for so long"),
        (invoice(due_on=TODAY + DAY), "not overdue for so long"),
        (invoice(due_on=TODAY - 21 * DAY), "a later stage is due by now"),
        (replace(CASE, last=notice(2)), "this stage was sent already"),
        (replace(CASE, last=notice(3)), "a later stage was sent already"),
    ],
)
def test_what_stands_in_the_way_is_said(case: Case, reason: str) -> None:
    assert reason in (obstacle(case, DEFAULTS, step=2, today=TODAY) or "")


def test_what_was_begun_today_may_be_finished_today() -> None:
    begun = replace(CASE, last=notice(2, days_ago=0))

    assert obstacle(begun, DEFAULTS, step=2, today=TODAY) is None
    assert obstacle(begun, DEFAULTS, step=2, today=TODAY + DAY) is not None


def test_fees_add_up_and_one_that_was_told_stays() -> None:
    stage = replace(DEFAULTS[1], fee_percent=Decimal(2))
    part_paid = replace(CASE, invoice=replace(INVOICE, paid_amount=Decimal("250.50")))

    fresh = owed(replace(part_paid, fees=Decimal("5.00")), stage)
    told = owed(replace(part_paid, last=notice(2, fee=Decimal("7.50"))), stage)

    assert (fresh.open_amount, fresh.fees, fresh.total) == (
        Decimal("1000.00"),
        Decimal("25.00"),
        Decimal("1025.00"),
    )
    assert told.fees == Decimal("7.50")


def of(contact: int, number: int, *, days: int, sent: int = 0, **changes: Any) -> Overdue:
    changes = {"due_on": TODAY - days * DAY, **changes}
    ids = replace(INVOICE, contact_id=UUID(int=contact), invoice_id=UUID(int=number))
    return Overdue(replace(ids, **changes), sent)


def pick(*pages: list[Overdue]) -> list[tuple[int, int]]:
    """The invoices by number, with their steps."""
    picking = Picking(DEFAULTS, today=TODAY, hosts=HOSTS)
    dues = [due for page in pages for due in picking.picked(page)] + picking.rest()
    return [(due.invoice.invoice_id.int, due.stage.position) for due in dues]


def test_of_each_contact_the_most_urgent_invoice_is_asked_for() -> None:
    page = [of(1, 11, days=4), of(1, 12, days=35, sent=3), of(1, 13, days=12), of(2, 21, days=3)]

    assert pick(page) == [(12, 4), (21, 1)]


def test_contacts_may_go_over_pages() -> None:
    pages = [[of(1, 11, days=4)], [of(1, 12, days=12)], [of(1, 13, days=4), of(2, 21, days=3)], []]

    assert pick(*pages) == [(12, 2), (21, 1)]
    assert pick() == []


def test_what_is_not_due_or_paid_but_for_a_crumb_is_left_out() -> None:
    crumb: dict[str, Any] = {"paid_amount": INVOICE.amount - Decimal("0.0040")}

    assert pick([of(1, 11, days=35, **crumb), of(1, 12, days=2), of(1, 13, days=4)]) == [(13, 1)]
    assert pick([of(1, 11, days=12, sent=2)]) == []


def test_an_invoice_with_a_refused_link_comes_last_but_comes() -> None:
    bad: dict[str, Any] = {"payment_link": "http://evil.example/"}

    assert pick([of(1, 11, days=35, **bad), of(1, 12, days=4)]) == [(12, 1)]
    assert pick([of(1, 11, days=35, **bad)]) == [(11, 4)]


def test_an_invoice_needs_no_link_but_a_good_one() -> None:
    def with_link(link: str | None) -> Invoice:
        return replace(INVOICE, payment_link=link)

    assert has_good_link(with_link(LINK), HOSTS)
    assert has_good_link(with_link(None), HOSTS)
    assert not has_good_link(with_link("https://evil.example/"), HOSTS)
    assert not has_good_link(with_link(LINK), ())


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[int, str, int | None]]:
    """Invoices of one contact: due day, how it ends, and when."""
    return draw(
        st.lists(
            st.tuples(
                st.integers(0, 40),
                st.sampled_from(["paid", "disputed", "void"]),
                st.one_of(st.none(), st.integers(0, 80)),
            ),
            min_size=1,
            max_size=6,
        )
    )


@given(invoices=histories(), days=st.lists(st.integers(0, 80), max_size=120))
def test_over_months_nobody_is_asked_twice_a_day_or_after_it_is_settled(
    invoices: list[tuple[int, str, int | None]], days: list[int]
) -> None:
    """The search and the last look before sending, on any days, several times on some."""
    first = date(2026, 1, 1)
    sent: dict[int, list[Notice]] = defaultdict(list)
    asked_on: set[date] = set()
    for day in sorted(days):
        today = first + day * DAY
        picking = Picking(DEFAULTS, today=today, hosts=HOSTS)
        page = []
        for number, (due, ending, at) in enumerate(invoices):
            state = "open" if at is None or day < at else ending
            known = of(1, number, days=0, due_on=first + due * DAY, state=state)
            if state == "open" and today not in asked_on:  # as the statement has it
                page.append(replace(known, sent=sent[number][-1].position if sent[number] else 0))
        for due_now in [*picking.picked(page), *picking.rest()]:
            number, step = due_now.invoice.invoice_id.int, due_now.stage.position
            case = Case(
                invoice=due_now.invoice,
                contact=CONTACT,
                last=sent[number][-1] if sent[number] else None,
            )
            assert obstacle(case, DEFAULTS, step=step, today=today) is None
            assert today not in asked_on
            asked_on.add(today)
            sent[number].append(notice(step, sent_on=today))

    for number, notices in sent.items():
        positions = [one.position for one in notices]
        assert positions == sorted(set(positions))
        due, _, at = invoices[number]
        for one in notices:
            day = (one.sent_on - first).days
            assert at is None or day < at
            assert day - due >= DEFAULTS[one.position - 1].days_overdue
