"""Ads that were watched: AdMob's signed callbacks, what they give, and what the SDK is told of it. Google's keys are served on this machine."""

import asyncio
import json
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote, quote_plus, unquote

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from typer.testing import CliRunner

from perennial import catalog
from perennial.asgi import open_front
from perennial.base.time import to_ms
from perennial.base.value import replace
from perennial.cli import app as command_line
from perennial.providers import admob
from perennial.providers.admob import AdMob
from tests.answering import Answering
from tests.contract.v2_caller import Caller
from tests.world import START, World

KEY, STRANGERS = generate_private_key(SECP256R1()), generate_private_key(SECP256R1())
KEY_ID, UNIT = 1234567890, "2747237135"
COINS = {"reward_item": "coins", "currency_code": "GLD", "amount": 5}
HOUR = {"reward_item": "hour", "entitlement_lookup_key": "pro", "duration": "PT1H"}


def keys(**known: EllipticCurvePrivateKey) -> dict[str, Any]:
    """As Google publishes them."""
    pems = {name: key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode() for name, key in known.items()}
    return {"keys": [{"keyId": int(name[1:]), "pem": pem, "base64": "..."} for name, pem in pems.items()]}


def callback(*, key: EllipticCurvePrivateKey = KEY, key_id: int = KEY_ID, is_escaped_signed: bool = False, **said: str | None) -> str:
    """A query as Google writes it: signed as it is before it is escaped, or as it stands."""
    fields = {
        "ad_network": "5450213213286189855",
        "ad_unit": UNIT,
        "custom_data": "tx-1",
        "reward_amount": "10",
        "reward_item": "coins",
        "timestamp": str(to_ms(START)),
        "transaction_id": "18fa792de1bca816048293fc71035638",
        "user_id": "ada",
        **said,
    }
    present = {name: text for name, text in sorted(fields.items()) if text is not None}
    wire = "&".join(f"{name}={quote(text, safe='')}" for name, text in present.items())
    bare = "&".join(f"{name}={text}" for name, text in present.items())
    return signed(wire, (wire if is_escaped_signed else bare).encode(), key, key_id)


def signed(wire: str, words: bytes, key: EllipticCurvePrivateKey = KEY, key_id: int = KEY_ID) -> str:
    signature = urlsafe_b64encode(key.sign(words, ECDSA(SHA256()))).decode().rstrip("=")
    return f"{wire}&signature={signature}&key_id={key_id}"


@pytest.fixture
def google() -> Iterator[Answering]:
    server = Answering()
    server.answer("GET /verifier-keys.json", keys(k1234567890=KEY))
    yield server
    server.close()


class Cinema:
    """A world whose AdMob is on this machine, and an app that shows ads."""

    def __init__(self, world: World, http: httpx.AsyncClient) -> None:
        self.world, self.http, self.app_id = world, http, world.app_ids["test_store"]

    async def hears(self, query: str, *, app_id: str | None = None) -> httpx.Response:
        return await self.http.get(f"/hooks/admob/{app_id or self.app_id}?{query}")

    async def became(self, transaction: str = "tx-1", user: str = "ada") -> Any:
        answer = await self.http.get(f"/v1/subscribers/{user}/ads/reward_verifications/{quote_plus(transaction)}", headers=self.world.sdk())
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def gives(self, *rewards: dict[str, Any]) -> None:
        await Caller.of(self.world).ask("PUT", f"/apps/{self.app_id}/ad_rewards", {"rewards": list(rewards)}, status=200)

    async def balance(self, user: str = "ada") -> int:
        answer = await self.http.get(f"/v1/subscribers/{user}/virtual_currencies", headers=self.world.sdk())
        return int(answer.json()["virtual_currencies"]["GLD"]["balance"])


