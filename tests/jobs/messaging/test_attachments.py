import pytest

from clients.object_storage import ObjectNotFoundError, ObjectTooLargeError
from jobs.messaging.attachments import LARGEST, attachment_of
from tests.conftest import MakeContext

KEY = "reports/1/özet.PDF"


async def test_a_file_goes_by_its_name_and_kind(make_ctx: MakeContext) -> None:
    ctx = make_ctx("messaging.send_report")
    await ctx.storage.put(KEY, b"%PDF-")

    file = await attachment_of(ctx, KEY)

    assert (file.filename, file.content_type, file.content) == (
        "özet.PDF",
        "application/pdf",
        b"%PDF-",
    )


async def test_it_may_be_given_another_name(make_ctx: MakeContext) -> None:
    ctx = make_ctx("messaging.send_report")
    await ctx.storage.put(KEY, b"?")

    file = await attachment_of(ctx, KEY, filename="rapor.bin")

    assert (file.filename, file.content_type) == ("rapor.bin", "application/octet-stream")


async def test_one_that_is_not_there_or_too_large_is_said_to_be(make_ctx: MakeContext) -> None:
    ctx = make_ctx("messaging.send_report")
    await ctx.storage.put("reports/1/large.csv", bytes(LARGEST + 1))

    with pytest.raises(ObjectNotFoundError):
        await attachment_of(ctx, KEY)
    with pytest.raises(ObjectTooLargeError):
        await attachment_of(ctx, "reports/1/large.csv")
