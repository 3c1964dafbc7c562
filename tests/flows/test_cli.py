"""The command line: from an empty database to a customer with a past, and what it says when something is wrong."""

import asyncio
import json
import os
import re
import stat
from pathlib import Path
from typing import LiteralString
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from typer.testing import CliRunner, Result

from perennial import access, catalog, intake, invariants
from perennial.catalog.model import ProductGrant
from perennial.cli import app
from tests.ports import free_port
from tests.world import World

CATALOG = """
[[products]]
app = "test_store"
store_identifier = "plus_monthly"
type = "subscription"
display_name = "Plus"
duration = "P1M"
prices = { USD = "4.99", JPY = "500" }

[[entitlements]]
lookup_key = "plus"
display_name = "Plus"
products = ["plus_monthly"]

[[offerings]]
lookup_key = "sale"
display_name = "The sale"
metadata = { colour = "red" }

[[offerings.packages]]
lookup_key = "$rc_monthly"
display_name = "Monthly"
products = [{ product = "test_store/plus_monthly", eligibility_criteria = "google_sdk_ge_6" }]

[placements]
fallback = "sale"
offerings = { onboarding = "sale", nowhere = "" }
"""


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    monkeypatch.setenv("PORT", str(free_port()))


@pytest.fixture
def empty(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_url)


async def perennial(*arguments: str, code: int = 0) -> str:
    """What the command printed. In a thread of its own, as it brings its own event loop."""
    result: Result = await asyncio.to_thread(CliRunner().invoke, app, list(arguments))
    assert result.exit_code == code, f"{' '.join(arguments)}: {result.exit_code}\n{result.output}\n{result.exception!r}"
    return result.output


async def test_from_an_empty_database_to_a_catalog(empty: None, tmp_path: Path) -> None:
    assert "not Perennial's yet" in await perennial("projects", "list", code=1)
    made = await perennial("init", "--name", "Cats", "--sandbox")
    assert "applied 0001_start" in made and re.search(r"sk_[\w-]{32}", made)
    assert "there are projects already" in await perennial("init")
    listed = await perennial("projects", "list")
    assert "Cats" in listed and "sandbox" in listed
    assert re.search(r"test_[\w-]{32}", await perennial("apps", "create", "--type", "test_store", "--name", "Try-out"))
    file = tmp_path / "catalog.toml"
    file.write_text(CATALOG)
    tried = await perennial("catalog", "apply", str(file), "--dry-run")
    assert "create product plus_monthly in Try-out" in tried and "7 changes would be made" in tried
    assert "plus_monthly" not in await perennial("catalog", "show"), "a dry run changes nothing"
    assert "7 changes made" in await perennial("catalog", "apply", str(file))
    assert "nothing to change" in await perennial("catalog", "apply", str(file))
    shown = await perennial("catalog", "show")
    assert "500 JPY, 4.99 USD" in shown or "4.99 USD, 500 JPY" in shown
    assert "at onboarding, elsewhere" in shown
    exported = await perennial("catalog", "export")
    (tmp_path / "catalog.json").write_text(exported)
    assert "nothing to change" in await perennial("catalog", "apply", str(tmp_path / "catalog.json"))
    assert json.loads(exported)["offerings"][0]["packages"][0]["products"][0]["eligibility_criteria"] == "google_sdk_ge_6"


