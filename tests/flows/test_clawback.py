"""Microsoft tells of refunds over a queue: what waits there is fetched once, and done to the subscription it is about."""

import json
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.sax.saxutils import escape

import pytest

from perennial import catalog, intake
from perennial.app import App
from perennial.base.errors import Unavailable
from perennial.base.money import Money
from perennial.base.value import replace
from perennial.intake.model import Question
from perennial.providers.microsoft import MicrosoftStore, clawback
from tests.answering import Answering
from tests.world import START, World

ID, PRODUCT = "mdr:0:abc:def", "9NBLGGH42CFD"
KEY = "eyJ-store-id-key"
SAS = "sv=2021-10-04&spr=https&st=2026-01-20T22%3A59%3A25Z&se=2036-01-21T04%3A59%3A25Z&sp=rp&sig=zJ4n%2BJdcv0nVNSh5vEwICguV54tqZ62jJwD7Omr87WE%3D"
TAKE, OPEN = "GET /queue/messages", "GET /v8.0/b2b/clawback/sastoken"
DAY = timedelta(days=1)
QUESTION = Question(environment="production", subject=ID)


def event(
    state: str, *, identifier: str = "5ef37bd1", at: datetime = START + DAY, source: str = "/Purchase/Refund", **interval: Any
) -> dict[str, Any]:
    """As Microsoft documents it."""
    recurrence = {
        "recurrenceId": ID,
        "durationIntervalStart": START.isoformat(),
        "durationInDays": 28,
        "consumedDurationInDays": 0,
        "refundType": "Full",
        **interval,
    }
    return {
        "id": identifier,
        "source": source,
        "type": "ClawbackEventContractV2",
        "data": {
            "lineItemId": "230e9063-bffe-411a-8aa1-6f99ca091452",
            "orderId": "70fd35f2-7e4a-4f27-8df3-a673a5a4d9d9",
            "productId": PRODUCT,
            "productType": "Pass",
            "purchasedDate": START.isoformat(),
            "eventDate": at.isoformat().replace("+00:00", ".2468470+00:00"),
            "eventState": state,
            "sandboxId": "RETAIL",
            "skuId": "0020",
            "recurrenceData": recurrence,
        },
        "time": at.isoformat(),
        "specversion": "1.0",
        "datacontenttype": "application/json",
        "subject": "/Purchase/Refund/907eb4af",
        "traceparent": "00-6d2a",
    }


def queue(*texts: str) -> bytes:
    """Azure's answer; a text is a message's, already encoded."""
    messages = [
        f"<QueueMessage><MessageId>m{place}</MessageId><InsertionTime>Mon, 02 Feb 2026 12:00:00 GMT</InsertionTime>"
        f"<PopReceipt>AgAA+{place}=</PopReceipt><DequeueCount>1</DequeueCount><MessageText>{escape(text)}</MessageText></QueueMessage>"
        for place, text in enumerate(texts)
    ]
    return f'<?xml version="1.0" encoding="utf-8"?><QueueMessagesList>{"".join(messages)}</QueueMessagesList>'.encode()


def encoded(said: object) -> str:
    return b64encode(json.dumps(said).encode()).decode()


@pytest.fixture
def microsoft() -> Iterator[Answering]:
    server = Answering()
    server.answer("POST /tenant/oauth2/token", {"access_token": "T0KEN", "expires_in": "3599"})
    server.answer(OPEN, {"expiresOn": "2036-01-21T04:59Z", "uri": f"{server.address}/queue?{SAS}"})
    recurrence = {
        "autoRenew": True,
        "expirationTime": (START + 28 * DAY).isoformat(),
        "id": ID,
        "isTrial": False,
        "market": "US",
        "productId": PRODUCT,
        "recurrenceState": "Active",
        "startTime": START.isoformat(),
        "cancellationDate": "0001-01-01T00:00:00+00:00",
    }
    server.answer("POST /v8.0/b2b/recurrences/query", {"items": [recurrence]})
    for place in range(3):
        server.answer(f"DELETE /queue/messages/m{place}", b"", status=204)
    yield server
    server.close()


