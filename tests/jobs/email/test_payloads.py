from uuid import uuid4

import pytest

from jobs.email.find_weekly_summaries import find_weekly_summaries
from jobs.email.notify_proposal_change import notify_proposal_change
from jobs.email.payloads import UserPayload
from jobs.email.send_opportunity_reminder import send_opportunity_reminder
from jobs.email.send_proposal_notification import send_proposal_notification
from jobs.email.send_weekly_summary import send_weekly_summary
from jobs.email.send_welcome import send_welcome
from jobs.kit import Cron
from jobs.messaging.limits import MAIL_LIMITS
from worker.enqueuer import known_job

TENANT, USER = str(uuid4()), str(uuid4())


@pytest.mark.parametrize(
    ("alias", "data"),
    [
        ("welcome", {}),
        ("opportunity-reminder", {"opportunities": ["1"]}),
        ("proposal-notification", {"proposalId": str(uuid4())}),
        ("weekly-summary", {}),
    ],
)
def test_the_older_services_names_are_read_as_ours(alias: str, data: dict[str, object]) -> None:
    job = known_job(alias)

    old = job.validate({"orgId": TENANT, "userId": USER, "email": "ada@old.example", **data})

    assert isinstance(old, UserPayload)
    assert (str(old.tenant_id), str(old.user_id)) == (TENANT, USER)
    ours = {("proposal_id" if name == "proposalId" else name): data[name] for name in data}
    assert old == job.validate({"tenant_id": TENANT, "user_id": USER, **ours})
    assert "ada@old.example" not in old.model_dump_json()


def test_whatever_mails_keeps_to_the_limits_of_mail() -> None:
    for job in (
        send_welcome,
        send_opportunity_reminder,
        send_proposal_notification,
        send_weekly_summary,
    ):
        assert (job.controls.rate_limits, job.queue) == (MAIL_LIMITS, "email")


def test_what_fans_out_does_not_stand_in_the_way_of_mail() -> None:
    assert notify_proposal_change.queue == "email-processing"
    assert find_weekly_summaries.queue == "reminders"
    assert find_weekly_summaries.schedule == Cron("0 8 * * 1")
