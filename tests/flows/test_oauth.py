"""An application of others is let in: registered, asked for, agreed to, and held to what was agreed."""

import base64
import html
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import msgspec
import pytest

from perennial import access
from perennial.access.model import ACCESS_LIVES, CODE_LIVES, REFRESH_LIVES
from perennial.app import App
from perennial.demo import FILE
from tests.world import House, make_world

HERE = "http://127.0.0.1:8080"
BACK = "https://reports.example.com/back"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHARTS, CUSTOMERS = "charts_metrics:charts:read", "customer_information:customers:read"


@dataclass
class Stage:
    """The demo, somebody at its machine, and a third party."""

    app: App
    http: httpx.AsyncClient
    project_id: Any
    client_id: str
    secret: str | None

    def question(self, **change: str) -> dict[str, str]:
        asked = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": BACK,
            "state": "xyz",
            "scope": CUSTOMERS,
            "code_challenge": access.challenge_of(VERIFIER),
            "code_challenge_method": "S256",
        }
        return {name: text for name, text in (asked | change).items() if text != "-"}

    async def ask(self, **change: str) -> httpx.Response:
        return await self.http.get(
            "/oauth/authorize", params=self.question(**change), headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
        )

    async def say(self, answer: str, *, origin: str = HERE, **change: str) -> httpx.Response:
        return await self.http.post("/oauth/authorize", data={**self.question(**change), "answer": answer}, headers={"Origin": origin})

    async def code(self, **change: str) -> str:
        return told(await self.say("yes", **change))["code"]

    async def token(self, **form: str) -> httpx.Response:
        whole = {"client_id": self.client_id, **({"client_secret": self.secret} if self.secret else {}), **form}
        return await self.http.post("/oauth/token", data={name: text for name, text in whole.items() if text != "-"})

    async def redeem(self, code: str, **form: str) -> httpx.Response:
        return await self.token(**{"grant_type": "authorization_code", "code": code, "redirect_uri": BACK, "code_verifier": VERIFIER, **form})

    async def refresh(self, refresh_token: str, **form: str) -> httpx.Response:
        return await self.token(grant_type="refresh_token", refresh_token=refresh_token, **form)

    async def read(self, token: str, path: str = "/customers") -> int:
        answer = await self.http.get(f"/v2/projects/{self.project_id}{path}", headers={"Authorization": f"Bearer {token}"})
        return answer.status_code

    def pass_time(self, by: timedelta) -> None:
        now = self.app.database.clock()
        self.app.database.clock = lambda: now + by


def told(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 303, answer.text
    assert answer.headers["location"].startswith(BACK + "?")
    return {name: texts[0] for name, texts in parse_qs(urlsplit(answer.headers["location"]).query).items()}


async def refused(answer: httpx.Response, error: str, status: int = 400) -> None:
    assert (answer.status_code, answer.json()["error"]) == (status, error), answer.text


both = pytest.mark.parametrize("stage", [False, True], ids=["public", "confidential"], indirect=True)


@pytest.fixture
async def stage(request: pytest.FixtureRequest, empty_house: House) -> AsyncIterator[Stage]:
    app = empty_house.app
    transport = httpx.ASGITransport(app=empty_house.front, client=("127.0.0.1", 4711))
    async with httpx.AsyncClient(transport=transport, base_url=HERE) as http:
        project_id = (await make_world(app, http)).project_id
        demo = {"project_id": project_id, "base_url": HERE, "webhook_secret": ""}
        (app.settings.home / FILE).write_bytes(msgspec.json.encode(demo))
        async with app.database.transaction(project_id) as tx:
            client, secret = await access.register_client(
                tx,
                app.database.clock(),
                name="<Reports>",
                redirect_uris=[BACK],
                permissions=[CHARTS, CUSTOMERS],
                is_confidential=getattr(request, "param", False),
            )
        yield Stage(app=app, http=http, project_id=project_id, client_id=client.client_id, secret=secret)


async def test_the_metadata_leads_there(stage: Stage):
    document = (await stage.http.get("/.well-known/oauth-authorization-server")).json()
    assert document["issuer"] == HERE
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["token_endpoint"] == f"{HERE}/oauth/token"
    assert (CUSTOMERS in document["scopes_supported"], any("api_keys" in scope for scope in document["scopes_supported"])) == (True, False)


async def test_the_page_says_who_asks_for_what(stage: Stage):
    page = await stage.ask(scope=f"{CUSTOMERS} {CHARTS}")
    shown = re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page.text)))
    assert page.status_code == 200
    assert "Let “<Reports>” into" in shown
    assert (CUSTOMERS in shown, CHARTS in shown, BACK in shown) == (True, True, True)
    assert "form-action 'self' https://reports.example.com;" in page.headers["content-security-policy"]
    assert page.headers.get_list("content-security-policy") == [page.headers["content-security-policy"]]
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', page.text))
    fields.pop("answer")
    assert {name: html.unescape(text) for name, text in fields.items()} == stage.question(scope=f"{CUSTOMERS} {CHARTS}")


