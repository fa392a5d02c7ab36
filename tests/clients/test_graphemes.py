import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.graphemes import boundary, shortened

FAMILY = "👩\u200d👩\u200d👧"
SCOTLAND = "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"


@pytest.mark.parametrize(
    "cluster",
    ["e\u0301", "ş\u0323\u0307", FAMILY, "👍🏽", "🇹🇷", SCOTLAND, "❤\ufe0f", "1\ufe0f\u20e3", "각"],
)
def test_what_readers_see_as_one_is_kept_or_left_out(cluster: str) -> None:
    text = f"a{cluster}{cluster}b"

    for end in range(1, len(text)):
        place = boundary(text, end)
        assert place in {1, 1 + len(cluster), 1 + 2 * len(cluster)}


def test_a_text_that_is_one_character_is_cut_all_the_same() -> None:
    assert shortened("e" + "\u0301" * 500, 10) == "e" + "\u0301" * 8 + "…"


def test_flags_are_not_mixed_up() -> None:
    assert shortened("🇹🇷🇬🇷🇺🇸", 4) == "🇹🇷…"


@given(st.text("ab ş\u0301\u200d👩🏽🇹", max_size=30), st.integers(2, 30))
def test_it_is_never_longer_than_it_may_be(text: str, most: int) -> None:
    made = shortened(text, most)

    assert len(made) <= most
    assert made == text if len(text) <= most else made.endswith("…")
