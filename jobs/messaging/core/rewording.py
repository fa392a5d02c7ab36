"""May these words, which nobody has read, be sent in the place of those?

Whoever made them up may have been talked into anything by what stands in the text. So this is
strict about all that could be promised, asked for or led to: words that say more than the original
did are not taken, and the original is good enough.
"""

import re
import unicodedata
from collections import Counter
from typing import Final

from jobs.messaging.core.formats import lower

LONGEST: Final = 2000  # characters of an original
_SHORTEST_SHARE, _LONGEST_SHARE = 0.5, 1.5
# Besides Latin letters and figures. Markup, placeholders, quotes, currencies, pictures, what is not
# seen and who shouts or presents an answer need other signs.
_PLAIN: Final = frozenset(" .,;?'’-–—")
_FIGURES: Final = frozenset("0123456789")
# Whatever a mail program makes a link or an address of.
_LINK: Final = re.compile(r"://|^www\.|@|\w\.[^\W\d_]{2,}", re.IGNORECASE)
_FIGURE: Final = re.compile(r"\d(?:[\d.,:/+-]*\d)?")
_WORD: Final = re.compile(r"[^\W\d_]+")


def _list(words: str) -> tuple[str, ...]:
    return tuple(words.split())


# Offers, amounts and dates without a figure, and ways to elsewhere.
_ENGLISH: Final = frozenset(
    _list("""
    free discount discounts refund refunds guarantee guaranteed percent dollar dollars euro euros
    pound pounds lira liras cent cents cheaper price prices cost costs pay payment password
    click link download bank account iban card whatsapp telegram com net org www http https
    today tomorrow tonight monday tuesday wednesday thursday friday saturday sunday
    january february march april june july august september october november december
    two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty sixty
    seventy eighty ninety hundred thousand million half dozen
    """)
)
# These may have endings.
_TURKISH: Final = _list("""
    ücret bedava indir iade garanti yüzde dolar avro euro lira kuruş fiyat ödeme ödeyin şifre
    parola tıkla link banka hesap hesab iban kart bugün yarın pazar pazartesi salı çarşamba
    perşembe cuma cumartesi ocak şubat mart nisan mayıs haziran temmuz ağustos eylül ekim kasım
    aralık iki üç dört beş altı yedi sekiz dokuz yirmi otuz kırk elli altmış yetmiş seksen doksan
    yüz bin milyon yarım
    """)
_MARKS: Final = {
    "en": frozenset(
        _list("""
        the a an and or you your to is are was were we our us for of in on it how if that this with
        will can have
        """)
    ),
    "tr": frozenset(
        _list("""
        ve bir bu şu için ile de da mi ne nasıl çok her size sizin sizi siz bize biz bizi ki gibi
        daha kadar sonra önce hakkında olarak var ya
        """)
    ),
}


def problem_of(original: str, reworded: str, *, locale: str) -> str | None:
    """Why the one cannot take the other's place, without quoting either; None when it can.

    Both are plain text on one line. Links, addresses and figures of the original are all kept.
    """
    if len(original) > LONGEST:
        return "the original is too long"
    if not _SHORTEST_SHARE <= len(reworded) / max(len(original), 1) <= _LONGEST_SHARE:
        return "it is empty, or its length is another"
    known, said = _words(original, locale), _words(reworded, locale)
    wrong = {
        "it has signs that were not there": _signs(reworded) - _signs(original),
        "its links or addresses are others": _links(reworded) != _links(original),
        "its figures are others": _FIGURE.findall(reworded) != _FIGURE.findall(original),
        "it says what was not there": _telling(said) - _telling(known),
        "it is in another language": not _is_same_language(known, said, locale),
    }
    return next((why for why, is_so in wrong.items() if is_so), None)


def _signs(text: str) -> Counter[str]:
    return Counter(sign for sign in text if not _is_plain(sign))


def _is_plain(sign: str) -> bool:
    """Letters of other scripts may look like one of ours."""
    is_letter = sign.isalpha() and unicodedata.name(sign, "").startswith("LATIN ")
    return is_letter or sign in _PLAIN or sign in _FIGURES


def _links(text: str) -> Counter[str]:
    return Counter(one.strip(".,;?") for one in text.split() if _LINK.search(one))


def _words(text: str, locale: str) -> list[str]:
    return _WORD.findall(lower(text, locale=locale))


def _telling(words: list[str]) -> set[str]:
    english = {word for word in words if word in _ENGLISH}
    return english | {known for known in _TURKISH for word in words if word.startswith(known)}


def _is_same_language(known: list[str], said: list[str], locale: str) -> bool:
    """By the small words that no sentence lacks, if the original had any."""
    counts = {name: sum(word in marks for word in said) for name, marks in _MARKS.items()}
    own = counts.pop(locale)
    return own > max(counts.values()) or _MARKS[locale].isdisjoint(known)
