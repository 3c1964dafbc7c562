"""What was bought on the web comes into an app by a link: once, within the hour, for one person."""

from typing import Any

import httpx
import pytest

from perennial import customers, redemption
from perennial.base.errors import Conflict
from perennial.redemption import Issued
from perennial.redemption.rules import obfuscated
from tests.world import World, make_world

BUYER = "$RCAnonymousID:" + "b" * 32
VISITOR = "$RCAnonymousID:" + "c" * 32


async def link_for(world: World, app_user_id: str) -> Issued:
    async with world.app.database.transaction(world.project_id) as tx:
        return await redemption.issue(tx, (await customers.get(tx, app_user_id)).customer_id)


@pytest.fixture
async def link(world: World) -> Issued:
    """Somebody without an account has bought a month on the web, and left an e-mail address."""
    await world.buy(BUYER, "pro_monthly", attributes={"$email": {"value": "ada.lovelace@mail.example.com", "updated_at_ms": 1}})
    return await link_for(world, BUYER)


async def redeem(world: World, link: Issued | str, app_user_id: str) -> httpx.Response:
    token = link.token if isinstance(link, Issued) else link
    return await world.http.post(
        "/v1/subscribers/redeem_purchase", headers=world.sdk("app_store"), json={"redemption_token": token, "app_user_id": app_user_id}
    )


async def refused(world: World, link: Issued | str, app_user_id: str) -> tuple[int, int, Any]:
    body = (answer := await redeem(world, link, app_user_id)).json()
    return answer.status_code, body["code"], body.get("purchase_redemption_error_info")


async def test_the_app_s_user_has_what_was_bought_on_the_web(world: World, link: Issued):
    assert link.url("rc-app") == f"rc-app://redeem_web_purchase?redemption_token={link.token}"
    await world.advance(minutes=59)
    answer = await redeem(world, link, "ada")
    assert answer.status_code == 200, answer.text
    assert list(answer.json()["subscriber"]["entitlements"]) == ["pro"]
    assert await world.entitled("ada") == ["pro"]
    assert await world.entitled(BUYER) == ["pro"], "both ids are one customer now"
    assert (await world.customer("ada"))["original_app_user_id"] == BUYER


async def test_an_anonymous_user_of_the_app_may_redeem_too(world: World, link: Issued):
    await world.customer(VISITOR)
    assert (await redeem(world, link, VISITOR)).status_code == 200
    assert await world.entitled(VISITOR) == ["pro"]


async def test_a_link_works_once_and_its_redeemer_may_ask_again(world: World, link: Issued):
    assert (await redeem(world, link, "ada")).status_code == 200
    assert await refused(world, link, "bea") == (403, 7852, None)
    assert (await redeem(world, link, "ada")).status_code == 200, "the app may have missed our answer"
    await world.advance(minutes=90)
    assert (await redeem(world, link, "ada")).status_code == 200
    assert await world.entitled("bea") == []


async def test_a_link_ends_after_an_hour_and_says_where_it_was_sent(world: World, link: Issued):
    await world.advance(minutes=60)
    assert await refused(world, link, "ada") == (403, 7853, {"obfuscated_email": "a***@m***.com"})
    assert await world.entitled("ada") == []
    fresh = await link_for(world, BUYER)
    assert (await redeem(world, fresh, "ada")).status_code == 200
    assert await world.entitled("ada") == ["pro"]


async def test_a_new_link_ends_the_older_ones(world: World, link: Issued):
    fresh = await link_for(world, BUYER)
    assert (await refused(world, link, "ada"))[:2] == (403, 7853)
    assert (await redeem(world, fresh, "ada")).status_code == 200


async def test_a_made_up_token_is_nobodys_and_makes_nobody(world: World):
    for token in ("", "made up", "x" * 200):
        assert await refused(world, token, "ada") == (400, 7849, None)
    assert (await world.http.get("/v1/subscribers/ada", headers=world.sdk())).status_code == 201


async def test_who_bought_with_an_account_keeps_it(world: World):
    await world.buy("ada", "pro_monthly")
    link = await link_for(world, "ada")
    assert await refused(world, link, "bea") == (403, 7852, None)
    assert (await redeem(world, link, "ada")).status_code == 200
    assert await world.entitled("bea") == []


async def test_who_signed_up_meanwhile_is_the_one_it_belongs_to(world: World, link: Issued):
    await world.http.post("/v1/subscribers/identify", headers=world.sdk(), json={"app_user_id": BUYER, "new_app_user_id": "ada"})
    assert await refused(world, link, "bea") == (403, 7852, None)
    assert (await redeem(world, link, "ada")).status_code == 200


async def test_there_is_no_link_for_nothing(world: World):
    await world.customer("ada")
    with pytest.raises(Conflict, match="ada bought nothing on the web"):
        await link_for(world, "ada")


async def test_another_project_s_link_is_no_link(world: World, link: Issued):
    other = await make_world(world.app, world.http)
    assert await refused(other, link, "ada") == (400, 7849, None)


async def test_the_token_itself_is_not_kept(world: World, link: Issued):
    async with world.app.database.transaction(world.project_id) as tx:
        [row] = await tx.fetch("SELECT * FROM redemption")
    assert link.token not in repr(dict(row))
    assert (row["expires_at"] - row["issued_at"]).total_seconds() == 3600


@pytest.mark.parametrize(
    ("email", "shown"), [("ada@example.com", "a***@e***.com"), ("a@b.co.uk", "a***@b***.uk"), (None, ""), ("ada@localhost", "a***@***localhost")]
)
def test_a_mailbox_is_told_to_its_owner_alone(email: str | None, shown: str):
    assert obfuscated(email) == shown