@both
async def test_a_yes_becomes_a_token_within_what_was_agreed(stage: Stage):
    answer = told(await stage.say("yes"))
    assert (answer["state"], answer["iss"], set(answer)) == ("xyz", HERE, {"code", "state", "iss"})
    given = await stage.redeem(answer["code"])
    assert (given.status_code, given.headers["cache-control"]) == (200, "no-store")
    tokens = given.json()
    assert (tokens["token_type"], tokens["expires_in"], tokens["scope"]) == ("Bearer", 3600, CUSTOMERS)
    assert tokens["access_token"].startswith("atk_")
    assert await stage.read(tokens["access_token"]) == 200
    assert await stage.read(tokens["access_token"], "/apps") == 403
    assert await stage.read(tokens["refresh_token"]) == 401
    v1 = await stage.http.post(
        "/v1/subscribers/ada/attributes", headers={"Authorization": f"Bearer {tokens['access_token']}"}, json={"attributes": {}}
    )
    assert v1.status_code == 401
    stage.pass_time(ACCESS_LIVES)
    assert await stage.read(tokens["access_token"]) == 401


async def test_a_token_stays_in_its_project(stage: Stage):
    tokens = (await stage.redeem(await stage.code())).json()
    elsewhere = await stage.http.get("/v2/projects/proj_other/customers", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    assert elsewhere.status_code == 404


async def test_a_no_is_told(stage: Stage):
    assert told(await stage.say("no"))["error"] == "access_denied"
    assert told(await stage.say("perhaps"))["error"] == "access_denied"


async def test_nobody_is_sent_where_the_client_did_not_register(stage: Stage):
    for change in (
        {"redirect_uri": "https://evil.example/"},
        {"redirect_uri": BACK + "/"},
        {"redirect_uri": "-"},
        {"client_id": "client_x"},
        {"client_id": "-"},
    ):
        for answer in (await stage.ask(**change), await stage.say("yes", **change)):
            assert answer.status_code in (400, 404)
            assert "location" not in answer.headers


async def test_what_is_wrong_is_told_to_the_client(stage: Stage):
    wrong = {
        "response_type": ("token", "unsupported_response_type"),
        "code_challenge": ("-", "invalid_request"),
        "code_challenge_method": ("plain", "invalid_request"),
        "scope": ("project_configuration:apps:read", "invalid_scope"),
    }
    for name, (text, error) in wrong.items():
        for answer in (await stage.ask(**{name: text}), await stage.say("yes", **{name: text})):
            assert (told(answer)["error"], told(answer)["state"]) == (error, "xyz")


async def test_yes_is_said_on_our_own_page_alone(stage: Stage):
    assert (await stage.say("yes", origin="https://evil.example")).status_code == 403
    foreign = await stage.http.post("/oauth/authorize", data={**stage.question(), "answer": "yes"}, headers={"Sec-Fetch-Site": "cross-site"})
    assert foreign.status_code == 403


async def test_a_code_works_once_for_its_verifier_within_its_minute(stage: Stage):
    code = await stage.code()
    await refused(await stage.redeem(code, code_verifier="x" * 43), "invalid_grant")
    await refused(await stage.redeem(code, redirect_uri=BACK + "/"), "invalid_grant")
    await refused(await stage.redeem("nothing"), "invalid_grant")
    await refused(await stage.redeem(code, code_verifier="-"), "invalid_request")
    await refused(await stage.token(grant_type="password"), "unsupported_grant_type")
    late = await stage.code()
    stage.pass_time(CODE_LIVES)
    await refused(await stage.redeem(late), "invalid_grant")


async def test_a_code_that_comes_twice_ends_what_came_of_it(stage: Stage):
    code = await stage.code()
    tokens = (await stage.redeem(code)).json()
    assert await stage.read(tokens["access_token"]) == 200
    stage.pass_time(CODE_LIVES)
    await refused(await stage.redeem(code), "invalid_grant")
    assert await stage.read(tokens["access_token"]) == 401
    await refused(await stage.refresh(tokens["refresh_token"]), "invalid_grant")


@both
async def test_a_client_proves_who_it_is(stage: Stage):
    code = await stage.code()
    await refused(await stage.redeem(code, client_id="client_x"), "invalid_client", 401)
    await refused(await stage.redeem(code, client_secret="wrong"), "invalid_client", 401)
    if stage.secret is None:
        assert (await stage.redeem(code)).status_code == 200
        return
    await refused(await stage.redeem(code, client_secret="-"), "invalid_client", 401)
    basic = base64.b64encode(f"{stage.client_id}:{stage.secret}".encode()).decode()
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK, "code_verifier": VERIFIER}
    answer = await stage.http.post("/oauth/token", data=form, headers={"Authorization": f"Basic {basic}"})
    assert answer.status_code == 200


