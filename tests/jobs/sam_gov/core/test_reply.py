import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.sam_gov import core
from tests.jobs.sam_gov.samples import NO_REAL, notice, real_replies, reply

THROTTLED = {
    "code": "900804",
    "message": "Message throttled out",
    "description": "You have exceeded your quota .You can access API after 2026-Nov-22",
    "nextAccessTime": "2026-Nov-22 00:00:00+0000 UTC",
}


def test_the_last_of_one_notice_id_stands() -> None:
    found = core.read_reply(reply(notice(title="old"), notice(noticeId="b"), notice(title="new")))

    assert [(row.notice_id[:1], row.title) for row in found.opportunities] == [
        ("0", "new"),
        ("b", "Widget repair"),
    ]
    assert (found.total, found.repeated, found.problems) == (3, 1, ())


def test_a_broken_notice_does_not_stop_the_others() -> None:
    secret = notice(noticeId="Ayşe <ayse@private.example>", postedDate="ayse@private.example")

    found = core.read_reply(reply(notice(title=None), None, notice(noticeId="b"), secret))

    assert [row.notice_id for row in found.opportunities] == ["b"]
    assert found.problems == (
        "notice 1 (0123456789abcdef0123456789abcdef): title is missing",
        "notice 2: it is not an object",
        "notice 4: postedDate is not a date",
    )


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "the file is empty"),
        (b"\xef\xbb\xbf \n", "the file is empty"),
        (b"\n<!DOCTYPE html><p>API_KEY_INVALID", "the file is HTML"),
        (reply(notice())[:-3], "the file is not JSON .line 1."),
        (b"\xff\xff{", "the file is not JSON"),
        (b"[" * 100_000, "the file is not JSON"),
        (b'{"totalRecords": 1e999999999999999999999}', "the file is not JSON"),
        (b"[]", "it has no list opportunitiesData"),
        (b"7", "it has no list opportunitiesData"),
        (b'{"opportunitiesData": {}}', "it has no list opportunitiesData"),
        (b'{"opportunitiesData": null, "totalRecords": 3}', "it has no list opportunitiesData"),
        (b'"PostedFrom and PostedTo are mandatory"', "PostedFrom and PostedTo are mandatory"),
        (
            json.dumps(THROTTLED).encode(),
            "an error of SAM.gov, .*: 900804, Message throttled out, 2026-Nov-22 00:00",
        ),
        (
            b'{"error": {"code": "API_KEY_INVALID", "message": "An invalid api_key was supplied"}}',
            "API_KEY_INVALID, An invalid api_key was supplied",
        ),
        (b'{"error": "Bad Request", "status": 400}', "Bad Request, 400"),
        (json.dumps("x" * 5000).encode(), "x{199}…$"),
    ],
)
def test_what_is_no_reply_is_told(body: bytes, sentence: str) -> None:
    with pytest.raises(core.NotAReplyError, match=sentence):
        core.read_reply(body)


@pytest.mark.parametrize(
    ("body", "total"),
    [
        (b'{"totalRecords": 0, "opportunitiesData": []}', 0),
        (b'{"totalRecords": 0, "opportunitiesData": null}', 0),
        (b"\xef\xbb\xbf" + reply(notice()), 1),
        (json.dumps(notice()).encode(), 1),
    ],
)
def test_unusual_replies_are_read(body: bytes, total: int) -> None:
    found = core.read_reply(body)

    assert (found.total, len(found.opportunities), found.problems) == (total, total, ())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
FIELDS = [
    *("noticeId", "title", "solicitationNumber", "postedDate", "type", "baseType", "archiveDate"),
    *("fullParentPathName", "fullParentPathCode", "department", "subTier", "office", "active"),
    *("typeOfSetAside", "responseDeadLine", "naicsCode", "naicsCodes", "classificationCode"),
    *("award", "pointOfContact", "description", "placeOfPerformance", "uiLink", "resourceLinks"),
]
ODD = st.dictionaries(st.sampled_from(FIELDS), JSON)


# The first example waits for a table of all characters to be made.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ODD, ODD)
def test_whatever_a_field_holds_the_notice_is_mapped_or_the_field_is_named(
    odd: dict[str, Any], inner: dict[str, Any]
) -> None:
    body = reply(notice(**odd), notice(award=inner, placeOfPerformance=inner))

    found = core.read_reply(body)

    assert found.total == len(found.opportunities) + found.repeated + len(found.problems)
    for row in found.opportunities:
        core.content_sha256(row)


@pytest.mark.skipif(not real_replies(), reason=NO_REAL)
@pytest.mark.parametrize("path", real_replies(), ids=lambda path: path.name)
def test_real_replies_are_mapped_without_loss(path: Path) -> None:
    raw = {row["noticeId"]: row for row in json.loads(path.read_bytes())["opportunitiesData"]}

    found = core.read_reply(path.read_bytes())

    assert found.problems == ()
    assert {row.notice_id for row in found.opportunities} == set(raw)
    for row in found.opportunities:
        assert row.title == raw[row.notice_id]["title"].strip()
        assert row.department
        assert len(row.resource_urls) == len(raw[row.notice_id].get("resourceLinks") or [])
        assert not any("api_key" in url for url in row.resource_urls)
