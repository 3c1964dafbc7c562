"""Durations and moments that callers choose: longer than nothing, shorter than a hundred years, and within the calendar."""

import pytest

from perennial.base.errors import Invalid
from perennial.base.time import check_duration
from tests.contract.v2_caller import Caller
from tests.world import World

REFUSED = [
    "P9999Y",
    "P0D",
    "P0Y0M0DT0S",
    "PT0S",
    "P101Y",
    "P1201M",
    "P6000W",
    "P99999D",
    "P1M-1D",
    "1 month",
    "P1.5Y",
    "P-1Y",
]
TAKEN = ["P1D", "PT5M", "P1W", "P1Y", "P100Y", "P1Y2M3DT4H"]


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_nothing_or_without_end_is_no_duration(text: str) -> None:
    with pytest.raises(Invalid, match="field") as caught:
        check_duration(text, "field")
    assert caught.value.param == "field"


@pytest.mark.parametrize("text", TAKEN)
def test_the_rest_is_one(text: str) -> None:
    check_duration(text, "field")


@pytest.mark.parametrize("text", REFUSED)
async def test_products_trials_and_rewards_have_a_duration_one_can_wait_for(world: World, text: str) -> None:
    v2 = Caller.of(world)
    product = {"store_identifier": "x", "app_id": world.app_ids["test_store"], "type": "subscription"}
    for subscription, param in (({"duration": text}, "duration"), ({"duration": "P1M", "trial_duration": text}, "trial_duration")):
        said = await v2.refused("POST", "/products", product | {"subscription": subscription}, status=400, type="parameter_error", param=param)
        assert said.startswith(param)
    made = await v2.post("/products", product | {"subscription": {"duration": "P1M"}})
    for field in ("duration", "trial_duration"):
        await v2.refused("POST", f"/products/{made['id']}", {"subscription": {field: text}}, status=400, type="parameter_error", param=field)
    rewards = {"rewards": [{"reward_item": "hour", "entitlement_lookup_key": "pro", "duration": text}]}
    answer = await world.http.put(f"/v2/projects/{world.project_id}/apps/{world.app_ids['app_store']}/ad_rewards", headers=world.secret, json=rewards)
    assert answer.status_code == 400, answer.text


@pytest.mark.parametrize(
    "body",
    [
        {"end_time_ms": 10**17},
        {"end_time_ms": -(10**17)},
        {"end_time_ms": 2**63 - 1},
        {"duration": "lifetime", "start_time_ms": 253402300799999},
        {"duration": "daily", "start_time_ms": 253402300799999},
        {"duration": "daily", "start_time_ms": -(2**63)},
        {"duration": "yearly", "start_time_ms": 0},
    ],
)
async def test_grants_end_within_the_calendar(world: World, body: dict[str, int]) -> None:
    answer = await world.http.post("/v1/subscribers/ada/entitlements/pro/promotional", headers=world.secret, json=body)
    assert answer.status_code == 400, answer.text


async def test_a_grant_to_the_last_moment_of_the_calendar_is_one(world: World) -> None:
    answer = await world.http.post("/v1/subscribers/ada/entitlements/pro/promotional", headers=world.secret, json={"end_time_ms": 253402300799999})
    assert answer.status_code == 201, answer.text
    assert (await world.customer("ada"))["entitlements"]["pro"]["expires_date"] == "9999-12-31T23:59:59Z"
    assert await world.entitled("ada") == ["pro"]
