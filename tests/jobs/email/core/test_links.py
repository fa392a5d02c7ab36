import pytest

from jobs.email.core.links import one_line, web_link


@pytest.mark.parametrize(
    ("url", "link"),
    [
        ("https://sam.gov/opp/1/view", "https://sam.gov/opp/1/view"),
        (" http://sam.gov/opp?a=1&b=2 ", "http://sam.gov/opp?a=1&b=2"),
        ("HTTPS://sam.gov/", "HTTPS://sam.gov/"),
        ("javascript:alert(1)", None),
        ("JaVaScRiPt:alert(1)//https://sam.gov", None),
        ("data:text/html,<script>", None),
        ("//evil.example/", None),
        ("/opp/1", None),
        ("https://", None),
        ("https://[evil", None),
        ('https://sam.gov/"onclick="x', None),
        ("https://sam.gov/\nSubject: x", None),
        ("", None),
        (None, None),
    ],
)
def test_only_web_links_are_links(url: str | None, link: str | None) -> None:
    assert web_link(url) == link


def test_a_text_becomes_one_line() -> None:
    assert one_line(" Roof\r\n\r\nBcc: eve@x\t") == "Roof Bcc: eve@x"
