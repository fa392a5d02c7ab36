"""What Twilio's error codes mean to whoever sends an SMS.

The codes of its error dictionary (twilio.com/docs/api/errors), by what can be done about them.
"""

import re
from types import MappingProxyType

import httpx

from clients.errors import (
    AccountRefusedError,
    DeliveryUnknownError,
    RecipientOptedOutError,
    RecipientUnreachableError,
    RequestRejectedError,
    ServiceError,
    ServiceUnavailableError,
    ThrottledError,
)
from clients.http import retry_after
from clients.mail import without_addresses

_UNAUTHORIZED, _THROTTLED, _REQUEST_TIMEOUT = 401, 429, 408
_OPTED_OUT = 21610
_OF_ACCOUNT = frozenset({20003, 20404, 70004})  # of _SETTINGS: nothing at all is taken from us
_DIGITS = 5  # of a number or word; one with more is told to nobody
_NUMBER = re.compile(r"[+(]*\d(?:[\s().\-/]{0,3}\d)*")  # its digits may stand in groups
# Nothing is wrong with the SMS: somebody has to set something right, and then it can be sent.
_SETTINGS = MappingProxyType(
    {
        20003: "check TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN, and whether the account is active",
        20404: "check TWILIO_ACCOUNT_SID: there is no such account",
        21408: "allow the recipient's country in Twilio's geo permissions",
        21603: "set TWILIO_FROM or TWILIO_MESSAGING_SERVICE_SID",
        21606: "check TWILIO_FROM and the tenant's sms_from: it cannot send SMS",
        21608: "a trial account sends to verified numbers only: upgrade it",
        21609: "check PUBLIC_URL: Twilio refuses it for status callbacks",
        21659: "check TWILIO_FROM and the tenant's sms_from: it is no number of Twilio's",
        21660: "check TWILIO_FROM and the tenant's sms_from: it belongs to another account",
        21701: "check TWILIO_MESSAGING_SERVICE_SID: there is no such service",
        21703: "add a number to the service of TWILIO_MESSAGING_SERVICE_SID",
        21705: "check TWILIO_MESSAGING_SERVICE_SID: it is not valid",
        30034: "register TWILIO_FROM for A2P 10DLC",
        70004: "check TWILIO_AUTH_TOKEN: the key may not send messages",
    }
)
_UNREACHABLE = MappingProxyType(
    {
        21211: "not a valid number",
        21612: "no route leads to this number",
        21614: "not a mobile number",
        21635: "a landline",
    }
)


def refusal(reply: httpx.Response) -> ServiceError:
    """The error of an answer that is none of success."""
    code, words = _told(reply)
    named = f"Twilio answered {reply.status_code}" + (f"/{code}" if code else "")
    if reply.status_code == _THROTTLED:  # 20429: it did nothing
        return ThrottledError(named, retry_after=retry_after(reply))
    if reply.is_server_error:
        is_sent = reply.request.method == "POST"
        broken = DeliveryUnknownError if is_sent else ServiceUnavailableError
        return broken(named, retry_after=retry_after(reply))
    if reply.status_code == _REQUEST_TIMEOUT:
        return ServiceUnavailableError(named)
    if reply.status_code == _UNAUTHORIZED and code not in _SETTINGS:
        code = 20003
    return _by_code(code, named, words)


def _by_code(code: int, named: str, words: str) -> ServiceError:
    if code in _SETTINGS:
        kind = AccountRefusedError if code in _OF_ACCOUNT else ServiceUnavailableError
        return kind(f"{named}: {_SETTINGS[code]}")
    if code == _OPTED_OUT:
        return RecipientOptedOutError(f"{named}: the recipient replied STOP")
    if code in _UNREACHABLE:
        return RecipientUnreachableError(f"{named}: {_UNREACHABLE[code]}")
    return RequestRejectedError(f"{named}: {words}" if words else named)


def _told(reply: httpx.Response) -> tuple[int, str]:
    """Code (0: none) and words of an error body, of the old kind or of RFC 9457's."""
    try:
        body = reply.json()
    except ValueError:  # the edge answers in HTML
        return 0, ""
    if not isinstance(body, dict):
        return 0, ""
    code = str(body.get("code"))
    words = body.get("message") or body.get("detail") or body.get("title") or ""
    return int(code) if code.isdecimal() else 0, _without_numbers(str(words))


def _without_numbers(words: str) -> str:
    """Numbers also as people write them, +90 (532) 123-45-67; and ids, which have digits too."""
    known = " ".join(map(_without_id, without_addresses(words).split()))
    return _NUMBER.sub(lambda found: _hidden(found[0]), known)


def _without_id(word: str) -> str:
    return _hidden(word) if word.isalnum() else word


def _hidden(text: str) -> str:
    return "(number)" if sum(one.isdigit() for one in text) > _DIGITS else text