@pytest.fixture
async def cinema(world: World, google: Answering) -> AsyncIterator[Cinema]:
    ads = AdMob(keys=f"{google.address}/verifier-keys.json")
    async with open_front(replace(world.app, ads=ads)) as front:
        transport = httpx.ASGITransport(app=front, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://perennial.test") as http:
            await Caller.of(world).post("/virtual_currencies", {"code": "GLD", "name": "Gold"})
            async with world.app.database.transaction(world.project_id) as tx:
                settings = {"admob_ad_units": f"ca-app-pub-1234567890123456/{UNIT}, 99"}
                await catalog.change_app(tx, world.app.vault, world.app_ids["test_store"], settings=settings)
            cinema = Cinema(world, http)
            await cinema.gives(COINS, HOUR)
            yield cinema
    await ads.close()


async def test_an_ad_gives_a_currency_once(cinema: Cinema) -> None:
    assert await cinema.became() == {"status": "pending"}
    for _ in range(3):
        answer = await cinema.hears(callback())
        assert (answer.status_code, answer.json()) == (200, {})
    assert await cinema.became() == {
        "status": "verified",
        "reward": {"type": "virtual_currency", "code": "GLD", "amount": 5},
        "more_rewards": [],
    }
    assert await cinema.balance() == 5
    (told,) = await cinema.world.bodies("ada")
    assert (told["type"], told["source"]) == ("VIRTUAL_CURRENCY_TRANSACTION", "admin_api")
    assert [(one["amount"], one["currency"]["code"]) for one in told["adjustments"]] == [(5, "GLD")]


async def test_without_an_amount_of_ours_the_ad_unit_s_counts(cinema: Cinema) -> None:
    await cinema.gives({**COINS, "amount": None})
    await cinema.hears(callback())
    assert await cinema.balance() == 10
    assert (await cinema.became())["reward"]["amount"] == 10


async def test_ads_give_an_entitlement_for_a_while_one_after_the_other(cinema: Cinema) -> None:
    await cinema.hears(callback(reward_item="hour"))
    assert await cinema.became() == {
        "status": "verified",
        "reward": {"type": "entitlement", "identifier": "pro", "expires_at": "2026-01-31T13:00:00Z"},
        "more_rewards": [],
    }
    await cinema.hears(callback(reward_item="hour", transaction_id="2", custom_data="tx-2"))
    assert (await cinema.became("tx-2"))["reward"]["expires_at"] == "2026-01-31T14:00:00Z", "the second hour follows the first"
    await cinema.hears(callback(reward_item="hour", transaction_id="2", custom_data="tx-2"))
    await cinema.world.advance(minutes=119)
    assert await cinema.world.entitled("ada") == ["pro"]
    await cinema.world.advance(minutes=2)
    assert await cinema.world.entitled("ada") == []


async def test_one_item_may_give_several_things(cinema: Cinema) -> None:
    await cinema.gives(COINS, {**HOUR, "reward_item": "coins"})
    await cinema.hears(callback())
    became = await cinema.became()
    assert (became["reward"]["type"], [one["type"] for one in became["more_rewards"]]) == ("virtual_currency", ["entitlement"])
    assert await cinema.world.entitled("ada") == ["pro"]


@pytest.mark.parametrize("is_escaped_signed", [False, True])
@pytest.mark.parametrize("name", ["ada lövelace&co=1", "a+b%20c", "$RCAnonymousID:" + "a" * 32])
async def test_names_that_must_be_escaped(cinema: Cinema, name: str, is_escaped_signed: bool) -> None:
    data = json.dumps({"client_transaction_id": "tx é&1", "more": 1})
    answer = await cinema.hears(callback(user_id=name, custom_data=data, is_escaped_signed=is_escaped_signed))
    assert answer.status_code == 200, answer.text
    async with cinema.world.app.database.transaction(cinema.world.project_id) as tx:
        assert await tx.fetch_value("SELECT client_transaction FROM ad_reward_verification") == "tx é&1"
        assert await tx.fetch_value("SELECT count(*) FROM alias WHERE app_user_id = %(name)s", name=name) == 1


async def test_what_the_sdk_asks_follows_its_customer_through_aliases(cinema: Cinema) -> None:
    anonymous = "$RCAnonymousID:" + "b" * 32
    await cinema.hears(callback(user_id=anonymous))
    assert await cinema.became() == {"status": "pending"}, "somebody else's is not told"
    body = {"app_user_id": anonymous, "new_app_user_id": "ada"}
    await cinema.http.post("/v1/subscribers/identify", headers=cinema.world.sdk(), json=body)
    assert (await cinema.became())["status"] == "verified"
    assert await cinema.balance() == 5


@pytest.mark.parametrize(
    ("said", "reason"),
    [({"user_id": None}, "missing_user"), ({"user_id": "no_user"}, "invalid_user"), ({"reward_item": "nothing of ours"}, "no_reward")],
)
async def test_who_is_not_rewarded_is_told_why(cinema: Cinema, said: dict[str, str | None], reason: str) -> None:
    await cinema.world.customer("ada")
    assert (await cinema.hears(callback(**said))).status_code == 200, "AdMob need not say it again"
    async with cinema.world.app.database.transaction(cinema.world.project_id) as tx:
        assert await tx.fetch_value("SELECT failure FROM ad_reward_verification") == reason
    if reason == "no_reward":
        became = await cinema.became()
        assert (became["status"], became["failure_reason"]) == ("failed", reason) and "reward item" in became["message"]
    assert await cinema.balance() == 0


async def test_what_is_gone_or_full_is_not_given(cinema: Cinema) -> None:
    v2 = Caller.of(cinema.world)
    await cinema.world.customer("ada")
    path = "/customers/ada/virtual_currencies/transactions"
    await v2.post(path, {"adjustments": {"GLD": 1_999_999_999}})
    await cinema.hears(callback())
    assert (await cinema.became())["failure_reason"] == "balance_limit"
    await v2.ask("DELETE", "/virtual_currencies/GLD")
    await cinema.hears(callback(transaction_id="2", custom_data="tx-2"))
    assert (await cinema.became("tx-2"))["failure_reason"] == "reward_missing"


async def test_forgeries_are_refused(cinema: Cinema) -> None:
    good = callback()
    words, _, rest = good.partition("&signature=")
    forged = {
        "another's key": callback(key=STRANGERS),
        "more coins": good.replace("reward_amount=10", "reward_amount=1000"),
        "an unknown key": callback(key_id=7),
        "another's ad": callback(ad_unit="4444444444"),
    }
    for why, query in forged.items():
        answer = await cinema.hears(query)
        assert answer.status_code == 401, (why, answer.text)
    broken = [
        words,
        f"{words}&signature=!!!&key_id=1",
        f"{words}&signature=&key_id={KEY_ID}",
        f"{good}&key_id=1",
        "",
        "signature=x&key_id=1",
        signed("ad_unit=1", b"ad_unit=1"),
        callback(ad_unit="x"),
        callback(timestamp="-1"),
        callback(transaction_id="a\x00b"),
        callback(transaction_id="x" * 300),
        callback(custom_data="x" * 9000),
        signed(words + "&user_id=eve", (words + "&user_id=eve").encode()),
    ]
    for query in broken:
        answer = await cinema.hears(query)
        assert answer.status_code in (400, 401), (query[:80], answer.text)
    for nowhere, status in (("app_nowhere", 404), ("app_%00", 400)):
        assert (await cinema.hears(good, app_id=nowhere)).status_code == status
    for transaction in ("a%00b", "x" * 1025):
        asked = await cinema.http.get(f"/v1/subscribers/ada/ads/reward_verifications/{transaction}", headers=cinema.world.sdk())
        assert (asked.status_code, asked.json()["code"]) == (400, 7226)
    assert await cinema.balance() == 0
    async with cinema.world.app.database.transaction(cinema.world.project_id) as tx:
        assert await tx.fetch_value("SELECT count(*) FROM ad_reward_verification") == 0
    assert rest


async def test_a_publisher_cannot_pass_their_ad_off_as_ours(cinema: Cinema) -> None:
    """Whoever has ads of their own gets words of theirs signed. Escaped differently, the same words would speak of our ad unit."""
    ours = f"x&ad_unit={UNIT}&reward_amount=1000&reward_item=coins&timestamp=1&transaction_id=t&user_id=eve"
    bare = unquote(callback(ad_unit="4444444444", custom_data=ours, user_id=None).partition("&signature=")[0])
    head, _, tail = bare.partition("&ad_unit=4444444444")
    hidden = f"{head}{quote('&ad_unit=4444444444&custom_data=x', safe='')}{tail.partition('custom_data=x')[2]}"
    assert unquote(hidden) == bare and "ad_unit=4444444444" not in hidden
    for wire in (bare, hidden):
        assert (await cinema.hears(signed(wire, bare.encode()))).status_code in (400, 401)
    async with cinema.world.app.database.transaction(cinema.world.project_id) as tx:
        assert await tx.fetch_value("SELECT count(*) FROM ad_reward_verification") == 0


async def test_keys_are_fetched_seldom_whoever_calls(cinema: Cinema, google: Answering) -> None:
    for number in range(5):
        await cinema.hears(callback(key_id=number))
        await cinema.hears(callback(transaction_id=str(number)))
    assert len(google.asked) == 1


async def test_while_google_tells_no_keys_it_is_asked_to_come_again(cinema: Cinema, google: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    google.answer("GET /verifier-keys.json", b"", status=500)
    answers = await asyncio.gather(*(cinema.hears(callback(key_id=number)) for number in range(20)))
    assert {answer.status_code for answer in answers} == {503}
    assert len(google.asked) == 1  # one fetch for all who wait, and none right after it failed
    monkeypatch.setattr(admob, "FAILED_FOR", 0)
    google.answer("GET /verifier-keys.json", keys(k1234567890=KEY))
    assert (await cinema.hears(callback())).status_code == 200
    assert await cinema.balance() == 5


@pytest.mark.parametrize(
    ("reward", "param"),
    [
        ({"reward_item": "x"}, "rewards[0]"),
        ({**COINS, "entitlement_lookup_key": "pro"}, "rewards[0]"),
        ({**COINS, "duration": "P1D"}, "rewards[0].duration"),
        ({**COINS, "currency_code": "NONE"}, "rewards[0]"),
        ({**HOUR, "duration": None}, "rewards[0].duration"),
        ({**HOUR, "duration": "an hour"}, "rewards[0].duration"),
        ({**HOUR, "duration": "P9999Y"}, "rewards[0].duration"),
        ({**HOUR, "amount": 3}, "rewards[0].amount"),
        ({**HOUR, "entitlement_lookup_key": "none"}, "rewards[0]"),
        ({**COINS, "amount": 0}, "rewards[0].amount"),
    ],
)
async def test_rewards_that_cannot_be_are_refused(cinema: Cinema, reward: dict[str, Any], param: str) -> None:
    path = f"/apps/{cinema.app_id}/ad_rewards"
    v2 = Caller.of(cinema.world)
    before = await v2.get(path)
    await v2.refused("PUT", path, {"rewards": [reward]}, status=400, type="parameter_error", param=param)
    await v2.refused("PUT", path, {"rewards": [COINS, COINS]}, status=400, type="parameter_error", param="rewards")
    assert await v2.get(path) == before
    assert [one["reward_item"] for one in before["rewards"]] == ["coins", "hour"]


async def test_a_deleted_person_leaves_no_ads_behind(cinema: Cinema) -> None:
    await cinema.hears(callback())
    await cinema.http.delete("/v1/subscribers/ada", headers=cinema.world.secret)
    async with cinema.world.app.database.transaction(cinema.world.project_id) as tx:
        assert await tx.fetch_value("SELECT count(*) FROM ad_reward_verification") == 0


async def test_the_command_line_sets_them_too(cinema: Cinema, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_HOME", str(cinema.world.app.settings.home))

    def run(*words: str) -> str:
        outcome = CliRunner().invoke(command_line, ["ad-rewards", *words, "--project", cinema.world.project_id])
        assert outcome.exit_code == 0, outcome.output
        return outcome.output

    await asyncio.to_thread(run, "add", cinema.app_id, "day", "--entitlement", "pro", "--duration", "P1D")
    await asyncio.to_thread(run, "remove", cinema.app_id, "hour")
    listed = await asyncio.to_thread(run, "list", cinema.app_id)
    assert "day" in listed and "P1D" in listed and "hour" not in listed
