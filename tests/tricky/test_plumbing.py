"""Cases 52 to 56: what must not be reachable, what must not block, what must not be lost, and what must not be believed."""

import json

import pytest

from perennial import customers
from perennial.base.time import wall_clock
from perennial.intake.model import RETRY_AFTER
from perennial.providers.simulated import app_store
from perennial.providers.simulated import stripe as web
from perennial.providers.stripe import signature as stripe_signature
from tests import google_messages as wire
from tests import other_stores as others
from tests import stripe_objects
from tests.answering import Answering
from tests.rules import test_amazon_appstore as amazon_objects
from tests.tricky.market import DAY, HOUR, Desk, Mall, Market, PlayStall, Stall, open_desk, open_scripted
from tests.world import START

AMAZON_SECRET = "R3AL"


async def test_case_52_what_is_for_testing_opens_no_door(
    mall: Mall, market: Market, desk: Desk, answering: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = desk.life(START)
    life.subscribe()
    await market.later(hours=1)
    for environment in ("Xcode", "LocalTesting"):
        refused = await desk.receipt(desk.signed(life.last, environment=environment), market.ada)
        assert (refused.status_code, refused.json()["code"]) == (400, 7103), environment

    live = await Market.open(mall, start=wall_clock())  # a project that is no sandbox believes no root but Apple's, whatever rows it has
    trusting = await open_desk(live)
    async with live.transaction() as tx:
        await tx.execute("UPDATE project SET is_sandbox = false, clock_at = NULL")
    now = trusting.life(wall_clock())
    now.subscribe()
    assert (await trusting.hook(trusting.notification(now.messages[0]))).status_code == 401

    monkeypatch.setenv("TEST_MODE", "true")  # Paddle's own library looks at it
    paddle = await open_scripted(market, "paddle", None, secrets={"notification_secret": others.PADDLE_SECRET})
    body = others.paddle_event("subscription.updated", {}, START)
    assert (await paddle.hook(body, **others.paddle_headers(body, START - HOUR))).status_code == 401
    assert (await paddle.hook(body, **others.paddle_headers(body, await market.now(), "pdl_ntfset_other"))).status_code == 401

    amazon = await open_amazon(market, answering)
    sandbox_path = amazon_objects.path(is_sandbox=True)
    answering.answer(amazon_path(), {}, status=400)
    answering.answer(sandbox_path, amazon_objects.receipt(productId="pro", termSku="pro"))  # the sandbox takes any secret
    posted = {"app_user_id": market.ada, "fetch_token": amazon_objects.RECEIPT, "store_user_id": amazon_objects.USER}
    headers = market.world.sdk("amazon", **{"X-Platform": "amazon"})
    assert (await market.world.http.post("/v1/receipts", headers=headers, json=posted)).status_code == 400
    assert answering.calls == [amazon_path()], "without the setting the sandbox is not asked"
    async with market.transaction() as tx:
        await tx.execute('UPDATE app SET settings = settings || \'{"rvs_sandbox": "yes"}\' WHERE app_id = %(id)s', id=amazon.app_id)
    assert (await market.world.http.post("/v1/receipts", headers=headers, json=posted)).status_code == 200
    (line,) = await market.world.lines(market.ada)
    assert line.environment == "sandbox"
    assert not any(AMAZON_SECRET in call for call in answering.calls[1:] if "/sandbox/" in call)
    assert await market.posted("revenue/amazon") == []


async def test_case_53_a_poisoned_message_is_kept_and_holds_nobody_up(market: Market, desk: Desk, google: PlayStall, fake: wire.FakeGoogle) -> None:
    now = int((await market.now()).timestamp())
    signed = wire.bearer(wire.push_token(iat=now, exp=now + 3600))
    poison = (
        b"no json",
        json.dumps({"message": {"data": "%%%", "messageId": "base64"}, "subscription": wire.SUBSCRIPTION}).encode(),
        wire.push(b"\xff\xfe", message_id="bytes"),
        wire.push(wire.notification(somethingNew={"a": 1}), message_id="type"),
        wire.push(wire.about_subscription(999, "A"), message_id="number"),
    )
    for body in poison:
        assert (await google.hook(body, **signed)).status_code == 200, body
    stripe = await open_scripted(market, "stripe", None, secrets={"webhook_secret": stripe_objects.SECRET})
    for body in (b"{", b'{"id": "evt_2", "object": "event", "type": "invoice.paid", "data": {"object": {"lines": 5}}}'):
        assert (await stripe.hook(body, **await stripe.signs(body))).status_code == 200
    life = desk.life(START - DAY)
    life.subscribe()
    await desk.hear(life)
    assert await market.told() == ["INITIAL_PURCHASE"]
    outcomes = await market.outcomes()
    assert len(outcomes) == len(poison) + 3
    assert sum(outcome.startswith("unreadable") for outcome in outcomes) == 4
    assert sum(outcome.endswith("not read: lines") for outcome in outcomes) == 1
    async with market.transaction() as tx:
        assert await tx.fetch_value("SELECT count(*) FROM notification WHERE wake_at IS NOT NULL OR digested_at IS NULL") == 0


async def test_case_54_a_store_that_is_down_is_asked_again_until_it_answers(market: Market, google: PlayStall, fake: wire.FakeGoogle) -> None:
    await market.world.track(google.app_id)
    token = "/purchases/subscriptionsv2/tokens/A"
    fake.refuses(token, 503, "backendError")
    await google.push("A", 4, message_id="while-down")
    (question,) = await market.open_questions()
    assert (question["subject"], question["attempts"], question["wake_at"]) == ("A", 1, await market.now() + RETRY_AFTER[0])
    await market.later(minutes=7)
    (question,) = await market.open_questions()
    assert (question["attempts"], question["wake_at"]) == (3, START + RETRY_AFTER[0] + RETRY_AFTER[1] + RETRY_AFTER[2])
    assert await market.told() == []
    fake.answers.clear()
    fake.says(token, wire.subscription("ACTIVE", wire.line_item("pro", "GPA.1", START + 30 * DAY)))
    fake.has(wire.order("GPA.1", START, START + 30 * DAY))
    await market.later(hours=1)
    assert (await market.told(), await market.open_questions()) == (["INITIAL_PURCHASE"], [])

    def crash(statement: str) -> None:
        if "INSERT INTO notification" in statement:
            raise ConnectionResetError("the database is gone")

    now = int((await market.now()).timestamp())
    body, signed = wire.push(wire.about_subscription(3, "A"), message_id="kept-by-google"), wire.bearer(wire.push_token(iat=now, exp=now + 3600))
    market.world.app.database.before_statement = crash
    try:
        refused = await google.hook(body, **signed)
    finally:
        market.world.app.database.before_statement = None
    assert refused.status_code >= 500, "what is not kept must be sent again"
    assert len(await market.outcomes()) == 1
    assert (await google.hook(body, **signed)).status_code == 200
    await market.settle()
    assert len(await market.outcomes()) == 2


async def test_case_55_a_deleted_customer_is_not_brought_back_by_their_store(market: Market, apple: Stall, stripe: Stall) -> None:
    line, subscription = await apple.buy("pro_monthly"), await stripe.buy("prod_pro")
    deleted = await market.world.http.delete(f"/v1/subscribers/{market.ada}", headers=market.world.secret)
    assert deleted.status_code == 200
    await market.later(days=29)
    await stripe.do(web.refund, subscription)
    await apple.do(app_store.refund, line)
    async with market.transaction() as tx:
        assert await customers.find(tx, [market.ada]) == {}
        assert await tx.fetch_value("SELECT count(*) FROM customer") == 1
    names = {body["app_user_id"] for body in await market.world.bodies()}
    (pseudonym,) = names
    assert pseudonym.startswith("$RCAnonymousID:")
    for stall in (apple, stripe):
        assert (await stall.told())[:2] == ["INITIAL_PURCHASE", "RENEWAL"], stall.store
        assert (await stall.sales(), await stall.refunds()) == ([999, 999], [999]), stall.store
    assert market.ada not in json.dumps(await market.world.bodies())


async def test_case_56_a_message_sent_again_by_an_attacker_changes_nothing(
    market: Market, desk: Desk, google: PlayStall, fake: wire.FakeGoogle, answering: Answering
) -> None:
    stripe = await open_scripted(market, "stripe", None, secrets={"webhook_secret": stripe_objects.SECRET})
    created = int(START.timestamp())
    invoice = stripe_objects.invoice("in_1", stripe_objects.line(999, created, created + 28 * 86_400), livemode=True)
    event = stripe_objects.event("invoice.paid", invoice, livemode=True, created=created)
    captured = await stripe.signs(event)
    for _ in range(2):
        assert (await stripe.hook(event, **captured)).status_code == 200
    await market.settle()
    assert (await stripe.told(), await stripe.sales(), len(await market.outcomes())) == (["INITIAL_PURCHASE"], [999], 1)
    await market.later(minutes=6)
    other = event.replace(b"evt_1", b"evt_9")
    assert (await stripe.hook(event, **captured)).status_code == 401  # too old
    assert (await stripe.hook(other, **await stripe.signs(event))).status_code == 401  # signed for other words
    forged = {stripe_signature.HEADER: stripe_signature.sign(other, secret="whsec_guessed", now=await market.now())}
    assert (await stripe.hook(other, **forged)).status_code == 401

    now = int((await market.now()).timestamp())
    push = wire.push(wire.about_subscription(4, "A"), message_id="m")
    fits = {"iat": now, "exp": now + 3600}
    for changes in ({"email": "mallory@evil.iam.gserviceaccount.com"}, {"email_verified": False}, {"aud": "https://other.example.com"}):
        assert (await google.hook(push, **wire.bearer(wire.push_token(**{**fits, **changes})))).status_code == 401, changes
    assert (await google.hook(push, **wire.bearer(wire.push_token(iat=now - 9000, exp=now - 5400)))).status_code == 401

    amazon = await open_amazon(market, answering)
    said = others.rtn("SUBSCRIPTION_PURCHASED", await market.now())
    elsewhere = {"SigningCertURL": "https://sns.us-east-1.amazonaws.com.evil.example/SimpleNotificationService-0.pem"}
    for body in (
        others.sns_message(said, await market.now(), **elsewhere),
        others.sns_message(said, await market.now(), key="forged"),
        others.sns_message(said, await market.now() - 2 * HOUR),
        others.sns_message(said, await market.now(), TopicArn="arn:aws:sns:us-east-1:666:evil"),
    ):
        assert (await amazon.hook(body)).status_code in (400, 401)
    assert (answering.calls, fake.asked) == ([], [])

    life = desk.life(START - DAY)
    life.subscribe()
    await desk.hear(life)
    await desk.hear(life)
    assert await desk.told() == ["INITIAL_PURCHASE"]
    assert len(await market.outcomes()) == 2


# Amazon's bench ---------------------------------------------------------------------------------------------------------------


async def open_amazon(market: Market, answering: Answering) -> Stall:
    return await open_scripted(
        market,
        "amazon",
        answering.address,
        bundle_id="com.example.app",
        settings={"sns_topic_arn": others.TOPIC},
        secrets={"shared_secret": AMAZON_SECRET},
    )


def amazon_path() -> str:
    return amazon_objects.path().replace("S3CRET", AMAZON_SECRET)
