"""The API's description of itself."""

import re
from typing import Any

import httpx
import pytest
from openapi_spec_validator import validate

from worker.sidecar.api.openapi import document
from worker.sidecar.api.resources import RESOURCES, all_operations


@pytest.fixture
async def described(http: httpx.AsyncClient) -> dict[str, Any]:
    reply = await http.get("/openapi.json")
    assert reply.headers["content-type"] == "application/json"
    found: dict[str, Any] = reply.json()
    return found


async def test_it_is_valid(described: dict[str, Any]) -> None:
    validate(described)

    assert described["openapi"] == "3.1.0"


async def test_it_tells_of_every_operation(described: dict[str, Any]) -> None:
    told = {
        (path, method.upper()): one
        for path, methods in described["paths"].items()
        for method, one in methods.items()
    }

    assert set(told) == {
        *((one.path, one.method) for one in all_operations()),
        ("/api/v1/openapi.json", "GET"),
    }
    for (path, _), one in told.items():
        in_path = {p["name"] for p in one["parameters"] if p["in"] == "path"}
        assert in_path == set(re.findall(r"{(\w+)}", path))
        assert one["summary"]
        assert one["security"] == ([] if one["x-role"] is None else [{"bearer": []}, {"basic": []}])
    assert len({one["operationId"] for one in told.values()}) == len(told)


async def test_what_it_refers_to_is_there_and_nothing_else(described: dict[str, Any]) -> None:
    schemas = set(described["components"]["schemas"])

    assert set(re.findall(r'#/components/schemas/([^"\']+)', str(described))) == schemas


def test_every_resource_has_operations() -> None:
    assert all(document(all_operations())["paths"])
    assert len({one.name for one in all_operations()}) == len(all_operations())
    assert len(RESOURCES) == len({one.__name__ for one in RESOURCES})
