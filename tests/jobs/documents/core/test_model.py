import pickle

from tests.jobs.documents.core.reports import make_analytics, make_report


def test_a_report_can_go_to_another_process() -> None:
    for report in (make_report("tr"), make_analytics()[0]):
        assert pickle.loads(pickle.dumps(report)) == report  # noqa: S301 - our own bytes
