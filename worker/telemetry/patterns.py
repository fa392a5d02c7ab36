"""Personal data and secrets inside free text, found by shape and, where there is one, checksum.

The checks are what keeps order numbers, epoch milliseconds, UUIDs, hashes and timestamps intact.
Every pattern is linear (bounded repeats, anchored starts), and texts are cut before they are read.
"""

import base64
import binascii
import re
from collections.abc import Callable

MAX_TEXT = 8192
CUT = " […]"
_PASSES = 4  # two numbers that touch hide each other, until one of them is gone

Replace = Callable[[re.Match[str]], str]

# Registered lengths: https://www.swift.com/standards/data-standards/iban-international-bank-account-number
_IBAN_COUNTRIES = {
    15: "NO",
    16: "BE",
    18: "DK FI FO GL NL SD FK",  # codespell:ignore
    19: "MK SI",
    20: "AT BA EE KZ LT LU XK MN",
    21: "CH CR HR LI LV",
    22: "BG BH DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HU LB PL SV NI",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
}
# Issuers' prefixes and lengths. Visa's thirteen digits are left out: those cards are gone, while
# product bar codes and epoch milliseconds have thirteen.
_CARD_ISSUERS = re.compile(
    r"(?=\d{16}\Z)(?:4|5[1-5]|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720|20[0-4])|9792)\d*"
    r"|4\d{18}"  # the line above: Visa, Mastercard, Mir, Troy; this one: Visa's long numbers
    r"|3[47]\d{13}"  # American Express
    r"|3(?:0[0-5]|[68]\d)\d{11}"  # Diners Club
    r"|(?=\d{16,19}\Z)(?:60|62|63|64[4-9]|65|67|81|35(?:2[89]|[3-8]\d)|50[123]|5893)\d*"
)
_MIN_TOKEN = 20


def _is_iban(text: str) -> bool:
    """ISO 13616: letters count from 10, the first four signs go last, the rest of / 97 is 1."""
    compact = re.sub(r"[ \u00a0]", "", text).upper()
    number = "".join(str(int(sign, 36)) for sign in compact[4:] + compact[:4])
    return int(number) % 97 == 1


def _is_card(text: str) -> bool:
    """An issuer's prefix and length, and the check digit of ISO/IEC 7812 (Luhn)."""
    digits = re.sub(r"\D", "", text)
    if not _CARD_ISSUERS.fullmatch(digits):
        return False
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(map(int, digits[::-2])) + sum(doubled)) % 10 == 0


def _is_tckn(text: str) -> bool:
    """Turkish identity number: the tenth digit checks the first nine, the last one the ten."""
    digits = [int(digit) for digit in text]
    tenth = (7 * sum(digits[0:9:2]) - sum(digits[1:8:2])) % 10
    return digits[9] == tenth and digits[10] == sum(digits[:10]) % 10


def _is_phone(text: str) -> bool:
    # "+3 2026-11-21" is a day, not a subscriber.
    return not re.search(r"\d{4}-\d\d-\d\d", text)


def _is_secret_token(text: str) -> bool:
    """True for what follows Bearer when it is no English word ("bearer authentication")."""
    return len(text) >= _MIN_TOKEN or any(sign.isdigit() for sign in text)


def _is_basic(text: str) -> bool:
    """RFC 7617: base64 of `user:password`."""
    try:
        return b":" in base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return False


def _checked(check: Callable[[str], bool], label: str, group: int = 0) -> Replace:
    def replace(match: re.Match[str]) -> str:
        if not check(match[group]):
            return match[0]
        start, end = match.start(group) - match.start(), match.end(group) - match.start()
        return match[0][:start] + label + match[0][end:]

    return replace


def _iban_pattern() -> str:
    lengths = (
        f"(?:{names.replace(' ', '|')})\\d\\d(?:[ \u00a0]?[A-Z0-9]){{{length - 4}}}"
        for length, names in _IBAN_COUNTRIES.items()
    )
    return f"(?<![^\\W_])(?=[A-Z]{{2}}\\d\\d)(?:{'|'.join(lengths)})(?![^\\W_])"


_LABELS = (
    r"pass(?:word|wd|phrase)|pwd|parola|[sş]ifre|secret|token|api[_-]?key|access[_-]?key"
    r"|private[_-]?key|subscription[_-]?key|account[_-]?key|authorization|sessionid"
)
_LABEL_HINTS = ("pass", "pwd", "parola", "ifre", "secret", "token", "key", "authorization", "sessi")
_QUERY_NAMES = rf"{_LABELS}|key|sig|signature|code|x-(?:amz|goog)-(?:signature|credential)"
# What stands there hidden already is left: doing it twice shall change nothing.
_HIDDEN = r"(?!\[secret\])"
_VALUE = _HIDDEN + r"""(?:"[^"\n]{0,500}"|'[^'\n]{0,500}'|[^\s"'&,;)}<>]{1,2000})"""

_DATABASES = "postgres postgresql redis rediss valkey valkeys amqp amqps mongodb mongodb+srv mysql"
_DATABASE = "|".join(re.escape(name).join(("(?<=", "://)")) for name in _DATABASES.split())
_DIGITS = ("digits",)  # instead of hints: three digits in a row

