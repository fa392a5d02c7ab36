# syntax=docker/dockerfile:1
FROM python:3.11-slim AS build

RUN pip install --no-cache-dir uv==0.13.9
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy VIRTUAL_ENV=/opt/venv
RUN uv venv /opt/venv
WORKDIR /src
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY worker worker
COPY jobs jobs
COPY clients clients
# The lock also names what tests and private services need; as a constraint it only pins.
RUN uv pip install --no-cache --constraint requirements.lock .

FROM python:3.11-slim

RUN useradd --system --uid 10001 --home-dir /app --create-home deskhand \
 && install -d -o deskhand /app/var
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH HOST=0.0.0.0 PORT=8500 ENVIRONMENT=production LOG_FORMAT=json
WORKDIR /app
USER 10001
EXPOSE 8500
HEALTHCHECK --interval=10s --timeout=6s --start-period=40s --retries=3 CMD ["deskhand", "health", "live"]
# `exec` form: SIGTERM reaches the worker, which drains within SHUTDOWN_GRACE (25 s). Stop with 35 s.
STOPSIGNAL SIGTERM
# One process. For more, all on this port: ["deskhand", "run"] with PROCESSES, and `docker run --init`.
CMD ["arq", "worker.main.WorkerSettings"]
