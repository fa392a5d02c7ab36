"""The least that enqueues over HTTP: no checks, no limits, nobody is asked who they are."""

import os

import uvloop
from aiohttp import web
from arq import create_pool
from arq.connections import ArqRedis, RedisSettings

from tests.benchmarks import work

_POOL = web.AppKey("pool", ArqRedis)


async def enqueue(request: web.Request) -> web.Response:
    body = await request.json()
    job = await request.app[_POOL].enqueue_job(request.match_info["name"], **body["payload"])
    return web.json_response({"run_id": job.job_id if job else None})


async def application() -> web.Application:
    app = web.Application()
    app[_POOL] = await create_pool(RedisSettings.from_dsn(work.REDIS_URL))
    app.router.add_post("/api/v1/jobs/{name}/runs", enqueue)
    return app


if __name__ == "__main__":
    uvloop.install()
    web.run_app(
        application(),
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        access_log=None,
        print=lambda _: None,
    )
