from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from clients.phone import e164, sms_number
from jobs.dunning.core.links import payment_link
from worker.demo.customers.people import CUSTOMERS, appointment_of, invoice_of
from worker.demo.tenants import TENANTS, DemoTenant

each_tenant = pytest.mark.parametrize("tenant", TENANTS, ids=lambda tenant: str(tenant.locale))


@each_tenant
def test_nobody_can_be_reached(tenant: DemoTenant) -> None:
    customer = CUSTOMERS[tenant.tenant_id]
    number = sms_number(customer.phone, country=tenant.country)

    assert customer.email.endswith("@example.org")
    assert number is not None
    assert number == e164(customer.phone, country=tenant.country)
    assert number[5:].startswith("55501")


@each_tenant
@pytest.mark.parametrize("hour", [0, 4, 12, 23])
def test_the_invoice_is_overdue_and_may_be_paid_where_it_says(
    tenant: DemoTenant, hour: int
) -> None:
    now = datetime(2026, 12, 3, hour, 30, tzinfo=UTC)
    invoice = invoice_of(tenant, now)

    today = now.astimezone(ZoneInfo(tenant.timezone)).date()
    assert today - invoice.due_on == timedelta(days=12)
    assert payment_link(invoice.payment_link, [tenant.payment_host]) == invoice.payment_link


@each_tenant
@pytest.mark.parametrize("hour", [0, 5, 12, 23])
def test_the_appointment_is_tomorrow_in_business_hours(tenant: DemoTenant, hour: int) -> None:
    now = datetime(2026, 12, 3, hour, 59, tzinfo=UTC)
    zone = ZoneInfo(tenant.timezone)
    appointment = appointment_of(tenant, now)

    start = appointment.starts_at.astimezone(zone)
    assert start.date() == now.astimezone(zone).date() + timedelta(days=1)
    assert (start.hour, start.minute) == (10, 30)
    assert appointment == appointment_of(tenant, now + timedelta(minutes=1, seconds=-60))


def test_each_day_has_an_appointment_of_its_own() -> None:
    now = datetime(2026, 12, 3, 9, tzinfo=UTC)
    found = {
        appointment_of(tenant, now + timedelta(days=days)).appointment_id
        for tenant in TENANTS
        for days in range(3)
    }

    assert len(found) == 3 * len(TENANTS)
