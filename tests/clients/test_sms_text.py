"""Segments as 3GPP TS 23.038 and 23.040 have them, against a second count by brute force."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.sms_text import Length, encoding_of, length, transliterated, trimmed

BASIC = "@£$¥èéùìòÇØøÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡AZÄÖÑÜ§¿azäöñüà\n\r"
EXTENDED = "^{}\\[~]|€\f"
GSM_TEXTS = st.text(st.sampled_from(BASIC + EXTENDED), max_size=700)
TEXTS = st.one_of(
    GSM_TEXTS, st.text(max_size=300), st.text(st.sampled_from("aş😀€ "), max_size=300)
)


def counted(text: str) -> int:
    """Segments, by filling them one character at a time."""
    is_gsm = all(
        character in BASIC + EXTENDED or (character.isascii() and character.isalpha())
        for character in text
    )
    alone, each = (160, 153) if is_gsm else (70, 67)
    costs = [
        (2 if character in EXTENDED else 1) if is_gsm else len(character.encode("utf-16-le")) // 2
        for character in text
    ]
    if sum(costs) <= alone:
        return 1 if text else 0
    segments = [0]
    for cost in costs:
        if segments[-1] + cost > each:
            segments.append(0)
        segments[-1] += cost
    return len(segments)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", Length("GSM-7", 0, 0)),
        ("a" * 160, Length("GSM-7", 160, 1)),
        ("a" * 161, Length("GSM-7", 161, 2)),
        ("a" * 306, Length("GSM-7", 306, 2)),
        ("a" * 307, Length("GSM-7", 307, 3)),
        ("€" * 80, Length("GSM-7", 160, 1)),
        ("€" * 81, Length("GSM-7", 162, 2)),
        # An escape is not parted from its character: one septet of the first segment stays empty.
        ("a" * 152 + "€" + "a" * 152, Length("GSM-7", 306, 3)),
        ("ş" * 70, Length("UCS-2", 70, 1)),
        ("ş" * 71, Length("UCS-2", 71, 2)),
        ("ş" * 134, Length("UCS-2", 134, 2)),
        ("ş" * 135, Length("UCS-2", 135, 3)),
        ("😀" * 35, Length("UCS-2", 70, 1)),
        # Nor the two halves of a character beyond 16 bits.
        ("😀" * 67, Length("UCS-2", 134, 3)),
        ("Ç", Length("GSM-7", 1, 1)),
        ("ç", Length("UCS-2", 1, 1)),
    ],
)
def test_the_length_of_known_texts(text: str, told: Length) -> None:
    assert length(text) == told


@given(TEXTS)
def test_segments_are_what_filling_them_gives(text: str) -> None:
    assert length(text).segments == counted(text)


@given(GSM_TEXTS)
def test_the_gsm_alphabet_is_the_whole_alphabet(text: str) -> None:
    assert encoding_of(text) == "GSM-7"


@given(TEXTS, TEXTS)
def test_more_text_never_takes_fewer_segments(text: str, more: str) -> None:
    assert length(text + more).segments >= length(text).segments


@given(TEXTS, st.integers(1, 5))
def test_a_trimmed_text_fits_and_begins_like_the_whole(text: str, segments: int) -> None:
    short = trimmed(text, segments=segments)

    assert length(short).segments <= segments
    assert short == text or text.startswith(short.removesuffix("..."))
    assert (short == text) == (length(text).segments <= segments)


def test_trimming_keeps_whole_words() -> None:
    short = trimmed("Randevunuz yarın " * 20, segments=1)

    assert short.endswith((" Randevunuz...", " yarın..."))
    assert length(short).units > 50


def test_trimming_parts_no_character_from_its_marks() -> None:
    assert trimmed("e\u0301" * 200, segments=1).removesuffix("...").endswith("\u0301")


def test_a_turkish_text_fits_the_gsm_alphabet() -> None:
    text = "Dr. Işık’ın “kliniği” — ÇçĞğİıÖöŞşÜü, 1.250,50 ₺… âîû"

    assert transliterated(text) == ('Dr. Isik\'in "klinigi" - ÇcGgIiÖöSsÜü, 1.250,50 TL... aiu')
    assert length(transliterated(text)).encoding == "GSM-7"


def test_a_text_that_needs_more_keeps_its_letters() -> None:
    assert transliterated("Görüşürüz 😀") == "Görüşürüz 😀"


def test_letters_in_two_parts_are_letters() -> None:
    assert transliterated("go\u0308ru\u0308s\u0327") == "görüs"


@given(TEXTS)
def test_transliterating_twice_changes_nothing_more(text: str) -> None:
    assert transliterated(transliterated(text)) == transliterated(text)
