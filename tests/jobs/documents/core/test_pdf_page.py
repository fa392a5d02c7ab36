from jobs.documents.core import pdf
from tests.jobs.documents.core.reports import local_row, make_report, pdf_texts, written


def test_the_running_head_starts_on_the_second_page() -> None:
    pages = pdf_texts(written(pdf.write, make_report(), [local_row()] * 60))

    head = "Iğdır Yapı A.Ş. · Contract opportunities"
    assert head not in pages[0]
    assert all(head in page for page in pages[1:])


def test_a_long_name_leaves_room_for_the_period() -> None:
    report = make_report(tenant_name="Wide Name " * 30)

    pages = pdf_texts(written(pdf.write, report, [local_row()] * 60))

    assert "… January 1, 2026 – March 31, 2026" in pages[1]


def test_every_page_says_when_its_numbers_were_true() -> None:
    pages = pdf_texts(written(pdf.write, make_report("tr"), [local_row()] * 60))

    assert all("Veriler: 20 Mar 2026, 14:05 (Europe/Istanbul)" in page for page in pages)
