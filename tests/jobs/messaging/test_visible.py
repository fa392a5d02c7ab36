import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.messaging.visible import seen, shows


def test_what_readers_see_is_told_apart_from_what_they_do_not() -> None:
    page = seen(
        "<html><head><title>T</title></head><body>One<!-- two --> three"
        "<p style='display:/* really */none'>four <b>five</b></p> six"
        "<a href='https://x.example/?a=1&amp;b=2'>seven</a><img alt='eight' src='cid:1'>"
        "<details><a href='https://y.example/'>nine</a></details></body></html>"
    )

    assert page.text == "One three six seven eight"
    assert page.links == {"https://x.example/?a=1&b=2"}
    assert page.targets == {
        ("href", "https://x.example/?a=1&b=2"),
        ("href", "https://y.example/"),
        ("src", "cid:1"),
    }


@pytest.mark.parametrize(
    "style",
    [
        "color:#FFF",
        "color: white",
        "color:transparent",
        "background:black; color:#000000",
        "font-size: 1px",
        "text-indent:-9000px",
        "height:0px;overflow:hidden",
        "visibility:collapse",
        "position:absolute;width:1px;height:1px;overflow:hidden",
        "position:absolute;clip:rect(0 0 0 0)",
        "transform:scale(0)",
    ],
)
def test_what_cannot_be_read_is_not_seen(style: str) -> None:
    page = seen(f"<html><body><p style='{style}'>x <a href='h'>y</a></p></body></html>")

    assert (page.text, page.links) == ("", frozenset())


@pytest.mark.parametrize(
    "style",
    [
        "color:#fff;background-color:#1f3a5f",
        "font-size:9px",
        "font-size:smaller",
        "opacity:.5",
        "display:block",
        "height:0;overflow:visible",
        "width:auto;overflow:hidden",
        "width:1em;overflow:hidden",
        "transform:scale(0.9)",
        "opacity:inherit",
        "margin-left:-8px",
        "color",
    ],
)
def test_what_looks_special_is_seen(style: str) -> None:
    page = seen(f"<html><body><p style='{style}'>x <a href='h'>y</a></p></body></html>")

    assert (page.text, page.links) == ("x y", frozenset({"h"}))


def test_colours_are_those_of_what_an_element_stands_in() -> None:
    page = seen(
        "<html><body bgcolor='#000'><p style='color:#fff'>light</p><p>dark</p>"
        "<div style='background:#fff'><p>on white</p></div></body></html>"
    )

    assert page.text == "light on white"


def test_a_font_of_the_grounds_colour_is_not_seen() -> None:
    page = seen(
        "<html><body><font color='#FFFFFF'>x</font><font color='red'>y</font></body></html>"
    )

    assert page.text == "y"


def test_words_are_found_whatever_stands_between_them() -> None:
    assert shows("Güneş Yapı\nBağdat Cad. 1\n34728 Kadıköy", "Bağdat Cad. 1, 34728 Kadıköy")
    assert not shows("Bağdat Cad. 2", "Bağdat Cad. 1")
    assert shows("anything", "")


@given(st.text("<>/ab!-='\"&;", max_size=60))
def test_no_markup_breaks_it(markup: str) -> None:
    seen(f"<html><body>{markup}</body></html>")
