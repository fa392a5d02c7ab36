import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.messaging.core.colours import ACCENT, contrast, palette

COLOURS = st.integers(0, 0xFFFFFF).map(lambda number: f"#{number:06x}")


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.478, abs=0.001)
    assert contrast("#123456", "#123456") == 1


@given(COLOURS)
def test_whatever_a_tenant_likes_can_be_read(accent: str) -> None:
    found = palette(accent)

    assert found.accent == accent
    assert contrast(found.link, "#f3f4f6") >= 4.5
    assert contrast(found.link_at_night, "#161b22") >= 4.5
    assert contrast(found.on_accent, found.accent) >= 4


@pytest.mark.parametrize("accent", ["#1f3a5f", "#0f766e", "#b91c1c"])
def test_a_colour_that_can_be_read_stays_as_it_is(accent: str) -> None:
    assert palette(accent).link == accent


@pytest.mark.parametrize("accent", [None, "", "red", "#fff", "#1f3a5f;}", "url(x)", "#1F3A5F "])
def test_what_is_no_colour_is_the_products(accent: str | None) -> None:
    assert palette(accent).accent == ACCENT
