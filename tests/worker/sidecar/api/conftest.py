"""The API on real servers, over a real socket."""

import base64
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from secrets import token_bytes
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

import httpx
import jwt
import pytest

from clients.mail import Sender
from tests.conftest import MakeSettings
from tests.worker.sidecar.api import api_jobs
from worker.clock import utc_now
from worker.enqueuer import Pool
from worker.offload import Offloader
from worker.overview import Rates
from worker.redis_pool import open_redis
from worker.sidecar.access.passwords import Scrypt, User
from worker.sidecar.access.principal import Role
from worker.sidecar.api.app import Api
from worker.sidecar.api.operation import Operation
from worker.sidecar.api.services import Services
from worker.sidecar.api.tail import Tail
from worker.sidecar.app import Sidecar
from worker.sidecar.health import Health
from worker.telemetry.metrics import Metrics

if TYPE_CHECKING:
    import asyncpg

assert api_jobs.greet.exposed  # declared by being imported

ADMIN_TOKEN = "admin-token-of-the-tests-0123456789abcdef"
JWT_SECRET = "jwt-secret-of-the-tests-0123456789abcdef-0123456789abcdef-0123456789"
PASSWORD = "a password: of Ayşe's"


def quick_hash(password: str = PASSWORD) -> Scrypt:
    """One that takes no time to check."""
    made = Scrypt(2, 1, 1, token_bytes(16), b"")
    return Scrypt(2, 1, 1, made.salt, made.digest_of(password))


CREDENTIALS: dict[str, Any] = {
    "admin_token": ADMIN_TOKEN,
    "jwt_secret": JWT_SECRET,
    "admin_users": str(User("ayse", Role.OPERATOR, quick_hash())),
}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def basic(name: str, password: str = PASSWORD) -> dict[str, str]:
    credential = base64.b64encode(f"{name}:{password}".encode()).decode()
    # As a program says that it is no web page.
    return {"Authorization": f"Basic {credential}", "X-Requested-With": "test"}


def token(
    role: str = "viewer",
    *,
    lasts: float = 3600,
    secret: str = JWT_SECRET,
    algorithm: str = "HS256",
    **claims: Any,
) -> str:
    key = "" if algorithm == "none" else secret
    made = {"role": role, "exp": int(time.time() + lasts), **claims}
    return jwt.encode(made, key, algorithm)


def tenant_token(tenant_id: UUID, role: str = "operator") -> dict[str, str]:
    return bearer(token(role, tenant_id=str(tenant_id), sub="u-1"))


class Serve(Protocol):
    async def __call__(
        self,
        *,
        operations: list[Operation] | None = None,
        clock: Callable[[], float] = time.monotonic,
        is_ready: bool = True,
        pool: Pool | None = None,
        **settings: Any,
    ) -> httpx.AsyncClient: ...


@pytest.fixture
async def serve(
    make_settings: MakeSettings, db: "asyncpg.Pool[asyncpg.Record]", redis_url: str
) -> AsyncIterator[Serve]:
    """The API with these settings, listening on loopback whatever HOST says; its client."""
    async with AsyncExitStack() as stack:

        async def start(
            *,
            operations: list[Operation] | None = None,
            clock: Callable[[], float] = time.monotonic,
            is_ready: bool = True,
            pool: Pool | None = None,
            **settings: Any,
        ) -> httpx.AsyncClient:
            if pool is None:
                pool = open_redis(redis_url, Pool)
                stack.push_async_callback(pool.aclose)
            made = make_settings(**settings)
            api = Api(made, operations, clock=clock)
            health = Health()
            sidecar = Sidecar(health, Metrics(()), routes=api.routes())
            await sidecar.start("127.0.0.1", 0)
            stack.push_async_callback(sidecar.stop)
            if is_ready:
                services = Services(
                    settings=made,
                    db=db,
                    pool=pool,
                    clock=utc_now,
                    events=Tail(pool),
                    health=health,
                    rates=Rates(),
                    offload=Offloader(),
                    sender=Sender.parse(made.email_from),
                    links="https://ours.example",
                )
                await stack.enter_async_context(api.serving(services))
            url = f"http://127.0.0.1:{sidecar.port}/api/v1"

            async def audited(_: httpx.Response) -> None:
                await api._refusals.written()  # answers do not wait for it, tests do

            return await stack.enter_async_context(
                httpx.AsyncClient(base_url=url, timeout=30, event_hooks={"response": [audited]})
            )

        yield start


@pytest.fixture
async def http(serve: Serve) -> httpx.AsyncClient:
    """As an admin."""
    client = await serve(**CREDENTIALS)
    client.headers.update(bearer(ADMIN_TOKEN))
    return client


def code_of(reply: httpx.Response) -> str:
    """Of an error, whose shape is checked."""
    error = reply.json()["error"]
    assert set(error) <= {"code", "message", "request_id", "fields"}
    assert error["message"]
    assert error["request_id"] == reply.headers["X-Request-ID"]
    return str(error["code"])