async def test_applying_a_catalog_changes_only_what_differs(world: World, tmp_path: Path) -> None:
    file = tmp_path / "catalog.toml"
    file.write_text(CATALOG)
    await perennial("catalog", "apply", str(file), "--project", world.project_id)
    file.write_text(CATALOG.replace('"4.99"', '"5.99"').replace('products = ["plus_monthly"]', "products = []").replace('"red"', '"blue"'))
    changed = await perennial("catalog", "apply", str(file), "--project", world.project_id)
    assert [line.strip() for line in changed.splitlines()] == [
        f"Project World ({world.project_id})",
        "change product plus_monthly of test_store: prices 500 JPY, 4.99 USD -> 500 JPY, 5.99 USD",
        "let test_store/plus_monthly no longer give plus",
        'change offering sale: metadata {"colour":"red"} -> {"colour":"blue"}',
        "✓ 3 changes made · World",
    ]
    answer = await world.http.get(f"/v2/projects/{world.project_id}/offerings", headers=world.secret)
    assert {one["lookup_key"]: one["is_current"] for one in answer.json()["items"]} == {"default": True, "sale": False}, "the rest is left alone"
    logged = (await world.http.get(f"/v2/projects/{world.project_id}/audit_logs", headers=world.secret)).json()["items"]
    assert {(one["action_type"], one["actor_type"], one["actor_identifier"]) for one in logged} == {("catalog.apply", "user", "cli")}


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('duration = "P1M"', 'duraton = "P1M"', "is not a catalog: Object contains unknown field `duraton` - at `$.products[0]`"),
        ('duration = "P1M"', 'duration = "monthly"', "duration: 'monthly' is not an ISO 8601 duration"),
        ('USD = "4.99"', 'USD = "4.999"', "prices: 4.999 USD cannot be charged"),
        ('USD = "4.99"', 'USD = "free"', "prices: 'free' is not an amount such as 9.99"),
        ('app = "test_store"', 'app = "windows"', "there is no app 'windows' in this project"),
        ('products = ["plus_monthly"]', 'products = ["minus"]', "there is no product 'minus', in the file or in the project"),
        ('fallback = "sale"', 'fallback = "nowhere"', "placements: there is no offering 'nowhere'"),
        ("[placements]", "[placements", "is not a catalog"),
    ],
)
async def test_a_wrong_catalog_is_refused_whole(world: World, tmp_path: Path, before: str, after: str, said: str) -> None:
    file = tmp_path / "catalog.toml"
    file.write_text(CATALOG.replace(before, after))
    refused = await perennial("catalog", "apply", str(file), "--project", world.project_id, code=1)
    assert refused.startswith("✗ ") and said in refused and refused.count("\n") == 1
    assert "plus" not in await perennial("catalog", "export", "--project", world.project_id)


async def test_a_customer_on_one_page(world: World) -> None:
    await world.buy("ada", "pro_monthly")
    shown = await perennial("customer", "show", "ada", "--project", world.project_id)
    assert re.search(r"pro +2026-02-28 12:00 +pro_monthly \(test_store\)", shown)
    assert "9.99 USD" in shown and "INITIAL_PURCHASE" in shown
    moved = await perennial("clock", "advance", "--days", "28", "--project", world.project_id)
    assert "it is 2026-02-28 12:00 UTC now" in moved
    assert "RENEWAL" in await perennial("customer", "show", "ada", "--project", world.project_id)
    assert "standing still" in await perennial("clock", "show", "--project", world.project_id)
    await perennial("clock", "advance", "--to", "2040-01-01", "--project", world.project_id)
    assert "May use nothing" in await perennial("customer", "show", "ada", "--project", world.project_id)
    assert "no customer has the id 'bob'" in await perennial("customer", "show", "bob", "--project", world.project_id, code=1)
    assert "time only moves forward" in await perennial("clock", "advance", "--to", "2030-01-01", "--project", world.project_id, code=1)
    assert "one of --days, --hours and --to" in await perennial("clock", "advance", "--project", world.project_id, code=1)


async def test_keys_are_made_and_made_useless(world: World) -> None:
    made = await perennial("keys", "create", "a server", "--project", world.project_id)
    key_id, key = re.search(r"key_\w+", made)[0], re.search(r"sk_[\w-]+", made)[0]  # type: ignore[index]
    listed = await perennial("keys", "list", "--project", world.project_id)
    assert "a server" in listed and key not in listed
    path, headers = f"/v2/projects/{world.project_id}/apps", {"Authorization": f"Bearer {key}"}
    assert (await world.http.get(path, headers=headers)).status_code == 200
    await perennial("keys", "revoke", key_id, "--project", world.project_id)
    assert (await world.http.get(path, headers=headers)).status_code == 401
    assert "no key" in await perennial("keys", "revoke", key_id, "--project", world.project_id, code=1)


