"""A 429 of one channel's provider lets the others of that channel wait, and nobody else."""

from datetime import timedelta
from uuid import UUID

import pytest

from jobs.kit import Run
from tests.clients.mails import NOW
from worker.deliveries.throttling import pause_of
from worker.enqueuer import Pool

TENANT = UUID(int=7)


def run_of(job: str) -> Run:
    return Run("run", job, "dunning", 1, "run", NOW, "c", TENANT)


async def held(pool: Pool) -> set[str]:
    return {key.decode() async for key in pool.scan_iter("deskhand:hold:*")}


@pytest.mark.parametrize(
    ("job", "channel", "keys"),
    [
        ("dunning.send_payment_reminder", "sms", {"sms", f"sms:{TENANT}"}),
        ("dunning.send_payment_reminder", "email", {"email", f"email:{TENANT}"}),
        (
            "reminders.send_appointment_reminder",
            "sms",
            {"reminders:sms", f"reminders:sms:{TENANT}"},
        ),
        ("email.send_welcome", "sms", set()),
    ],
)
async def test_only_the_keys_of_the_channel_rest(
    pool: Pool, job: str, channel: str, keys: set[str]
) -> None:
    await pause_of(pool, run_of(job), channel)(timedelta(minutes=2))

    assert await held(pool) == {f"deskhand:hold:{key}" for key in keys}
    for key in keys:
        assert 118_000 < await pool.pttl(f"deskhand:hold:{key}") <= 120_000


async def test_a_redis_that_is_away_fails_no_message(redis_url: str, pool: Pool) -> None:
    await pool.aclose()
    gone = Pool.from_url("redis://127.0.0.1:1")

    await pause_of(gone, run_of("email.send_welcome"), "email")(timedelta(minutes=2))
