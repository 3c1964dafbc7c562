"""Every operation of our own OpenAPI, with whatever its schema allows: never a 5xx, and every answer is one that is documented, as documented."""

import asyncio
from collections import Counter, defaultdict
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from tests.contract.v2_operations import ids_of
from tests.e2e.conftest import Deployment
from tests.fuzz.mutating import ROUNDS
from tests.world import World

EXAMPLES = 3 + ROUNDS


def exercise(base_url: str, world: World, ids: dict[str, str]) -> tuple[dict[str, Counter[int]], list[str]]:
    """The statuses of each operation, and what was wrong."""
    schema = schemathesis.openapi.from_url(f"{base_url}/openapi/openapi.json")
    made: dict[str, Counter[int]] = {}
    problems: list[str] = []
    for found in schema.get_all_operations():
        operation = found.ok()
        made[operation.label] = exercise_one(operation, world, ids, problems)
    return made, problems


def exercise_one(operation: Any, world: World, ids: dict[str, str], problems: list[str]) -> Counter[int]:
    """Of every two requests one is about what there is, the other about what nobody has. Apps and servers take turns in v1."""
    made: Counter[int] = Counter()

    @seed(1)
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())
    def check(case: schemathesis.Case) -> None:
        known = ids if made.total() % 2 == 0 else {"project_id": world.project_id}
        case.path_parameters.update({name: known[name] for name in case.path_parameters if name in known})
        headers = world.secret if operation.path.startswith("/v2") or made.total() % 4 < 2 else world.sdk("test_store")
        response = case.call(headers=headers, timeout=20, allow_redirects=False)
        made[response.status_code] += 1
        try:
            case.validate_response(
                response, checks=[not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
            )
        except AssertionError as error:
            problems.append(f"{operation.label} {response.status_code}: {error}")
        except BaseExceptionGroup as errors:
            problems.append(f"{operation.label} {response.status_code}: " + " / ".join(str(one)[:400] for one in errors.exceptions))

    check()
    return made


def group_of(label: str) -> str:
    path = label.split()[1]
    steps = [step for step in path.split("/") if step and not step.startswith("{")]
    return "/".join(steps[:3:2]) if steps[:2] == ["v2", "projects"] else "/".join(steps[:2]) or "/"


@pytest.mark.filterwarnings("ignore")
async def test_no_input_is_our_fault_and_answers_are_as_documented(deployment: Deployment, world: World):
    ids = await ids_of(world)
    ids |= {"app_user_id": "ada", "entitlement": "pro", "product": "pro_monthly", "transaction": "test_monthly", "store": "app_store"}
    made, problems = await asyncio.to_thread(exercise, deployment.base_url, world, ids)
    groups: dict[str, Counter[int]] = defaultdict(Counter)
    for label, statuses in made.items():
        groups[group_of(label)] += statuses
    print(*(f"{group:40} {dict(sorted(statuses.items()))}" for group, statuses in sorted(groups.items())), sep="\n")
    assert not problems, "\n".join(problems)
    assert len(made) > 150
    assert all(made.values())
