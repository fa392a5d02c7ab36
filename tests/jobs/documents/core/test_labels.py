import string

import pytest

from jobs.documents.core.labels import TEXTS, text


def test_both_languages_have_each_text_with_the_same_names_in_it() -> None:
    def names(template: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(template) if name}

    for key, (english, turkish) in TEXTS.items():
        assert english, key
        assert turkish, key
        assert names(english) == names(turkish), key


def test_a_text_is_filled_in() -> None:
    assert text("page_of", "en", page=2, pages=7) == "Page 2 of 7"
    assert text("page_of", "tr", page=2, pages=7) == "Sayfa 2 / 7"
    assert text("opportunities", "tr") == "İhale fırsatları"


def test_an_unknown_text_is_an_error() -> None:
    with pytest.raises(KeyError):
        text("no_such_text", "en")
