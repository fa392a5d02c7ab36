import pytest

from jobs.messaging.core.links import LONGEST, is_harmless, link_problems, web_link


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


def test_values_that_are_links_by_their_names_are_links_of_the_web() -> None:
    values = {
        "booking_url": "javascript:alert(1)",
        "link": "data:text/html,x",
        "shop_link": "https://shop.example/" + "x" * LONGEST,
        "url": "https://shop.example/",
        "map_href": "",
        "curl": "javascript:",
        "pay_url": None,
    }

    found = link_problems(values)

    assert sorted(found) == ["booking_url", "link", "shop_link"]
    assert found["link"].startswith("is an absolute http or https link")


@pytest.mark.parametrize(
    ("target", "attribute", "harmless"),
    [
        ("https://shop.example/", "href", True),
        ("HTTP://shop.example/", "href", True),
        ("mailto:help@shop.example", "href", True),
        ("tel:+902165550123", "href", True),
        ("#top", "href", True),
        ("javascript:alert(1)", "href", False),
        (" \x01JavaScript:alert(1)", "href", False),
        ("java\tscr\nipt:alert(1)", "href", False),
        ("data:text/html;base64,eA==", "href", False),
        ("vbscript:x", "href", False),
        ("file:///etc/passwd", "href", False),
        ("data:image/png;base64,eA==", "src", True),
        ("data:image/png;base64,eA==", "href", False),
        ("data:image/svg+xml,<svg onload=x>", "src", False),
        ("cid:logo", "src", True),
        ("javascript:x", "action", False),
    ],
)
def test_what_a_readers_program_would_run_is_no_target(
    target: str, attribute: str, *, harmless: bool
) -> None:
    assert is_harmless(target, attribute) is harmless
