import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.sms_text import length
from jobs.messaging.fitting import fitted

LINK = "https://pay.example.com/i/8f14e45f"


def test_what_fits_stays_as_it_is() -> None:
    text = "Sayın Işık, randevunuz yarın 14:30'da. Görüşmek üzere."

    assert fitted(text, segments=1, transliterates=False) == text


def test_plainer_letters_are_for_tenants_that_want_them() -> None:
    text = "Sayın Ayşe Işık, yarın 14:30'daki randevunuzu hatırlatmak isteriz. Görüşmek üzere."

    assert length(fitted(text, segments=4, transliterates=False)).segments == 2
    plain = fitted(text, segments=4, transliterates=True)
    assert plain.startswith("Sayin Ayse Isik, yarin")
    assert length(plain).segments == 1


def test_a_link_at_the_end_stays_whole() -> None:
    text = "Ödemeniz gecikti. " + "Lütfen en kısa sürede ödeyin. " * 20 + LINK

    made = fitted(text, segments=2, transliterates=False)

    assert made.startswith("Ödemeniz gecikti.")
    assert made.endswith(f"... {LINK}")
    assert length(made).segments == 2


def test_a_link_that_leaves_no_room_is_all_there_is() -> None:
    link = "https://pay.example.com/" + "x" * 200

    assert fitted(f"Bitte {link}", segments=1, transliterates=False) == link


@pytest.mark.parametrize("transliterates", [True, False])
@given(words=st.lists(st.text("abcığüşöç€{}", min_size=1, max_size=12), max_size=80))
def test_it_never_takes_more_than_it_may(words: list[str], *, transliterates: bool) -> None:
    for text in (" ".join(words), " ".join([*words, LINK])):
        made = fitted(text, segments=2, transliterates=transliterates)

        assert length(made).segments <= 2
        assert made.endswith(LINK) == text.endswith(LINK)
