import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.messaging.core.rewording import LONGEST, problem_of

ENGLISH = "Thank you for asking about Acme & Sons. Here is how to reach us, and how to find a time."
TURKISH = (
    "Güneş Yapı hakkında bilgi aldığınız için teşekkür ederiz. Bize nasıl ulaşacağınızı kısaca"
    " yazdık."
)
FULL = (
    "We kept 2 places at 10:30 for you, see https://book.example/a?b=1 or write to"
    " desk@acme.example for a time that is right."
)


@pytest.mark.parametrize(
    ("original", "reworded", "locale"),
    [
        (ENGLISH, "We are glad that you asked about Acme & Sons; here is how to reach us.", "en"),
        (ENGLISH, ENGLISH, "en"),
        (TURKISH, TURKISH, "tr"),
        (
            TURKISH,
            "Deniz Bey, Güneş Yapı ile ilgilendiğiniz için teşekkürler. Bize ulaşmak kolay.",
            "tr",
        ),
        (
            FULL,
            "We kept 2 places at 10:30. See https://book.example/a?b=1, or ask desk@acme.example",
            "en",
        ),
    ],
)
def test_other_words_of_the_same_meaning_are_taken(
    original: str, reworded: str, locale: str
) -> None:
    assert problem_of(original, reworded, locale=locale) is None


@pytest.mark.parametrize(
    ("added", "why"),
    [
        ("See evil.example.", "links"),
        ("See WWW.evil", "links"),
        ("See evil.com", "links"),
        ("See https://evil", "signs"),
        ("Write to a@evil.example", "signs"),
        ("See evil\u3002com", "signs"),
        ("See {{ name }}", "signs"),
        ("Dear [Name]", "signs"),
        ("Dear <name>", "signs"),
        ("<b>really</b>", "signs"),
        ("**really**", "signs"),
        ("Really\u200b", "signs"),
        ("Really\u202e", "signs"),
        ("It is great!", "signs"),
        ("Here it is:", "signs"),
        ("Dеar", "signs"),  # with a Cyrillic e
        ("It is \N{GRINNING FACE}", "signs"),
        ("It is ₺", "signs"),
        ("It is ①", "signs"),
        ("Call 0532 123 45 67", "figures"),
        ("It is 5", "figures"),
        ("It is free", "says"),
        ("Only fifty dollars", "says"),
        ("Come on Monday", "says"),
        ("Click the link", "says"),
        ("Pazartesiye kadar", "says"),
        ("Yüzde elli indirimli", "says"),
    ],
)
def test_what_was_not_there_is_not_sent(added: str, why: str) -> None:
    problem = problem_of(ENGLISH, f"{ENGLISH} {added}", locale="en")

    assert problem is not None
    assert why in problem


@pytest.mark.parametrize(
    ("lost", "taken", "why"),
    [
        ("https://book.example/a?b=1", "our page", "links"),
        ("https://book.example/a?b=1", "https://book.example/a?b=2", "links"),
        ("desk@acme.example", "our desk", "links"),
        ("2 places", "places", "figures"),
        ("10:30", "11:30", "figures"),
    ],
)
def test_links_addresses_and_figures_are_kept(lost: str, taken: str, why: str) -> None:
    problem = problem_of(FULL, FULL.replace(lost, taken), locale="en")

    assert problem is not None
    assert why in problem


@pytest.mark.parametrize("reworded", ["", "Thank you.", f"{ENGLISH} {ENGLISH}"])
def test_what_is_far_shorter_or_longer_is_another_text(reworded: str) -> None:
    assert "length" in str(problem_of(ENGLISH, reworded, locale="en"))


def test_a_very_long_original_is_left_alone() -> None:
    text = "a word " * LONGEST

    assert problem_of(text, text, locale="en") == "the original is too long"


@pytest.mark.parametrize(
    ("original", "reworded", "locale"),
    [
        (ENGLISH, TURKISH.replace("Güneş Yapı", "Acme & Sons"), "en"),
        (TURKISH, ENGLISH.replace("Acme & Sons", "Güneş Yapı"), "tr"),
        (
            ENGLISH,
            "Merci de nous avoir contactés au sujet de Acme & Sons, nous voici.",
            "en",
        ),
    ],
)
def test_another_language_is_not_sent(original: str, reworded: str, locale: str) -> None:
    assert problem_of(original, reworded, locale=locale) == "it is in another language"


@given(st.text(max_size=300), st.sampled_from(["en", "tr"]))
def test_of_any_text_it_says_something(said: str, locale: str) -> None:
    problem = problem_of(ENGLISH, said, locale=locale)

    assert problem is None or problem


@given(
    st.sampled_from('<>{}[]()*_`#|\\^~=@/:!"“”„«»%…$€₺\n\t\0\u200b\u202e\ufeff'),
    st.integers(0, len(ENGLISH)),
)
def test_no_sign_of_markup_comes_in_anywhere(sign: str, place: int) -> None:
    assert problem_of(ENGLISH, ENGLISH[:place] + sign + ENGLISH[place:], locale="en") is not None


@given(st.from_regex(r"\A[a-z]{1,12}\.(com|net|xyz|example|tr)\Z"), st.integers(0, len(ENGLISH)))
def test_no_name_of_a_host_comes_in_anywhere(host: str, place: int) -> None:
    assert problem_of(ENGLISH, f"{ENGLISH[:place]} {host} {ENGLISH[place:]}", locale="en")


@given(st.integers(0, 10**12), st.integers(0, len(FULL)))
def test_no_figure_comes_in_anywhere(figure: int, place: int) -> None:
    assert problem_of(FULL, f"{FULL[:place]} {figure} {FULL[place:]}", locale="en") is not None