class Desk:
    """A world with an app of Microsoft's; ada holds a subscription of four weeks that cost 9.99."""

    def __init__(self, world: World, app: App, app_id: str, microsoft: Answering) -> None:
        self.world, self.app, self.app_id, self.microsoft = world, app, app_id, microsoft

    async def comes(self, *texts: str) -> int:
        """These wait in the queue; they are fetched and digested."""
        self.microsoft.answer(TAKE, queue(*texts), queue())
        pulled = await intake.pull(self.app.database, self.app.vault, self.app.providers, self.world.project_id, self.app_id)
        await self.world.run_due()
        return pulled

    async def outcomes(self) -> list[tuple[str, str]]:
        async with self.world.app.database.transaction(self.world.project_id) as tx:
            return [(row["kind"], row["outcome"]) for row in await tx.fetch("SELECT kind, outcome FROM notification ORDER BY message_id")]

    @property
    def deleted(self) -> list[str]:
        return [one.query["popreceipt"] for one in self.microsoft.asked if one.method == "DELETE"]


@pytest.fixture
async def desk(world: World, microsoft: Answering) -> AsyncIterator[Desk]:
    store = MicrosoftStore()
    app = replace(world.app, providers={**world.app.providers, "microsoft": store})
    async with world.app.database.transaction(world.project_id) as tx:
        made, _ = await catalog.create_app(
            tx,
            world.app.vault,
            name="Windows",
            store="microsoft",
            settings={"tenant_id": "tenant", "client_id": "client", "clawback": "on"},
            secrets={"client_secret": "S3CRET"},
            api_base_url=microsoft.address,
        )
        product = await catalog.create_product(
            tx, app_id=made.app_id, store_identifier=PRODUCT, type="subscription", duration="P4W", prices=[Money(amount=999, currency="USD")]
        )
        (pro,) = await catalog.get_entitlements(tx, lookup_keys=["pro"])
        await catalog.attach_products(tx, pro.entitlement_id, [product.product_id])
    asked = {"app_user_id": "ada", "fetch_token": KEY, "store_user_id": KEY}
    async with world.app.database.transaction(world.project_id) as tx:
        key = next(one for one in await catalog.get_keys(tx, app_id=made.app_id) if one.public_key)
    answer = await world.http.post("/v1/receipts", headers={"Authorization": f"Bearer {key.public_key}", "X-Platform": "windows"}, json=asked)
    assert answer.status_code == 200, answer.text
    assert await world.entitled("ada") == ["pro"]
    await world.advance(days=2)
    yield Desk(world, app, made.app_id, microsoft)
    await store.close()


@pytest.mark.parametrize("state", ["Returned", "Revoked"])
async def test_a_return_ends_access_and_is_counted_once(desk: Desk, state: str) -> None:
    assert await desk.comes(encoded(event(state))) == 1
    assert await desk.world.entitled("ada") == []
    last = [one for one in await desk.world.bodies("ada") if one["type"] == "CANCELLATION"]
    assert [(one["cancel_reason"], one["price"]) for one in last] == [("CUSTOMER_SUPPORT", -9.99)]
    assert desk.deleted == ["AgAA+0="], "deleted with the receipt it was taken with"
    await desk.comes(encoded(event(state)))
    assert [one["type"] for one in await desk.world.bodies("ada")].count("CANCELLATION") == 1
    assert [kind for kind, _ in await desk.outcomes()] == [f"Refund.{state}"]


async def test_a_partial_return_gives_back_the_days_not_used(desk: Desk) -> None:
    await desk.comes(encoded(event("Returned", consumedDurationInDays=7, refundType="Partial")))
    (told,) = [one for one in await desk.world.bodies("ada") if one["type"] == "CANCELLATION"]
    assert told["price"] == pytest.approx(-7.49)  # 21 of 28 days


async def test_a_refund_leaves_access_and_a_later_answer_of_the_store_leaves_the_refund(desk: Desk) -> None:
    await desk.comes(encoded(event("Refunded")))
    assert await desk.world.entitled("ada") == ["pro"]
    (line,) = await desk.world.lines("ada")
    assert [(one.amount, one.is_reversed) for one in line.held[0].purchase.refunds] == [(Money(amount=999, currency="USD"), False)]
    await desk.comes(encoded(event("ChargebackReversal", identifier="later", at=START + 2 * DAY)))
    (line,) = await desk.world.lines("ada")
    assert [one.is_reversed for one in line.held[0].purchase.refunds] == [True]


