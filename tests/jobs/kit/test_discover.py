import pytest

from jobs.kit import all_jobs, discover

OURS = (
    "documents.generate_report",
    "email.send_opportunity_reminder",
    "sam_gov.import_opportunities",
)


@pytest.mark.parametrize("name", OURS)
def test_a_file_in_jobs_is_enough_to_make_its_job_known(name: str) -> None:
    found = discover()[name]

    assert found.name == name
    assert found.function.__module__ == f"jobs.{name}"


def test_an_alias_leads_to_the_same_job() -> None:
    found = discover()

    assert found["opportunity-reminder"] is found["email.send_opportunity_reminder"]


def test_all_jobs_has_each_job_once_and_by_name() -> None:
    names = [job.name for job in all_jobs()]

    assert names == sorted(set(names))
    assert set(names) == {job.name for job in discover().values()}
    assert "opportunity-reminder" not in names
