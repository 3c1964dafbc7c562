"""Every documented operation, with whatever its schema allows and more: never a 5xx, always JSON, and v2 answers as it documents."""

import asyncio
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance

from tests.e2e.conftest import Deployment
from tests.world import World

EXAMPLES = 12
_PAGES = ("/openapi", "/oauth", "/dashboard", "/customers", "/demo")


def exercise(base_url: str, world: World) -> dict[str, int]:
    """How many requests each operation took."""
    schema = schemathesis.openapi.from_url(f"{base_url}/openapi/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    return {one.label: exercise_one(one, world) for one in operations if one.path != "/" and not one.path.startswith(_PAGES)}


def exercise_one(operation: Any, world: World) -> int:
    is_v2 = operation.path.startswith("/v2")
    headers = world.secret if is_v2 else world.sdk("test_store")
    made = 0

    @seed(1)
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())
    def check(case: schemathesis.Case) -> None:
        nonlocal made
        if "project_id" in case.path_parameters:
            case.path_parameters["project_id"] = world.project_id
        response = case.call(headers=headers, timeout=20)
        made += 1
        documented = [response_schema_conformance] if is_v2 and response.status_code < 300 else []
        case.validate_response(response, checks=[not_a_server_error, *documented])
        if response.status_code >= 400:
            assert response.json()["message"], "a refusal says why"

    check()
    return made


@pytest.mark.filterwarnings("ignore")
async def test_no_input_is_our_fault_and_answers_are_as_documented(deployment: Deployment, world: World):
    made = await asyncio.to_thread(exercise, deployment.base_url, world)
    assert len(made) > 60
    assert all(made.values())
