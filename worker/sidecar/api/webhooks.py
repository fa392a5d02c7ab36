"""`/api/webhooks/{source}`: open to all, and believed only with the sender's signature."""

import hashlib

from aiohttp import web
from pydantic import ConfigDict, Field

from jobs.kit import WebhookDelivery
from worker.enqueuer import known_job
from worker.sidecar.api.errors import ApiError, not_found
from worker.sidecar.api.operation import Answered, Call, Parameters, operation
from worker.webhook_signatures import SENDGRID, TWILIO
from worker.webhooks import Received, find_webhook

SOURCES = (SENDGRID, TWILIO)  # declared where their signatures are checked


class OneSource(Parameters):
    """Whatever else stands in the query is the sender's."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    source: str = Field(max_length=50, description="As in sendgrid.")


class Taken(Answered):
    """`is_new` is false for a delivery that came before."""

    run_id: str
    is_new: bool


@operation(
    "POST",
    "/api/webhooks/{source}",
    base="",
    tag="webhooks",
    role=None,
    status=202,
    also=(204,),
    errors=(400, 404),
    unaudited="the run is its own record",
    summary="Take a delivery whose signature is right; it is worked on later.",
)
async def take_webhook(call: Call[OneSource, bytes]) -> Taken | web.Response:
    """Whoever reads the answer as instructions is answered by nothing (204)."""
    found = find_webhook(call.parameters.source)
    if found is None:
        raise not_found("source")
    services, request = call.services, call.request
    received = Received(
        url=_url(call),
        headers={name.lower(): value for name, value in request.headers.items()},
        body=call.body,
        received_at=services.clock(),
    )
    if not found.verify(received, services.settings):
        raise ApiError(400, "bad_signature", "the signature is not this body's")
    try:
        text = call.body.decode()
    except UnicodeDecodeError:
        raise ApiError(400, "malformed", "the body is not UTF-8") from None
    delivery = WebhookDelivery(
        source=found.source,
        received_at=received.received_at,
        content_type=request.content_type,
        body=text,
        query=request.rel_url.raw_query_string,
    )
    # The same bytes again are the same delivery, where the query says of the same message.
    signed = delivery.query.encode() + b"\n" + call.body
    run_id = f"webhook:{found.source}:{hashlib.sha256(signed).hexdigest()}"
    job = known_job(found.job)
    enqueued = await services.pool.enqueue(
        job, job.validate(delivery), run_id=run_id, headers={"cid": call.request_id}
    )
    if not found.is_answered:
        return web.Response(status=204)
    return Taken(run_id=run_id, is_new=enqueued.is_new)


def _url(call: Call[OneSource, bytes]) -> str:
    """Behind a proxy the request's own is not the one that was signed."""
    base = call.services.settings.public_url
    own = call.request.url
    return str(own) if base is None else str(base).rstrip("/") + own.raw_path_qs
