from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web

from clients.errors import RequestRejectedError, ServiceUnavailableError
from clients.webhook import Webhook, WebhookSettings, keys_of
from jobs.kit import Cancel, JobContext
from jobs.operations.send_notice_webhook import NoticeWebhook, send_notice_webhook
from tests.clients.stand_ins.webhook_receiver import Receiver, webhook_receiver
from tests.conftest import MakeContext
from tests.jobs.operations.troubles import AT, trouble
from worker.clock import utc_now
from worker.deliveries import NOBODY
from worker.lifespan import Resources

PAYLOAD = NoticeWebhook(at=AT, service="worker-service", environment="test", trouble=trouble())


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with webhook_receiver() as receiver:
        yield receiver


@pytest.fixture
def ctx(receiver: Receiver, resources: Resources, make_ctx: MakeContext) -> JobContext:
    settings = WebhookSettings(url=receiver.url, keys=keys_of(receiver.secret))
    tools = {"webhook": Webhook(http=resources.http, settings=settings, clock=utc_now)}
    return make_ctx(send_notice_webhook.name, tools=tools)


async def deliveries(ctx: JobContext) -> list[dict[str, Any]]:
    return [dict(row) for row in await ctx.db.fetch("select * from deliveries")]


async def test_an_event_is_posted_and_remembered(ctx: JobContext, receiver: Receiver) -> None:
    receipt = await send_notice_webhook(ctx, PAYLOAD)

    (event,), (row,) = receiver.events, await deliveries(ctx)
    assert (event["type"], event["timestamp"]) == ("notice.opened", "2026-11-30T06:30:00Z")
    assert event["data"]["job"] == "email.send_opportunity_reminder"
    assert (receipt.status, receipt.message_id) == ("sent", receiver.ids[0])
    assert (row["channel"], row["status"], row["key"]) == ("webhook", "sent", "notice:17:1")
    assert (row["tenant_id"], row["template"]) == (NOBODY, "notice.opened")
    assert "t0psecret" not in str(row)


async def test_it_is_posted_once_for_each_telling(ctx: JobContext, receiver: Receiver) -> None:
    again = PAYLOAD.model_copy(update={"trouble": trouble(edition=2, change="ongoing")})

    statuses = [(await send_notice_webhook(ctx, one)).status for one in (PAYLOAD, PAYLOAD, again)]

    assert statuses == ["sent", "already_sent", "sent"]
    assert [event["type"] for event in receiver.events] == ["notice.opened", "notice.ongoing"]


async def test_a_receiver_that_fails_gets_the_same_event_later(
    ctx: JobContext, receiver: Receiver
) -> None:
    receiver.answers += [web.Response(status=503), web.Response(status=500)]

    for _ in range(2):
        with pytest.raises(ServiceUnavailableError):
            await send_notice_webhook(ctx, PAYLOAD)
        assert await deliveries(ctx) == []
    await send_notice_webhook(ctx, PAYLOAD)

    assert len({headers["webhook-id"] for headers in receiver.requests}) == 1
    assert len(receiver.events) == 1


async def test_a_receiver_that_is_gone_is_not_asked_again(
    ctx: JobContext, receiver: Receiver
) -> None:
    receiver.answers.append(web.Response(status=410))

    with pytest.raises(RequestRejectedError, match="takes no more"):
        await send_notice_webhook(ctx, PAYLOAD)

    assert [row["status"] for row in await deliveries(ctx)] == ["rejected"]


async def test_an_interrupted_attempt_is_made_again(ctx: JobContext, receiver: Receiver) -> None:
    """A receiver knows by the id what comes twice, so nothing has to be in doubt."""
    await ctx.db.execute(
        "insert into deliveries (tenant_id, key, recipient, channel, template, provider, status,"
        " message_id, run_id, claimed_at) values ($1, 'notice:17:1', $2, 'webhook', 't',"
        " 'webhook', 'sending', 'm', $3, now())",
        NOBODY,
        ctx.tools.poster_of(ctx.run).webhook.place,  # type: ignore[union-attr]  # the fixture's
        ctx.run.run_id,
    )

    assert (await send_notice_webhook(ctx, PAYLOAD)).status == "sent"
    assert len(receiver.events) == 1


async def test_without_a_webhook_there_is_nobody_to_tell(make_ctx: MakeContext) -> None:
    ctx = make_ctx(send_notice_webhook.name, key=uuid4().hex)

    with pytest.raises(Cancel, match="no webhook is set any more"):
        await send_notice_webhook(ctx, PAYLOAD)
