"""One notice: `opportunity` maps what SAM.gov sends to what we keep."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import TypeVar

import orjson

from jobs.sam_gov.core import values
from jobs.sam_gov.core.values import NoticeError

Raw = Mapping[str, object]
T = TypeVar("T")

_LONGEST_ID = 100
_LEVELS = 3  # department, sub tier, office
# The dots of "U.S. ARMY" part no names.
_SEPARATOR = re.compile(r"\.(?!\s)(?!(?<=\b\w\.)\w\.)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """A person to ask. Personal data: kept, never logged."""

    kind: str | None = None
    full_name: str | None = field(default=None, repr=False)
    title: str | None = field(default=None, repr=False)
    email: str | None = field(default=None, repr=False)
    phone: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opportunity:
    """One version of a notice. A deadline is an instant (`…_at`, UTC), or only a day (`…_on`)."""

    notice_id: str
    solicitation_number: str | None
    title: str
    notice_type: str
    base_type: str | None
    department: str | None
    sub_tier: str | None
    office: str | None
    posted_on: date
    response_due_at: datetime | None
    response_due_on: date | None
    archive_on: date | None
    set_aside_code: str | None
    set_aside: str | None
    naics_codes: tuple[str, ...]
    classification_code: str | None
    is_active: bool
    award_amount: Decimal | None
    award_currency: str | None
    award_number: str | None
    award_on: date | None
    awardee_name: str | None
    awardee_uei: str | None
    place_city: str | None
    place_state: str | None
    place_country: str | None
    contacts: tuple[Contact, ...] = field(repr=False)
    description_url: str | None
    ui_url: str | None
    resource_urls: tuple[str, ...]


def opportunity(raw: Raw) -> Opportunity:
    """Map a notice of `opportunitiesData`. Raises NoticeError, which names the field."""
    department, sub_tier, office = _agency(raw)
    base_type = values.text(raw.get("baseType"))
    # The second spelling is that of the service's own documentation.
    answer = _first(raw, "responseDeadLine", "reponseDeadLine", "responseDeadline")
    due_at, due_on = values.deadline("responseDeadLine", answer)
    award = _mapping(raw.get("award"))
    awardee = _mapping(award.get("awardee"))
    amount = values.money("award.amount", award.get("amount"))
    place = _mapping(raw.get("placeOfPerformance"))
    return Opportunity(
        notice_id=_notice_id(raw),
        solicitation_number=values.text(raw.get("solicitationNumber")),
        title=_required("title", values.text(raw.get("title"))),
        notice_type=values.text(raw.get("type")) or base_type or "Unspecified",
        base_type=base_type,
        department=department,
        sub_tier=sub_tier,
        office=office,
        posted_on=_required("postedDate", values.day("postedDate", raw.get("postedDate"))),
        response_due_at=due_at,
        response_due_on=due_on,
        archive_on=values.day("archiveDate", raw.get("archiveDate")),
        set_aside_code=values.text(_first(raw, "typeOfSetAside", "setAsideCode")),
        set_aside=values.text(_first(raw, "typeOfSetAsideDescription", "setAside")),
        naics_codes=_naics(raw),
        classification_code=values.text(raw.get("classificationCode")),
        # The search returns the latest active version: a notice that says nothing is active.
        is_active=values.claim("active", raw.get("active"), default=True),
        award_amount=amount,
        award_currency=None if amount is None else "USD",
        award_number=values.text(award.get("number")),
        award_on=values.day("award.date", award.get("date")),
        awardee_name=values.text(awardee.get("name")),
        awardee_uei=values.text(awardee.get("ueiSAM")),
        place_city=_city(place.get("city")),
        place_state=_code_or_name(place.get("state")),
        place_country=_code_or_name(place.get("country")),
        contacts=_contacts(raw.get("pointOfContact")),
        description_url=values.link(raw.get("description")),
        ui_url=values.link(raw.get("uiLink")),
        resource_urls=_links(raw.get("resourceLinks")),
    )


def content_sha256(content: Opportunity) -> str:
    """Hex digest over all that we keep of a notice: equal content, equal digest."""
    canonical = orjson.dumps(content, default=str, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(canonical).hexdigest()


def _required(name: str, value: T | None) -> T:
    if value is None:
        raise NoticeError(f"{name} is missing")
    return value


def _notice_id(raw: Raw) -> str:
    notice_id = _required("noticeId", values.text(raw.get("noticeId")))
    if len(notice_id) > _LONGEST_ID:
        raise NoticeError(f"noticeId is longer than {_LONGEST_ID} characters")
    return notice_id


def _agency(raw: Raw) -> tuple[str | None, str | None, str | None]:
    """Department, sub tier and office: from the dotted path, else from the older three fields."""
    path = values.text(raw.get("fullParentPathName"))
    if path is None:
        return (
            values.text(raw.get("department")),
            values.text(_first(raw, "subTier", "subtier")),
            values.text(raw.get("office")),
        )
    names = path.split(".")
    codes = values.text(raw.get("fullParentPathCode")) or ""
    if len(names) != len(codes.split(".")):
        names = _SEPARATOR.split(path)
    rest = ".".join(names[_LEVELS - 1 :])
    department, sub_tier, *_ = [*names, ""]
    return values.text(department), values.text(sub_tier), values.text(rest)


def _naics(raw: Raw) -> tuple[str, ...]:
    """Each code once, the one that the notice names alone first."""
    codes = (raw.get("naicsCode"), *_sequence(raw.get("naicsCodes")))
    return tuple(dict.fromkeys(code for code in map(values.text, codes) if code))


def _contacts(value: object) -> tuple[Contact, ...]:
    people = (
        Contact(
            kind=values.text(person.get("type")),
            full_name=values.text(_first(person, "fullName", "fullname")),
            title=values.text(person.get("title")),
            email=values.text(person.get("email")),
            phone=values.text(person.get("phone")),
        )
        for person in map(_mapping, _sequence(value))
    )
    return tuple(person for person in people if person != Contact(kind=person.kind))


def _links(value: object) -> tuple[str, ...]:
    """Addresses of attachments, each once, without the query: it holds a caller's key."""
    links = (values.link(item, is_query_kept=False) for item in _sequence(value))
    return tuple(dict.fromkeys(link for link in links if link))


def _city(value: object) -> str | None:
    """A city's name; the service puts its code there when it knows no name."""
    place = _mapping(value)
    name = values.text(place.get("name") if place else value)
    return None if name == values.text(place.get("code")) else name


def _code_or_name(value: object) -> str | None:
    place = _mapping(value)
    return values.text(place.get("code")) or values.text(place.get("name") if place else value)


def _first(raw: Raw, *names: str) -> object:
    """The value under the first of these names that has one."""
    return next((raw[name] for name in names if raw.get(name) is not None), None)


def _mapping(value: object) -> Raw:
    return value if isinstance(value, Mapping) else {}


def _sequence(value: object) -> Sequence[object]:
    """A list as it is; one value alone as a list of one."""
    if isinstance(value, list | tuple):
        return value
    return [] if value is None else [value]
