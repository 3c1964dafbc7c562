"""A purchase at the Amazon Appstore by the calls that Android's SDK makes: first what Amazon says of the receipt, then the post."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from perennial import catalog
from perennial.base.money import Money
from perennial.base.time import to_ms
from tests.answering import Answering
from tests.world import START, World

USER, RECEIPT, TERM = "amzn1.account.A+B=", "q1YqVrJSSs7P1UvMTazKz9PLTCwoTswtyEktM9JLrShIzCvOzM+z:3:11", "com.example.pro.month"


class Shop:
    """An app of the Amazon Appstore, and an Amazon that answers for its shared secret."""

    def __init__(self, world: World, amazon: Answering, app_id: str, key: str) -> None:
        self.world, self.amazon, self.app_id, self.key = world, amazon, app_id, key

    def says(self, status: int = 200, **changes: Any) -> None:
        receipt = {
            "receiptId": RECEIPT,
            "productId": "com.example.pro",
            "productType": "SUBSCRIPTION",
            "termSku": TERM,
            "term": "1 Month",
            "purchaseDate": to_ms(START),
            "renewalDate": to_ms(START) + 28 * 86_400_000,
            "cancelDate": None,
            "autoRenewing": True,
            "countryCode": "US",
            "testTransaction": False,
            "fulfillmentResult": None,
            **changes,
        }
        path = f"/version/1.0/verifyReceiptId/developer/S3CRET/user/{quote(USER, safe='')}/receiptId/{quote(RECEIPT, safe='')}"
        self.amazon.answer(f"GET {path}", receipt, status=status)

    async def ask(self, user: str = USER, receipt: str = RECEIPT, *, key: str | None = None) -> httpx.Response:
        path = f"/v1/receipts/amazon/{quote(user, safe='')}/{quote(receipt, safe='')}"
        return await self.world.http.get(path, headers={"Authorization": f"Bearer {key or self.key}", "X-Platform": "amazon"})

    async def post(self, product: str, **more: Any) -> httpx.Response:
        sent = {"app_user_id": "ada", "fetch_token": RECEIPT, "product_ids": [product], "store_user_id": USER, **more}
        return await self.world.http.post("/v1/receipts", headers={"Authorization": f"Bearer {self.key}", "X-Platform": "amazon"}, json=sent)


@pytest.fixture
async def shop(world: World) -> AsyncIterator[Shop]:
    amazon = Answering()
    async with world.app.database.transaction(world.project_id) as tx:
        app, key = await catalog.create_app(tx, world.app.vault, name="Fire", store="amazon", bundle_id="com.example.app")
        await catalog.change_app(tx, world.app.vault, app.app_id, api_base_url=amazon.address, secrets={"shared_secret": "S3CRET"})
        product = await catalog.create_product(
            tx, app_id=app.app_id, store_identifier=TERM, type="subscription", duration="P1M", prices=[Money(amount=499, currency="USD")]
        )
        pro = next(one for one in await catalog.get_entitlements(tx) if one.lookup_key == "pro")
        await catalog.attach_products(tx, pro.entitlement_id, [product.product_id])
    assert key.public_key is not None
    yield Shop(world, amazon, app.app_id, key.public_key)
    amazon.close()


async def test_the_term_is_looked_up_by_the_receipt_and_then_the_receipt_is_posted(shop: Shop) -> None:
    shop.says()
    found = await shop.ask()
    assert (found.status_code, found.json()["termSku"]) == (200, TERM)
    assert found.json()["fulfillmentResult"] is None  # what only Amazon's SDK reads is handed through
    posted = await shop.post(found.json()["termSku"])
    assert posted.status_code == 200, posted.text
    assert list(posted.json()["subscriber"]["subscriptions"]) == [TERM]
    assert "purchased_products" not in posted.json()
    assert await shop.world.entitled("ada") == ["pro"]


async def test_what_was_bought_once_is_told_to_be_consumed_or_not(shop: Shop) -> None:
    for kind, is_consumable in (("CONSUMABLE", True), ("ENTITLED", False)):
        shop.says(productType=kind, productId=f"coins.{kind.lower()}", termSku=None, term=None, renewalDate=None)
        found = (await shop.ask()).json()
        assert found["termSku"] is None
        posted = await shop.post(found["productId"])
        assert posted.json()["purchased_products"] == {f"coins.{kind.lower()}": {"should_consume": is_consumable}}


async def test_a_receipt_that_is_none_or_another_users_is_refused_as_the_sdk_knows_it(shop: Shop) -> None:
    shop.says(status=400)
    assert ((await shop.ask()).status_code, (await shop.ask()).json()["code"]) == (400, 7103)
    assert (await shop.ask(user="", receipt="x")).status_code in (400, 404)
    assert (await shop.ask(user="a\x00b")).status_code == 400


async def test_an_amazon_that_fails_or_an_app_without_its_secret_is_tried_again(shop: Shop) -> None:
    shop.says(status=500)
    assert (await shop.ask()).status_code == 503
    shop.says(status=496)  # the shared secret is wrong: the operator's to mend, and no reason for a device to give a purchase up
    assert ((await shop.ask()).status_code, (await shop.post(TERM)).status_code) == (503, 503)
    async with shop.world.app.database.transaction(shop.world.project_id) as tx:
        await catalog.change_app(tx, shop.world.app.vault, shop.app_id, secrets={"shared_secret": None})
    assert ((await shop.ask()).status_code, (await shop.post(TERM)).status_code) == (503, 503)


async def test_only_an_amazon_app_s_key_asks_amazon(shop: Shop) -> None:
    shop.says()
    assert (await shop.ask(key=shop.world.keys["app_store"])).status_code == 400
    assert (await shop.ask(key="test_nobody")).status_code == 401
    assert (await shop.ask(key=shop.world.secret_key)).json()["termSku"] == TERM
    assert [call for call in shop.amazon.calls if "S3CRET" not in call] == []
