import csv
import io
from datetime import date
from decimal import Decimal

import pytest

from jobs.documents.core import csv_file
from tests.jobs.documents.core.reports import local_row, make_report, written


def test_the_file_is_read_back_as_it_was_written() -> None:
    title = 'said "no",\r\nthen; “evet” – ığüşöçİ 漢字 🚀'

    file = written(csv_file.write, make_report(), [local_row(title=title)])

    head, row = csv.reader(io.StringIO(file.decode(), newline=""), strict=True)
    assert head[:2] == ["Notice ID", "Title"]
    assert row[1] == title
    assert row[5:7] == ["2026-02-03", "2026-04-02T00:30:00+03:00"]
    assert row[10:12] == ["1234567.89", "USD"]


def test_lines_end_as_the_standard_says() -> None:
    file = written(csv_file.write, make_report(), [local_row()] * 3)

    assert file.count(b"\r\n") == file.count(b"\n") == 4
    assert file.endswith(b"\r\n")


@pytest.mark.parametrize("with_bom", [True, False])
def test_a_byte_order_mark_is_a_choice(*, with_bom: bool) -> None:
    file = written(csv_file.write, make_report("tr"), [local_row()], with_bom=with_bom)

    assert file.startswith(b"\xef\xbb\xbf") is with_bom
    assert file.count(b"\xef\xbb\xbf") == int(with_bom)
    assert file.decode("utf-8-sig").startswith("İlan no,Başlık,")


@pytest.mark.parametrize(
    "text",
    [
        "=cmd|' /C calc'!A0",
        "+cmd|' /C calc'!A0",
        "-2+3+cmd|' /C calc'!A0",
        '@SUM(1+1)*HYPERLINK("http://evil.example")',
        "\t=1+1",
        "\r=1+1",
        "\n=1+1",
        " =1+1",
        "\u00a0=1+1",
        "+1+1",
        "-1-1",
        "--1",
        "- a list item",
        "+90 532 A1",
        "+90 5=1",
        "+",
        "=",
    ],
)
def test_what_could_be_a_formula_becomes_a_text(text: str) -> None:
    file = written(csv_file.write, make_report(), [local_row(title=text, awardee_name=text)])

    row = list(csv.reader(io.StringIO(file.decode(), newline="")))[1]
    assert row[1] == row[12] == f"'{text}"


@pytest.mark.parametrize(
    "text", ["-5", "-1,250.50", "+12", "+90 (532) 123-45-67", "+905321234567", "a=b", "", "a-b"]
)
def test_numbers_phones_and_plain_texts_stay_as_they_are(text: str) -> None:
    assert csv_file.harmless(text) == text


def test_negative_amounts_and_empty_cells_stay_as_they_are() -> None:
    row = local_row(award_amount=Decimal("-0.10"), due_at=None, due_on=date(2026, 4, 1))

    file = written(csv_file.write, make_report(), [row, local_row(award_amount=None)])

    _, first, second = csv.reader(io.StringIO(file.decode(), newline=""))
    assert (first[6], first[10], second[10]) == ("2026-04-01", "-0.10", "")


def test_large_and_small_amounts_are_written_without_an_exponent() -> None:
    amounts = [Decimal("1E+3"), Decimal("0.00000001"), Decimal("9999999999999999.99")]

    file = written(
        csv_file.write, make_report(), [local_row(award_amount=amount) for amount in amounts]
    )

    rows = list(csv.reader(io.StringIO(file.decode(), newline="")))[1:]
    assert [row[10] for row in rows] == ["1000", "0.00000001", "9999999999999999.99"]


def test_rows_are_counted_without_the_head() -> None:
    assert csv_file.write(io.BytesIO(), make_report(), []) == 0
    assert csv_file.write(io.BytesIO(), make_report(), [local_row()] * 3) == 3
