import dataclasses
from datetime import date
from typing import Any

import pytest

from jobs.sam_gov import core
from tests.jobs.sam_gov.samples import MISSING, mapped


def test_a_notice_that_says_little_is_mapped() -> None:
    found = mapped()

    assert (found.notice_id, found.title) == ("0123456789abcdef0123456789abcdef", "Widget repair")
    assert (found.notice_type, found.posted_on) == ("Solicitation", date(2026, 11, 2))
    assert found.is_active
    assert found.award_currency is None
    assert (found.contacts, found.naics_codes, found.resource_urls) == ((), (), ())


@pytest.mark.parametrize(
    ("path", "code", "agency"),
    [
        (
            "VETERANS AFFAIRS, DEPARTMENT OF.VETERANS AFFAIRS, DEPARTMENT OF.TECHNOLOGY (36C10B)",
            "036.3600.36C10B",
            (
                "VETERANS AFFAIRS, DEPARTMENT OF",
                "VETERANS AFFAIRS, DEPARTMENT OF",
                "TECHNOLOGY (36C10B)",
            ),
        ),
        ("DEPT.SUB.OFFICE.DESK 7", "1.2.3.4", ("DEPT", "SUB", "OFFICE.DESK 7")),
        ("DEPT", None, ("DEPT", None, None)),
        ("DEPT.SUB", None, ("DEPT", "SUB", None)),
        ("A.B.C", "1.2.3", ("A", "B", "C")),
        ("STATE.U.S. EXAMPLE CORPS.W1", "1.2.3", ("STATE", "U.S. EXAMPLE CORPS", "W1")),
        ("U.S. EXAMPLE CORPS.SUB.OFFICE", None, ("U.S. EXAMPLE CORPS", "SUB", "OFFICE")),
        ("DEPT..OFFICE", "1..3", ("DEPT", None, "OFFICE")),
        ("null", None, ("OLD DEPT", "OLD SUB", "OLD OFFICE")),
        (None, None, ("OLD DEPT", "OLD SUB", "OLD OFFICE")),
    ],
)  # fmt: skip - one agency a row
def test_the_path_of_an_agency(path: Any, code: Any, agency: tuple[str | None, ...]) -> None:
    found = mapped(
        fullParentPathName=path,
        fullParentPathCode=code,
        department="OLD DEPT",
        subTier="OLD SUB",
        office=" OLD OFFICE ",
    )

    assert (found.department, found.sub_tier, found.office) == agency


def test_the_misspelt_deadline_of_the_documentation_is_read() -> None:
    assert mapped(reponseDeadLine="2026-12-05").response_due_on == date(2026, 12, 5)


@pytest.mark.parametrize(
    "award", [None, {}, {"awardee": {}}, {"awardee": None}, "null", [], MISSING]
)
def test_no_award(award: Any) -> None:
    found = mapped(award=award)

    assert (found.award_amount, found.award_currency, found.awardee_name) == (None, None, None)


def test_an_award() -> None:
    awardee = {"name": "Sample Works, Inc.", "ueiSAM": "AAAA1111BBBB", "location": {}}
    found = mapped(award={"date": "2026-11-01", "number": "X1", "amount": "5", "awardee": awardee})

    assert (found.award_on, found.award_number) == (date(2026, 11, 1), "X1")
    assert (found.awardee_name, found.awardee_uei) == ("Sample Works, Inc.", "AAAA1111BBBB")


@pytest.mark.parametrize(
    ("place", "found"),
    [
        (None, (None, None, None)),
        ({}, (None, None, None)),
        ({"city": {"name": ""}, "state": {"name": ""}, "country": {"name": ""}}, (None,) * 3),
        (
            {
                "city": {"code": "53000", "name": "Milwaukee"},
                "state": {"code": "WI"},
                "country": {"code": "USA"},
            },
            ("Milwaukee", "WI", "USA"),
        ),
        ({"city": {"code": "21000", "name": "21000"}}, (None, None, None)),
        ({"city": "İstanbul", "state": "TR-34", "country": "TUR"}, ("İstanbul", "TR-34", "TUR")),
        ({"state": {"code": None, "name": "Kentucky"}, "city": None}, (None, "Kentucky", None)),
    ],
)  # fmt: skip - one place a row
def test_places(place: Any, found: tuple[str | None, ...]) -> None:
    row = mapped(placeOfPerformance=place)

    assert (row.place_city, row.place_state, row.place_country) == found


@pytest.mark.parametrize(
    ("one", "many", "codes"),
    [
        ("811310", ["811310"], ("811310",)),
        ("236220", None, ("236220",)),
        (None, ["541512", 541519, "541512", None, ""], ("541512", "541519")),
        ("541519", ["541512", "541519"], ("541519", "541512")),
        (None, [], ()),
        ("null", "811310", ("811310",)),
    ],
)
def test_naics_codes(one: Any, many: Any, codes: tuple[str, ...]) -> None:
    assert mapped(naicsCode=one, naicsCodes=many).naics_codes == codes


def test_contacts_without_anything_to_say_are_left_out() -> None:
    buyer = {"type": "primary", "fullName": "A. Buyer", "email": " b@agency.example", "phone": ""}

    found = mapped(pointOfContact=[buyer, {"type": "secondary", "email": None}, None, {}])

    assert found.contacts == (
        core.Contact(kind="primary", full_name="A. Buyer", email="b@agency.example"),
    )
    assert "Buyer" not in repr(found)


@pytest.mark.parametrize("value", [None, [], {}, "null"])
def test_no_contacts(value: Any) -> None:
    assert mapped(pointOfContact=value).contacts == ()


def test_links_to_attachments_lose_their_query() -> None:
    file = "https://sam.example/files/1/download"

    found = mapped(resourceLinks=[f"{file}?api_key=null&token=", file, "null", None])

    assert found.resource_urls == (file,)


def test_the_digest_follows_the_content_alone() -> None:
    first = core.content_sha256(mapped(title="A", award={"amount": "5"}))

    assert core.content_sha256(mapped(title=" A ", award={"amount": "$5.00"})) == first
    assert core.content_sha256(mapped(title="B", award={"amount": "5"})) != first
    assert core.content_sha256(dataclasses.replace(mapped(title="A"), is_active=False)) != first
