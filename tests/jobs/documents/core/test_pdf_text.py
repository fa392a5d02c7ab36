import pytest

from jobs.documents.core import pdf_text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("ş ğ ı İ ₺", "ş ğ ı İ ₺"),
        ("s\u0327 g\u0306", "ş ğ"),
        ("漢字", "??"),
        ("5:00\u202fPM", "5:00\u00a0PM"),
        ("a\u2011b", "a-b"),
        ("a\r\n\tb", "a b"),
        ("a\x00\x1fb", "a b"),
        ("\u200bzero\u202e width\ufeff", "zero width"),
        ("👩\u200d🚀", "??"),
        ("", ""),
    ],
)
def test_a_text_becomes_one_line_of_what_the_font_has(value: str, shown: str) -> None:
    assert pdf_text.printable(value) == shown


@pytest.mark.parametrize(("length", "shown"), [(10, "x" * 10), (11, "x" * 9 + "…")])
def test_a_long_text_is_cut_visibly(length: int, shown: str) -> None:
    assert pdf_text.printable("x" * length, limit=10) == shown


def test_a_text_much_too_long_is_cut_visibly_even_if_most_of_it_is_blank() -> None:
    assert pdf_text.printable("a" + " " * 5000 + "b", limit=10) == "a…"


def test_a_line_is_cut_to_its_width() -> None:
    assert pdf_text.fitted("short", pdf_text.BOLD, 8, 100) == "short"
    assert pdf_text.fitted("W" * 300, pdf_text.BOLD, 8, 40) == "WWWWW…"


@pytest.mark.parametrize(
    ("link", "is_fine"),
    [
        ("https://sam.gov/opp/1/view?a=1&b=2", True),
        ("http://sam.gov", True),
        ("javascript:alert(1)", False),
        ("file:///etc/passwd", False),
        ("https://", False),
        ("https://[broken", False),
        ("null", False),
        ("https://münchen.example", False),
    ],
)
def test_only_plain_web_links_are_links(link: str, *, is_fine: bool) -> None:
    assert pdf_text.is_web_link(link) is is_fine