# (hints: one of them is in the text in lower case, pattern, replacement). The order matters: the
# first ones look at whole tokens, the last ones at numbers that could stand inside those.
_PATTERNS: tuple[tuple[tuple[str, ...], re.Pattern[str], str | Replace], ...] = (
    (
        ("://",),  # a password in a database address may hold a slash
        re.compile(
            rf"://(?:{_DATABASE})[^\s\"'<>@]{{0,300}}(?:@[^\s\"'<>@/]{{1,100}}){{0,2}}@",
            re.IGNORECASE,
        ),
        "://[credentials]@",
    ),
    (("://",), re.compile(r"://[^\s\"'<>/?#]{1,500}@"), "://[credentials]@"),
    (
        ("eyj",),
        re.compile(r"eyJ(?<![\w-]eyJ)[\w-]{5,4096}\.[\w-]{5,4096}(?:\.[\w-]{0,4096}){0,3}"),
        "[jwt]",
    ),
    (
        ("bearer", "token"),
        re.compile(r"\b(?:bearer|token)\s{1,3}([\w.~+/=-]{8,4096})", re.IGNORECASE),
        _checked(_is_secret_token, "[token]", 1),
    ),
    (
        ("basic",),
        re.compile(r"\bbasic\s{1,3}([A-Za-z0-9+/]{4,4096}={0,2})", re.IGNORECASE),
        _checked(_is_basic, "[credentials]", 1),
    ),
    (
        ("@",),
        re.compile(
            r"(?<![\w.%+-])[\w.%+-]{1,256}@(?:[^\W_](?:[\w-]{0,62})\.){1,8}[^\W\d_]{2,24}(?![\w-])"
        ),
        "[email]",
    ),
    (
        ("?", "&"),
        re.compile(
            rf"([?&](?:[\w-]{{0,40}}[_-])?(?:{_QUERY_NAMES})=){_HIDDEN}[^&\s\"'<>#]+", re.IGNORECASE
        ),
        r"\1[secret]",
    ),
    (  # `password=x`, and JSON or a dict printed into the text
        _LABEL_HINTS,
        re.compile(rf"""((?:{_LABELS})(?:\s?=|["']\s?:)\s?+){_VALUE}""", re.IGNORECASE),
        r"\1[secret]",
    ),
    (
        ("pass", "parola", "ifre", "authorization"),
        re.compile(
            r"((?:pass(?:word|wd)|parola|[sş]ifre|authorization)\s?:\s?+"
            rf"(?:(?:bearer|basic|digest|token)\s(?=\S))?+){_VALUE}",
            re.IGNORECASE,
        ),
        r"\1[secret]",
    ),
    (
        ("cookie",),
        re.compile(rf"(cookie2?\s?:\s?+){_HIDDEN}[^\n]{{1,4096}}", re.IGNORECASE),
        r"\1[secret]",
    ),
    (_DIGITS, re.compile(_iban_pattern(), re.IGNORECASE), _checked(_is_iban, "[iban]")),
    (
        _DIGITS,
        re.compile(
            r"\d(?<![\w-]\d)(?<!\d\.\d)(?:\d{13,18}"
            r"|\d{3}([ -])\d{4}\1\d{4}\1\d{4}(?:\1\d{3})?|\d{3}([ -])\d{6}\2\d{4,5})"
            r"(?![\w-])(?!\.\d)",
            re.ASCII,
        ),
        _checked(_is_card, "[card]"),
    ),
    (
        _DIGITS,
        re.compile(r"[1-9](?<!\w[1-9])(?<!\d\.[1-9])\d{10}(?!\w)(?!\.\d)", re.ASCII),
        _checked(_is_tckn, "[tckn]"),
    ),
    (
        ("vkn", "tax", "vergi"),  # its one check digit would let one number in ten through
        re.compile(
            r"\b(?:vkn|tax (?:id|no|number)|vergi (?:kimlik )?(?:no|numaras.))"
            r"\W{1,3}(\d{10})(?!\w)",
            re.IGNORECASE,
        ),
        _checked(str.isdigit, "[tax number]", 1),
    ),
    (
        ("+",),
        re.compile(r"\+(?<![\w+.]\+)[1-9](?:[ ./()-]{0,2}\d){7,14}(?!\w)"),
        _checked(_is_phone, "[phone]"),
    ),
    (
        _DIGITS,  # Turkish numbers as people write them; bare ten digits are an order number
        re.compile(
            r"(?<![\w+.-])(?:05\d{9}"
            r"|(?:00?90[ -]?|90[ -]|0[ -]?)?\(?[2-5]\d\d\)?[ -]\d{3}[ -]\d\d[ -]?\d\d"
            r"|(?:0090|90)5\d{9})(?![\w-])"
        ),
        "[phone]",
    ),
)
_THREE_DIGITS = re.compile(r"\d{3}")
# Most of what is logged: words, names of jobs and queues, UUIDs. Nothing above fits into these.
_HARMLESS = re.compile(
    r"(?!.*(?:bearer|basic|token) )[a-z_. -]{0,80}|[0-9a-f]{8}(-?)(?:[0-9a-f]{4}\1){3}[0-9a-f]{12}",
    re.IGNORECASE | re.ASCII,
)


def redact_text(text: str) -> str:
    """The text without secrets and personal data; cut after `MAX_TEXT` signs. Never raises."""
    if _HARMLESS.fullmatch(text):
        return text
    text = _cut(text)
    for _ in range(_PASSES):
        before = text
        text = _hide(text)
        if text == before:
            break
    return text


def _hide(text: str) -> str:
    lowered = text.lower()
    has_digits = _THREE_DIGITS.search(text) is not None
    for hints, pattern, replacement in _PATTERNS:
        if has_digits if hints is _DIGITS else any(hint in lowered for hint in hints):
            text = pattern.sub(replacement, text)
    return text


def _cut(text: str) -> str:
    if len(text) <= MAX_TEXT:
        return text
    head = text[: MAX_TEXT - len(CUT)]
    # Half an address would no longer look like one: drop the word that the cut runs through.
    whole = head.rpartition(" ")[0]
    return (whole if len(head) - len(whole) < MAX_TEXT // 8 else head) + CUT
