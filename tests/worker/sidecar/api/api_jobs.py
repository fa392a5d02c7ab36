"""Jobs whose runs others ask for, and one whose they cannot."""

from jobs.kit import JobContext, Payload, TenantPayload, job


class Greeting(Payload):
    name: str
    times: int = 1


class Order(TenantPayload):
    order_id: int
    email: str = ""


@job("testing_api.greet", queue="default", exposed=True, aliases=("greet",))
async def greet(ctx: JobContext, payload: Greeting) -> str:
    return f"{payload.name} {ctx.run.correlation_id}"


@job(
    "testing_api.ship_order",
    queue="email",
    exposed=True,
    idempotency_key="{order_id}",
    sensitive=("email",),
)
async def ship_order(ctx: JobContext, payload: Order) -> str:
    return f"{ctx.run.run_id} {payload.order_id}"


@job("testing_api.sweep", queue="default", exposed=True, singleton=True)
async def sweep(ctx: JobContext, payload: Payload) -> None:
    ctx.log.info("swept", payload=payload)


@job("testing_api.hide", queue="default")
async def hide(ctx: JobContext, payload: Greeting) -> None:
    ctx.log.info("hidden", times=payload.times)
