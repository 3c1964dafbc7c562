"""A server is told of what it sent that nobody reads; an SDK is not."""

from typing import Any

from tests.world import World

HEADER = "x-perennial-warning"


async def test_misspelt_parameters_and_fields_are_named(world: World) -> None:
    path, key = f"/v2/projects/{world.project_id}", world.secret
    asked = await world.http.get(f"{path}/customers?limt=5&limit=5&expnd=a&expnd=b", headers=key)
    assert (asked.status_code, asked.headers[HEADER]) == (200, "not known and ignored: query parameter limt, query parameter expnd")
    body: dict[str, Any] = {"store_identifier": "x", "app_id": world.app_ids["test_store"], "type": "subscription", "colour": 1}
    body |= {"subscription": {"duration": "P1M", "trail_duration": "P1W"}, "prices": [{"currency": "USD", "amount_micros": 10_000, "tax": 1}]}
    made = await world.http.post(f"{path}/products", headers=key, json=body)
    assert made.status_code == 201, made.text
    assert made.headers[HEADER] == "not known and ignored: field colour, field subscription.trail_duration, field prices[0].tax"
    granted = await world.http.post(
        "/v1/subscribers/ada/entitlements/pro/promotional?dry=1", headers=key, json={"duration": "daily", "durration": "weekly"}
    )
    assert granted.headers[HEADER] == "not known and ignored: query parameter dry, field durration"


async def test_what_is_known_warns_of_nothing(world: World) -> None:
    path, key = f"/v2/projects/{world.project_id}", world.secret
    free: dict[str, Any] = {"lookup_key": "o", "display_name": "O", "metadata": {"anything": {"goes": 1}}}
    for answer in (
        await world.http.get(f"{path}/customers?limit=5&search=a", headers=key),
        await world.http.post(f"{path}/offerings", headers=key, json=free),
        await world.http.get("/rcbilling/v1/subscribers/ada/products?id=coins&id=x", headers=key | {"X-Platform": "ios"}),
        await world.http.get("/v1/subscribers/ada/offerings?x=1", headers=world.sdk()),
        await world.http.post("/v1/subscribers/identify", headers=world.sdk(), json={"app_user_id": "a", "new_app_user_id": "b", "sdk": "new"}),
    ):
        assert answer.status_code < 300, answer.text
        assert HEADER not in answer.headers


async def test_names_cannot_break_out_of_the_header(world: World) -> None:
    body = {"lookup_key": "z", "display_name": "Z", "a\r\nSet-Cookie: x": 1, "ü": 1, "n" * 1000: 1, **{f"f{number}": 1 for number in range(50)}}
    answer = await world.http.post(f"/v2/projects/{world.project_id}/entitlements", headers=world.secret, json=body)
    assert answer.status_code == 201
    assert answer.headers[HEADER].startswith("not known and ignored: field a??Set-Cookie:?x, field ?, field nnn")
    assert answer.headers[HEADER].endswith(" and 43 more")
    assert "set-cookie" not in answer.headers
