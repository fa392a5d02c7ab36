import json

from jobs.operations import core
from tests.jobs.operations.troubles import AT, trouble, waiting

BASE = "https://jobs.example.com"


def test_a_key_is_that_of_one_telling() -> None:
    keys = {trouble().key, trouble(edition=2).key, trouble(notice_id=18).key}

    assert keys == {"notice:17:1", "notice:17:2", "notice:18:1"}


def test_links_lead_to_the_runs_in_question() -> None:
    odd = trouble(job="a&b=c d")

    assert core.link_of(trouble(), BASE) == (
        f"{BASE}/api/v1/runs?job=email.send_opportunity_reminder&state=dead"
    )
    assert core.link_of(trouble(dead=0), BASE).endswith("&state=retrying")
    assert core.link_of(odd, BASE).endswith("runs?job=a%26b%3Dc+d&state=dead")
    assert core.link_of(waiting(), BASE) == f"{BASE}/api/v1/runs?queue=email&state=waiting"


def test_an_event_is_what_json_can_carry() -> None:
    data = core.event_data(trouble(), service="s", environment="production", base=BASE)

    assert json.loads(json.dumps(data)) == data
    assert data["opened_at"] == "2026-11-30T06:30:00Z"
    assert (data["notice_id"], data["kind"], data["count"]) == (17, "failures", 41)
    assert data["link"] == core.link_of(trouble(), BASE)


def test_a_mail_is_told_all_of_them_and_how_many_more() -> None:
    values = core.mail_values(
        (trouble(), waiting()), more=3, service="s", environment="test", base=BASE
    )

    assert [one["kind"] for one in values["notices"]] == ["failures", "waiting"]
    assert values["notices"][0]["first_at"] == AT
    assert (values["more"], values["service"], values["environment"]) == (3, "s", "test")
