import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.sms_text import length
from jobs.messaging.fitting import TooLongError, fitted

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


# GSM-7 has room for 4 × 153 septets, UCS-2 for 4 × 67 units.
@pytest.mark.parametrize(
    ("words", "encoding"), [("Please pay soon. ", "GSM-7"), ("Şimdi ödeyin. ", "UCS-2")]
)
@pytest.mark.parametrize("room", [20, 60])
def test_a_long_link_stays_whole_and_leaves_the_rest_to_words(
    words: str, encoding: str, room: int
) -> None:
    most = 612 if encoding == "GSM-7" else 268
    link = "https://pay.example.com/" + "x" * (most - room - 24)

    made = fitted(f"Acme: {words * 20}{link}", segments=4, transliterates=False)

    assert made.startswith("Acme: ")
    assert made.endswith(f"... {link}")
    assert (length(made).segments, length(made).encoding) == (4, encoding)


def test_plainer_letters_are_better_than_no_words() -> None:
    link = "https://pay.example.com/" + "x" * 300  # too long for UCS-2

    made = fitted(f"Işık Yapı: ödemeniz gecikti. {link}", segments=4, transliterates=False)

    assert made == f"Isik Yapi: ödemeniz gecikti. {link}"
    assert length(made).encoding == "GSM-7"


@pytest.mark.parametrize("transliterates", [True, False])
@pytest.mark.parametrize(
    "link", ["https://pay.example.com/" + "x" * 600, "https://pay.example.com/" + "ş" * 260]
)
def test_a_link_that_leaves_no_room_for_a_word_is_refused(
    link: str, *, transliterates: bool
) -> None:
    with pytest.raises(TooLongError):
        fitted(f"Ödeyin: {link}", segments=4, transliterates=transliterates)


def test_how_to_opt_out_is_kept_whatever_is_left_out() -> None:
    link = "https://pay.example.com/" + "x" * 470  # in UCS-2 there is no room for it
    text = (
        f"Iğdır Yapı: {'merhaba, size uygun bir zaman seçin ' * 4}{link} Almamak için STOP yazın."
    )

    made = fitted(text, segments=4, transliterates=False)

    assert made.startswith("Igdir Yapi: merhaba, size uygun")
    assert made.endswith(f"... {link} Almamak icin STOP yazin.")
    assert length(made).segments == 4


def test_plainer_letters_lead_nowhere_else() -> None:
    link = "https://ığdır.example/şube"

    assert fitted(f"Işık: {link}", segments=4, transliterates=True) == f"Işık: {link}"


@pytest.mark.parametrize(
    "link", [LINK, "www.pay.example/i/8f14e45f", "pay.example.com/i/8f14e45f?a=1"]
)
def test_a_link_in_the_middle_stays_whole_with_what_follows_it(link: str) -> None:
    text = f"Acme: {'choose a time that suits you ' * 20}: {link} Reply STOP to opt out."

    made = fitted(text, segments=2, transliterates=False)

    assert made.startswith("Acme: choose a time")
    assert made.endswith(f"... {link} Reply STOP to opt out.")
    assert length(made).segments == 2


def test_of_several_stretches_the_longest_is_shortened() -> None:
    text = f"Acme: {LINK} {'and so on ' * 40}"

    made = fitted(text, segments=1, transliterates=False)

    assert made.startswith(f"Acme: {LINK} and so on")
    assert made.endswith("...")
    assert length(made).segments == 1


@given(
    st.lists(st.sampled_from(["ödeme", "a", "😀", "{}", "\n", LINK, "x.co/1"]), max_size=60),
    st.integers(1, 4),
)
def test_no_link_is_ever_cut(words: list[str], segments: int) -> None:
    text = " ".join(words)
    try:
        made = fitted(text, segments=segments, transliterates=False)
    except TooLongError:
        assert LINK in text or "x.co/1" in text
        return

    assert length(made).segments <= segments
    assert made.count(LINK) == text.count(LINK)
    assert made.count("x.co/1") == text.count("x.co/1")


@pytest.mark.parametrize("transliterates", [True, False])
@given(words=st.lists(st.text("abcığüşöç€{}", min_size=1, max_size=12), max_size=80))
def test_it_never_takes_more_than_it_may(words: list[str], *, transliterates: bool) -> None:
    for text in (" ".join(words), " ".join([*words, LINK])):
        made = fitted(text, segments=2, transliterates=transliterates)

        assert length(made).segments <= 2
        assert made.endswith(LINK) == text.endswith(LINK)
