"""Replies of SAM.gov's opportunities search, invented for the demo.

The shape is the service's own, with its nulls, empty objects, "null" texts and stray spaces; the
content is ours. The same day and seed always give the same replies.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from random import Random
from typing import Any

from worker.demo import words

COUNT = 300
PAGE = 100
BROKEN = 2  # notices that no reader can map: one without a title, one with an impossible deadline

_SITE = "https://sam.example"
_AMENDED_EVERY = 13
_HOSTILE_EVERY = 29
_NO_TITLE, _NO_SUCH_DAY = 137, 244  # where the broken ones stand

Notice = dict[str, Any]


def replies(day: date, *, seed: int = 26) -> Iterator[Notice]:
    """The pages of one search, in order; notices were posted and are due around `day`."""
    found = list(notices(day, seed=seed))
    for offset, start in enumerate(range(0, COUNT, PAGE)):
        yield {
            "totalRecords": COUNT,
            "limit": PAGE,
            "offset": offset,
            "opportunitiesData": found[start : start + PAGE],
            "links": [{"rel": "self", "href": f"{_SITE}/opportunities/v2/search?offset={offset}"}],
        }


def notices(day: date, *, seed: int = 26) -> Iterator[Notice]:
    """All `COUNT` notices of the demo."""
    random = Random(seed)  # noqa: S311 - the same every time is the point
    amendable: list[Notice] = []
    for number in range(COUNT):
        notice = _notice(random, day, number)
        if number == _NO_TITLE:
            notice["title"] = "null"
        elif number == _NO_SUCH_DAY:
            notice["responseDeadLine"] = f"{day.year}-02-30T17:00:00-05:00"
        elif number % _AMENDED_EVERY == _AMENDED_EVERY - 1:
            notice = _amended(random.choice(amendable), notice)
        elif number % _HOSTILE_EVERY == _HOSTILE_EVERY - 1:
            notice["title"] = words.HOSTILE_TITLES[number // _HOSTILE_EVERY]
        elif notice["solicitationNumber"]:
            amendable.append(notice)
        yield notice


def _notice(random: Random, day: date, number: int) -> Notice:
    office = random.choices(words.OFFICES, [office.share for office in words.OFFICES])[0]
    notice_id = f"{random.getrandbits(128):032x}"
    kind = random.choice(words.TYPES)
    posted_on = day - timedelta(days=random.randrange(30))
    set_aside, set_aside_text = random.choice(words.SET_ASIDES)
    naics, classification = random.choice(words.TRADES)
    title = random.choice(office.works).format(n=random.randrange(1, 40))
    return {
        "noticeId": notice_id,
        "title": random.choice((title, title, title + " ")),
        "solicitationNumber": _solicitation(random, office, number),
        "fullParentPathName": office.path,
        "fullParentPathCode": office.code,
        "postedDate": random.choice((f"{posted_on}",) * 4 + (f"{posted_on} 23:45:22+00",)),
        "type": kind,
        "baseType": "Solicitation" if kind == "Award Notice" else kind,
        "archiveType": random.choice(("auto15", "autocustom", "manual")),
        "archiveDate": random.choice((None, f"{posted_on + timedelta(days=75)}")),
        "typeOfSetAsideDescription": set_aside_text,
        "typeOfSetAside": set_aside,
        "responseDeadLine": None if kind == "Award Notice" else _deadline(random, day, office),
        "naicsCode": naics[0] if naics else None,
        "naicsCodes": list(naics),
        "classificationCode": classification,
        "active": "No" if random.random() < 1 / 12 else "Yes",
        "award": _award(random, posted_on, number, is_given=kind == "Award Notice"),
        "pointOfContact": _contacts(random, office),
        "description": _often(
            random, f"{_SITE}/opportunities/v1/noticedesc?noticeid={notice_id}", "null"
        ),
        "organizationType": "OFFICE",
        "officeAddress": {
            "zipcode": f"{random.randrange(100_000):05}",
            "city": office.city,
            "countryCode": office.country[0],
            "state": office.state[0],
        },
        "placeOfPerformance": _place(random, office),
        "additionalInfoLink": None,
        "uiLink": _often(random, f"{_SITE}/opp/{notice_id}/view", "null"),
        "links": [{"rel": "self", "href": f"{_SITE}/opportunities/v2/search?noticeid={notice_id}"}],
        "resourceLinks": _resources(random),
    }


def _amended(original: Notice, notice: Notice) -> Notice:
    """A later version of a notice: the same solicitation under a new notice id."""
    kept = ("noticeId", "description", "uiLink", "links", "responseDeadLine", "pointOfContact")
    return {
        **original,
        **{field: notice[field] for field in kept},
        "title": f"{original['title'].strip()}    Amendment 0001",
    }


def _solicitation(random: Random, office: words.Office, number: int) -> str | None:
    code = f"{office.code.rpartition('.')[2]}26R{number:04}"
    return random.choice((code, code, code, f" {code} ", None))


def _deadline(random: Random, day: date, office: words.Office) -> str | None:
    due_on = day + timedelta(days=random.randrange(-6, 45))
    at = f"{due_on}T{random.choice((10, 12, 14, 17))}:{random.choice(('00', '30'))}:00"
    instant = at + office.offset
    return random.choice((instant,) * 13 + (f"{due_on}", f"{due_on}", f"{due_on}", at, "TBD", None))


def _award(random: Random, posted_on: date, number: int, *, is_given: bool) -> Notice | None:
    if not is_given:
        return random.choice((None, None, {"awardee": {}}))
    winner = random.choice(words.WINNERS)
    uei = f"DEM{random.randrange(10**9):09}"
    return {
        "date": f"{posted_on - timedelta(days=random.randrange(20))}",
        "number": f"EX26C{number:04}",
        "amount": random.choice(words.AMOUNTS),
        "awardee": random.choice(
            ({"name": winner, "location": {}, "ueiSAM": uei}, {"name": winner, "ueiSAM": None})
        ),
    }


def _contacts(random: Random, office: words.Office) -> list[Notice] | None:
    people = random.sample(office.people, random.randint(0, len(office.people)))
    contacts = [
        {
            "fax": random.choice((None, "")),
            "type": kind,
            "email": f"buyer{rank}@{office.domain}",
            "phone": random.choice((None, "", f"202-555-01{random.randrange(100):02}")),
            "title": random.choice((None, "Contract Specialist", "Contracting Officer ")),
            "fullName": person,
        }
        for rank, (kind, person) in enumerate(zip(("primary", "secondary"), people, strict=False))
    ]
    return contacts or random.choice((None, []))


def _place(random: Random, office: words.Office) -> Notice | None:
    state, state_name = office.state
    country, country_name = office.country
    full = {
        "streetAddress": f"{random.randrange(1, 999)} Example Street",
        "city": {"code": f"{random.randrange(100_000):05}", "name": office.city},
        "state": {"code": state, "name": state_name},
        "zip": "00000",
        "country": {"code": country, "name": country_name},
    }
    short = {"city": {"name": office.city}, "state": {"code": state}, "country": {"code": country}}
    blank = {"streetAddress": "", "city": {"name": ""}, "state": {"name": ""}, "zip": ""}
    return random.choice((full,) * 14 + (short,) * 6 + (blank, {}, None))


def _resources(random: Random) -> list[str] | None:
    files = [
        f"{_SITE}/files/{random.getrandbits(128):032x}/download?api_key=null&token="
        for _ in range(random.randrange(4))
    ]
    return files or None


def _often(random: Random, usual: str, rare: str) -> str:
    return rare if random.random() < 1 / 12 else usual