async def test_a_store_key_is_read_from_its_file(world: World, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.p8"
    wrong.write_text("-----BEGIN CERTIFICATE-----\n")
    given = ("--bundle-id", "com.example.cats", "--key-id", "ABC", "--issuer", "57246542-96fe-1a63-e053-0824d011072a")
    create = ("apps", "create", "--type", "app_store", "--name", "Cats", "--project", world.project_id)
    assert "is not a private key in PEM" in await perennial(*create, *given, "--private-key", str(wrong), code=1)
    assert "three parts" in await perennial(*create, *given, code=1)
    assert "/hooks/app_store/app_" in await perennial(*create, "--bundle-id", "com.example.cats")


async def test_a_webhook_is_made_tried_and_told_again(world: World) -> None:
    made = await perennial("webhooks", "create", "http://127.0.0.1:9/nobody", "--event", "initial_purchase", "--project", world.project_id)
    webhook_id = re.search(r"whintgr_\w+", made)[0]  # type: ignore[index]
    await world.buy("ada", "pro_monthly")
    assert "1 event is on the way" in await perennial("webhooks", "replay", webhook_id, "--since", "1h", "--project", world.project_id)
    trying = asyncio.create_task(perennial("webhooks", "test", webhook_id, "--project", world.project_id, code=1))
    while not trying.done():  # somebody must be the worker
        await world.run_due()
        await asyncio.sleep(0.05)
    assert "✗ Webhook: no connection" in await trying
    listed = await perennial("webhooks", "list", "--project", world.project_id)
    assert "initial_purchase" in listed and "2 failures since the last success" in listed
    await webhooks_change(world, webhook_id)


async def webhooks_change(world: World, webhook_id: str) -> None:
    here = ("--project", world.project_id)
    said = await perennial("webhooks", "update", webhook_id, "--name", "Renamed", "--environment", "production", "--event", "renewal", *here)
    assert "Renamed is told of production; renewal at http://127.0.0.1:9/nobody" in said
    assert "Renamed is told of everything" in await perennial("webhooks", "update", webhook_id, "--environment", "both", "--event", "all", *here)
    assert "nothing to change" in await complained("webhooks", "update", webhook_id, *here)
    assert "environment 'lunch'" in await complained("webhooks", "update", webhook_id, "--environment", "lunch", *here)
    assert "Renamed is paused" in await perennial("webhooks", "pause", webhook_id, *here)
    assert "paused" in await perennial("webhooks", "list", *here)
    assert "resume it first" in await complained("webhooks", "test", webhook_id, *here)
    assert "Renamed is sent what waited" in await perennial("webhooks", "resume", webhook_id, *here)
    rotated = await perennial("webhooks", "rotate", webhook_id, *here)
    assert "whsec_" in rotated and "signs too until" in rotated
    leaked = await perennial("webhooks", "rotate", webhook_id, "--at-once", *here)
    assert "whsec_" in leaked and "signs too" not in leaked
    made = await perennial("webhooks", "create", "https://example.com/gone", *here)
    gone = re.search(r"whintgr_\w+", made)
    assert gone is not None
    assert "deleted Webhook" in await perennial("webhooks", "delete", gone.group(), "--yes", *here)
    assert "no webhook integration" in await complained("webhooks", "delete", gone.group(), "--yes", *here)


async def complained(*arguments: str) -> str:
    return await perennial(*arguments, code=1)


async def test_which_project_is_asked_where_it_is_not_clear(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await perennial("projects", "create", "Another")
    assert "say which with --project" in await perennial("keys", "list", code=1)
    assert "no project 'Nobody'" in await perennial("keys", "list", "--project", "Nobody", code=1)
    (tmp_path / "demo.json").write_text(json.dumps({"project_id": world.project_id}))
    assert "say which with --project" in await perennial("keys", "list", code=1), "the demo is not taken in silence"
    monkeypatch.setenv("PERENNIAL_PROJECT", world.project_id)
    listed = await perennial("keys", "list")
    assert world.keys["test_store"] in listed and f"Project World ({world.project_id})" in listed


async def test_without_a_database_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DATABASE_URL")
    assert "perennial up" in await perennial("projects", "list", code=1)
    (tmp_path / "run.json").write_text(json.dumps({"database_url": "postgresql://x", "pid": 2**22 - 1, "port": 1}))
    assert "no longer runs here" in await perennial("projects", "list", code=1)
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:9/nothing")
    assert "cannot open the database" in await perennial("projects", "list", code=1)


async def test_it_finds_the_database_of_what_runs_here(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    running = {"database_url": os.environ["DATABASE_URL"], "pid": os.getpid(), "port": 1}
    (tmp_path / "run.json").write_text(json.dumps(running))
    monkeypatch.delenv("DATABASE_URL")
    assert world.project_id in await perennial("projects", "list")


async def test_the_doctor_knows_what_is_missing(empty: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PERENNIAL_SECRET_KEY")
    assert "perennial_app" in await perennial("doctor", code=1) or "no migration was applied" in await perennial("doctor", code=1)
    await perennial("init")
    assert stat.S_IMODE((tmp_path / "secret.key").stat().st_mode) == 0o600
    said = await perennial("doctor")
    port = os.environ["PORT"]
    for line in ("Python 3.", "installation key is in", f"port {port} is free", "PostgreSQL 1", "none missing", "no webhook integration fails"):
        assert line in said
    assert "✗" not in said


async def test_the_help_teaches() -> None:
    for arguments in ((), ("catalog", "apply"), ("apps", "create"), ("webhooks", "replay"), ("clock", "advance"), ("init",), ("up",)):
        said = await perennial(*arguments, "--help")
        assert "Example" in said or "To begin" in said, arguments


# What `check` would find ----------------------------------------------------------------------------------------------------------

BREAKS: dict[str, LiteralString] = {
    "a-customer-answers-to-their-first-id": "UPDATE customer SET original_app_user_id = 'somebody else'",
    "the-merged-own-nothing": "UPDATE customer SET merged_into = customer_id",
    "merged-into-someone": "UPDATE customer SET merged_into = 'nobody'",
    "no-document-from-the-future": "UPDATE customer_document SET version = version + 1",
    "no-document-outlives-access": "UPDATE customer_document SET fresh_until = fresh_until + interval '1 second'",
    "a-line-is-where-its-directory-says": "UPDATE line_directory SET customer_id = 'nobody'",
    "the-directory-leads-somewhere": "UPDATE line_directory SET line_id = 'nowhere'",
    "an-untold-end-is-on-the-agenda": "UPDATE line SET wake_at = NULL",
    "the-ledger-has-what-was-booked": "UPDATE purchase SET booked_gross = booked_gross + 1, booked_currency = 'USD'",
    "a-bounded-balance-is-the-sum-of-its-transfers": "UPDATE bounded_account SET balance = balance + 1",
    "what-expires-is-on-the-agenda": "UPDATE currency_grant SET wake_at = NULL",
    "a-purchase-is-told-once": "DELETE FROM event WHERE type = 'INITIAL_PURCHASE'",
    "an-expiry-is-told-once": "UPDATE purchase SET told_expired = true",
    "only-what-is-unclaimed-waits": "UPDATE customer SET placeholder = 'hidden'",
    "events-are-numbered": "UPDATE customer SET event_sequence = 0",
    "deliveries-lead-somewhere": "UPDATE delivery SET sequence = sequence + 1",
    "deliveries-in-order": (
        "UPDATE delivery SET wake_at = CASE sequence WHEN 1 THEN wake_at - interval '1 hour' END, "
        "delivered_at = CASE sequence WHEN 2 THEN wake_at END"
    ),
    "deliveries-parked": "UPDATE delivery SET wake_at = NULL, parked_at = wake_at",
    "questions-parked": (
        "INSERT INTO inquiry (project_id, app_id, environment, subject, reason) SELECT project_id, app_id, 'sandbox', 'token', 'told' FROM app"
    ),
    "purchases-unacknowledged": (
        "INSERT INTO store_act (project_id, app_id, act_id, kind, environment, subject, details, wanted_at) "
        "SELECT project_id, app_id, 'act', 'acknowledge', 'sandbox', 'token', '{}', '2026-01-31' FROM app"
    ),
    "nothing-is-late": "UPDATE line SET wake_at = wake_at - interval '1 year'",
}


class _Undo(Exception):
    def __init__(self, found: set[str]) -> None:
        self.found = found


async def test_every_invariant_finds_what_it_is_for(world: World) -> None:
    await perennial("webhooks", "create", "https://example.com/hook", "--project", world.project_id)
    async with world.app.database.transaction(world.project_id) as tx:
        products = [product.product_id for product in await catalog.get_products(tx, app_id=world.app_ids["test_store"])]
        grant = ProductGrant(product_ids=tuple(products), amount=10, expire_at_cycle_end=True)
        await catalog.create_currency(tx, code="GLD", name="Gold", product_grants=[grant])
    await world.buy("ada", "pro_monthly", token="test_one")
    await world.buy("ada", "pro_monthly", token="test_two")
    await world.customer("ada")
    async with world.app.database.transaction(world.project_id) as tx:
        assert await invariants.check(tx, tx.now) == []
    for name, damage in BREAKS.items():
        assert name in await _found_after(world, name, damage), name
    untried = {one.name for one in invariants.INVARIANTS} - set(BREAKS)
    assert untried == {"no-number-twice", "no-event-twice", "notifications-parked"}


async def _found_after(world: World, name: str, damage: LiteralString) -> set[str]:
    """What is found in a transaction that did the damage and is rolled back."""
    try:
        async with world.app.database.transaction(world.project_id) as tx:
            assert await tx.execute(damage) > 0, f"{name}: nothing was damaged"
            raise _Undo({violation.name for violation in await invariants.check(tx, tx.now)})
    except _Undo as undone:
        return undone.found


async def test_check_ends_with_one_where_something_is_broken(world: World) -> None:
    await world.buy("ada", "pro_monthly")
    assert f"{len(invariants.INVARIANTS)} invariants hold in 1 project" in await perennial("check", "--project", world.project_id)
    async with world.app.database.transaction(world.project_id) as tx:
        await tx.execute("UPDATE customer SET event_sequence = 0")
    said = await perennial("check", "--project", world.project_id, code=1)
    assert "events-are-numbered, 1 time" in said and "No event has a number its customer has not reached" in said


async def test_a_catalog_file_says_what_is_archived(world: World, tmp_path: Path) -> None:
    file = tmp_path / "catalog.toml"
    file.write_text(CATALOG)
    await perennial("catalog", "apply", str(file), "--project", world.project_id)
    file.write_text(
        CATALOG.replace('duration = "P1M"', 'duration = "P1M"\narchived = true')
        .replace('display_name = "The sale"', 'display_name = "The sale"\narchived = true')
        .replace('fallback = "sale"', 'fallback = "default"')
        .replace('onboarding = "sale"', 'onboarding = "default"')
    )
    changed = await perennial("catalog", "apply", str(file), "--project", world.project_id)
    assert [line.strip() for line in changed.splitlines()] == [
        f"Project World ({world.project_id})",
        "archive product plus_monthly of test_store",
        "set placements: onboarding shows default, nowhere shows nothing; elsewhere default",
        "archive offering sale",
        "✓ 3 changes made · World",
    ]
    assert "nothing to change" in await perennial("catalog", "apply", str(file), "--project", world.project_id)
    shown = await perennial("catalog", "show", "--project", world.project_id)
    assert "plus_monthly (archived)" in shown and "The sale (archived)" in shown
    exported = json.loads(await perennial("catalog", "export", "--project", world.project_id))
    assert [one["lookup_key"] for one in exported["offerings"] if one.get("archived")] == ["sale"]
    back = CATALOG.replace('duration = "P1M"', 'duration = "P1M"\narchived = false')
    file.write_text(back.replace('display_name = "The sale"', 'display_name = "The sale"\narchived = false'))
    assert "unarchive offering sale" in await perennial("catalog", "apply", str(file), "--project", world.project_id)


async def test_apps_of_any_store_take_settings_and_secrets(world: World, tmp_path: Path) -> None:
    account = tmp_path / "service-account.json"
    account.write_text('{"type": "service_account"}\n')
    create = ("apps", "create", "--store", "play_store", "--name", "Android", "--project", world.project_id)
    assert "an app of play_store needs its package_name" in await perennial(*create, code=1)
    made = await perennial(
        *create, "--package-name", "com.example.cats", "--secret", f"service_account=@{account}", "--setting", "pubsub_audience=https://x.example"
    )
    app_id = re.search(r"app_\w+", made)[0]  # type: ignore[index]
    assert "goog_" in made and f"/hooks/play_store/{app_id}" in made
    async with world.app.database.transaction(world.project_id) as tx:
        told = (await intake.store_apps(tx, world.app.vault, [app_id]))[app_id]
    assert (told.bundle_id, dict(told.settings)) == ("com.example.cats", {"pubsub_audience": "https://x.example"})
    assert told.reveal("service_account") == '{"type": "service_account"}'
    update = ("apps", "update", app_id, "--project", world.project_id)
    await perennial(*update, "--setting", "license_key=MIIB", "--setting", "pubsub_audience=")
    async with world.app.database.transaction(world.project_id) as tx:
        told = (await intake.store_apps(tx, world.app.vault, [app_id]))[app_id]
    assert (dict(told.settings), sorted(told.secrets)) == ({"license_key": "MIIB"}, ["service_account"])
    assert "has no 'colour'" in await perennial(*update, "--setting", "colour=red", code=1)
    assert "write it as name=value" in await perennial(*update, "--secret", "service_account", code=1)
    assert "cannot be read" in await perennial(*update, "--secret", "service_account=@nowhere.json", code=1)
    assert "service_account" in await perennial("apps", "list", "--project", world.project_id)
    await perennial("apps", "delete", app_id, "--project", world.project_id)
    assert app_id not in await perennial("apps", "list", "--project", world.project_id)
    assert "no app" in await perennial("apps", "delete", app_id, "--project", world.project_id, code=1)


# Who may do what --------------------------------------------------------------------------------------------------------------


async def test_keys_with_less_than_everything(world: World) -> None:
    at = ("--project", world.project_id)
    made = await perennial("keys", "create", "support", "--permission", "customer_information:read", *at)
    found = re.search(r"sk_[\w-]{32}", made)
    assert found is not None
    headers = {"Authorization": f"Bearer {found[0]}"}
    assert (await world.http.get(f"/v2/projects/{world.project_id}/customers", headers=headers)).status_code == 200
    assert (await world.http.post(f"/v2/projects/{world.project_id}/customers", headers=headers, json={"id": "eve"})).status_code == 403
    assert "customer_information:subscriptions:read" in await perennial("keys", "list", *at)
    assert "there is no permission" in await perennial("keys", "create", "x", "--permission", "everything", *at, code=1)
    assert "either" in await perennial("keys", "create", "x", "--permission", "charts_metrics:read", "--read-only", *at, code=1)
    assert re.search(r"sk_[\w-]{32}", await perennial("keys", "create", "auditor", "--read-only", *at))


async def test_people_and_applications_come_and_go(world: World) -> None:
    at = ("--project", world.project_id)
    found = re.search(r"collab_\w+", await perennial("collaborators", "add", "ada@example.com", "--role", "support", *at))
    assert found is not None
    assert "is not one of owner" in await perennial("collaborators", "add", "eve@example.com", "--role", "queen", *at, code=1)
    assert "ada@example.com" in await perennial("collaborators", "list", *at)
    await perennial("collaborators", "remove", found[0], *at)
    assert "ada@example.com" not in await perennial("collaborators", "list", *at)
    back, verifier = "https://reports.example.com/back", "v" * 43
    made = await perennial("oauth", "register", "Reports", "--redirect-uri", back, "--permission", "customer_information:customers:read", *at)
    client = re.search(r"client_\w+", made)
    assert client is not None
    asked = {"response_type": "code", "client_id": client[0], "redirect_uri": back, "code_challenge": access.challenge_of(verifier)}
    address = f"https://here.example/oauth/authorize?{urlencode(asked | {'code_challenge_method': 'S256', 'state': 'a b'})}"
    approved = await perennial("oauth", "approve", address, *at)
    location = re.search(r"https://reports\S+", approved)
    assert location is not None
    told = parse_qs(urlsplit(location[0]).query)
    assert (told["state"], told["iss"]) == (["a b"], ["https://here.example"])
    form = {"grant_type": "authorization_code", "client_id": client[0], "code": told["code"][0], "redirect_uri": back, "code_verifier": verifier}
    token = (await world.http.post("/oauth/token", data=form)).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert (await world.http.get(f"/v2/projects/{world.project_id}/customers", headers=headers)).status_code == 200
    assert client[0] in await perennial("oauth", "list", *at)
    await perennial("oauth", "remove", client[0], *at)
    assert (await world.http.get(f"/v2/projects/{world.project_id}/customers", headers=headers)).status_code == 401
    logged = (await world.http.get(f"/v2/projects/{world.project_id}/audit_logs", headers=world.secret)).json()["items"]
    assert {one["action_type"] for one in logged} >= {
        "collaborator.add",
        "collaborator.remove",
        "oauth_client.register",
        "oauth_client.remove",
        "oauth_grant.create",
        "oauth_token.issue",
    }
