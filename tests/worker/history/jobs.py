"""A job whose payload holds something that nobody shall see."""

from jobs.kit import JobContext, Payload, job


class Letter(Payload):
    secret_word: str | None = None
    step: int = 0
    fails: bool = False


@job("history.with_a_secret", queue="default", sensitive=("secret_word",))
async def with_a_secret(ctx: JobContext, payload: Letter) -> int:
    del ctx
    if payload.fails:
        raise ValueError("it failed")
    return payload.step
