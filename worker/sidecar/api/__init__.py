"""The HTTP API under `/api/v1`: operations on runs, queues and what else the worker keeps.

A resource is a module of operations (`worker.sidecar.api.operation`), listed in `resources`. Its
routes, its checks and its part of `/api/v1/openapi.json` follow from its declarations alone.
"""