async def test_a_chargeback_that_microsoft_won_gives_access_back(desk: Desk) -> None:
    await desk.comes(encoded(event("Revoked", source="/Purchase/Chargeback")))
    assert await desk.world.entitled("ada") == []
    await desk.comes(encoded(event("ChargebackReversal", identifier="later", at=START + 2 * DAY, source="/Purchase/Chargeback")))
    assert await desk.world.entitled("ada") == ["pro"]
    assert [kind for kind, _ in await desk.outcomes()] == ["Chargeback.Revoked", "Chargeback.ChargebackReversal"]


async def test_what_was_returned_stays_returned_when_the_subscription_is_asked_about(desk: Desk) -> None:
    await desk.comes(encoded(event("Returned")))
    async with desk.world.app.database.transaction(desk.world.project_id) as tx:
        await intake.inquire(tx, [(desk.app_id, QUESTION)], "by hand")
    await desk.world.run_due()
    assert await desk.world.entitled("ada") == []
    assert "REFUND_REVERSED" not in await desk.world.told("ada")


async def test_what_is_no_event_or_no_subscription_is_kept_and_holds_nobody_up(desk: Desk) -> None:
    coins = event("Revoked", identifier="coins")
    del coins["data"]["recurrenceData"]
    strangers = event("Returned", identifier="strangers", recurrenceId="mdr:0:someone:else")
    assert await desk.comes("not base64!", encoded(coins), encoded(strangers)) == 3
    assert len(await desk.outcomes()) == len(desk.deleted) == 3
    assert await desk.world.entitled("ada") == ["pro"]


async def test_a_message_is_deleted_only_once_it_is_kept(desk: Desk) -> None:
    desk.microsoft.answer(TAKE, queue(encoded(event("Returned"))), queue())

    async def fails(caught: object) -> None:
        raise Unavailable("the database is away")

    store = desk.app.providers["microsoft"]
    assert isinstance(store, MicrosoftStore)
    async with desk.world.app.database.transaction(desk.world.project_id) as tx:
        app = (await intake.store_apps(tx, desk.world.app.vault, [desk.app_id]))[desk.app_id]
    with pytest.raises(Unavailable):
        await store.pull(app, fails, START)
    assert desk.deleted == []


@pytest.mark.parametrize(
    ("what", "content", "status"),
    [
        (OPEN, {"error": "no queue"}, 404),
        (OPEN, {"uri": "nonsense"}, 200),
        (TAKE, b"<not xml", 200),
        (TAKE, b"", 403),
        (TAKE, b"<!DOCTYPE x><x/>", 200),
    ],
)
async def test_trouble_with_the_queue_is_said_without_its_key(
    desk: Desk, caplog: pytest.LogCaptureFixture, what: str, content: object, status: int
) -> None:
    desk.microsoft.answer(what, content, status=status)
    with pytest.raises(Unavailable) as raised:
        await intake.pull(desk.app.database, desk.app.vault, desk.app.providers, desk.world.project_id, desk.app_id)
    assert "sig=" not in raised.value.message + caplog.text and "zJ4n" not in caplog.text


async def test_only_apps_with_a_queue_are_fetched(desk: Desk) -> None:
    async def is_fetched() -> bool:
        return any(row["app_id"] == desk.app_id for row in await desk.app.database.door("SELECT project_id, app_id FROM apps_to_pull()"))

    assert await is_fetched()
    async with desk.world.app.database.transaction(desk.world.project_id) as tx:
        await catalog.change_app(tx, desk.world.app.vault, desk.app_id, settings={"clawback": None})
    assert not await is_fetched()


def test_hints_of_several_events_are_told_apart_and_one_cut_short_is_passed_over() -> None:
    hints = []
    for state, day in (("ChargebackReversal", 3), ("Returned", 1)):
        body = json.dumps(event(state, at=datetime(2026, 2, day, tzinfo=UTC))).encode()
        (question,) = clawback.read(body, "production").questions
        hints.append(question.hint)
    found = clawback.taken_in("\n".join(["something else", *hints, hints[0][:-9]]))
    assert [one.s for one in found] == ["Returned", "ChargebackReversal"]