async def test_a_refresh_token_is_used_once_and_a_second_use_ends_all(stage: Stage):
    first = (await stage.redeem(await stage.code())).json()
    second = (await stage.refresh(first["refresh_token"])).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert (await stage.read(first["access_token"]), await stage.read(second["access_token"])) == (200, 200)
    await refused(await stage.refresh(first["refresh_token"]), "invalid_grant")
    assert (await stage.read(first["access_token"]), await stage.read(second["access_token"])) == (401, 401)
    await refused(await stage.refresh(second["refresh_token"]), "invalid_grant")


async def test_a_refresh_token_lives_for_its_days(stage: Stage):
    tokens = (await stage.redeem(await stage.code())).json()
    stage.pass_time(REFRESH_LIVES)
    await refused(await stage.refresh(tokens["refresh_token"]), "invalid_grant")
    await refused(await stage.refresh(tokens["access_token"]), "invalid_grant")


@both
async def test_tokens_are_given_back_and_clients_shut_out(stage: Stage):
    tokens = (await stage.redeem(await stage.code())).json()
    form = {"client_id": stage.client_id, **({"client_secret": stage.secret} if stage.secret else {})}
    assert (await stage.http.post("/oauth/revoke", data={**form, "token": "unknown"})).status_code == 200
    assert (await stage.http.post("/oauth/revoke", data={**form, "token": tokens["access_token"]})).status_code == 200
    assert await stage.read(tokens["access_token"]) == 401
    tokens = (await stage.refresh(tokens["refresh_token"])).json()
    assert (await stage.http.post("/oauth/revoke", data={**form, "token": tokens["refresh_token"]})).status_code == 200
    assert await stage.read(tokens["access_token"]) == 401
    tokens = (await stage.redeem(await stage.code())).json()
    async with stage.app.database.transaction(stage.project_id) as tx:
        await access.remove_client(tx, stage.client_id)
    assert await stage.read(tokens["access_token"]) == 401
    await refused(await stage.refresh(tokens["refresh_token"]), "invalid_grant")


async def test_no_token_makes_keys_or_projects(stage: Stage):
    async with stage.app.database.transaction(stage.project_id) as tx:
        client, _ = await access.register_client(
            tx,
            stage.app.database.clock(),
            name="All",
            redirect_uris=[BACK],
            permissions=["project_configuration:projects:read_write"],
            is_confidential=False,
        )
    stage.client_id, stage.secret = client.client_id, None
    tokens = (await stage.redeem(await stage.code(scope="-"))).json()
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert (await stage.http.post("/v2/projects", headers=headers, json={"name": "Mine"})).status_code == 403
    assert (await stage.http.post(f"/v2/projects/{stage.project_id}/api_keys", headers=headers, json={"label": "Mine"})).status_code == 403


@both
async def test_only_hashes_are_kept(stage: Stage):
    code = await stage.code()
    tokens = (await stage.redeem(code)).json()
    async with stage.app.database.transaction(stage.project_id) as tx:
        for sql in (
            "SELECT t::text FROM oauth_code t",
            "SELECT t::text FROM oauth_token t",
            "SELECT t::text FROM oauth_client t",
            "SELECT t::text FROM audit t",
        ):
            text = str([tuple(row.values()) for row in await tx.fetch(sql)])
            for secret in (code, tokens["access_token"], tokens["refresh_token"], stage.secret or code):
                assert secret not in text


async def test_forms_that_are_none_are_refused(stage: Stage):
    for content, kind in (
        (b"{}", "application/json"),
        (b"a=1&a=2", "application/x-www-form-urlencoded"),
        (b"\xff=%00", "application/x-www-form-urlencoded"),
    ):
        for path in ("/oauth/token", "/oauth/revoke"):
            await refused(await stage.http.post(path, content=content, headers={"Content-Type": kind}), "invalid_request")
    many = urlencode([(f"f{number}", "x") for number in range(60)])
    answer = await stage.http.post("/oauth/token", content=many.encode(), headers={"Content-Type": "application/x-www-form-urlencoded"})
    await refused(answer, "invalid_request")
