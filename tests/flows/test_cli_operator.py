"""The command line for an operator: which project is acted on, projects renamed and deleted, JSON from every command, what is kept from logs."""

import asyncio
import json
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import typer
from typer.testing import CliRunner, Result

from perennial import catalog
from perennial.cli import app, processes
from perennial.cli.projects import make_project
from perennial.providers.stripe import StripeBilling
from tests.answering import Answering
from tests.ports import free_port
from tests.world import World, settings_for


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    monkeypatch.setenv("PORT", str(free_port()))


@pytest.fixture
def empty(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("DATABASE_URL", empty_url)
    return empty_url


async def invoke(*arguments: str, typed: str | None = None) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, app, list(arguments), input=typed)


async def perennial(*arguments: str, code: int = 0) -> str:
    result = await invoke(*arguments)
    assert result.exit_code == code, f"{' '.join(arguments)}: {result.exit_code}\n{result.output}\n{result.exception!r}"
    return result.output


async def json_of(*arguments: str, code: int = 0) -> Any:
    result = await invoke(*arguments, "--json")
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


# Projects -------------------------------------------------------------------------------------------------------------------------


async def test_every_command_names_the_project_it_acts_on(empty: str) -> None:
    await perennial("init", "--name", "Cats")
    made = await perennial("apps", "create", "--store", "test_store", "--name", "Try-out")
    assert re.search(r"✓ made the app app_\w+ · Cats\n", made)
    await perennial("projects", "create", "Dogs")
    refused = await perennial("apps", "list", code=1)
    assert "there are 2 projects" in refused and "(Cats)" in refused and "(Dogs)" in refused
    assert re.match(r"Project Cats \(proj_\w+\)\n", await perennial("apps", "list", "-p", "Cats"))
    assert "· Dogs" in await perennial("keys", "create", "server", "-p", "Dogs")
    told = await json_of("apps", "list", "-p", "Cats")
    assert told["project"]["name"] == "Cats" and [one["name"] for one in told["items"]] == ["Try-out"]


async def test_a_project_is_renamed_and_the_same_name_twice_warns(empty: str) -> None:
    await perennial("init", "--name", "Cats")
    assert "there is a project of this name already" in await perennial("projects", "create", "Cats")
    ids = [one["id"] for one in (await json_of("projects", "list"))["items"]]
    assert "2 projects are called 'Cats'" in await perennial("keys", "list", "-p", "Cats", code=1)
    assert "is called Dogs from now on" in await perennial("projects", "rename", "Dogs", "-p", ids[1])
    assert sorted(one["name"] for one in (await json_of("projects", "list"))["items"]) == ["Cats", "Dogs"]
    create = ("apps", "create", "--store", "app_store", "--name", "iOS", "--bundle-id", "com.example.cats", "-p", "Cats")
    assert "has an app already" not in await perennial(*create)
    assert "com.example.cats of app_store has an app already" in await perennial(*create)


async def test_a_project_is_deleted_with_everything_and_nobody_elses(empty: str, world: World, tmp_path: Path) -> None:
    from perennial.app import open_app
    from tests.world import make_world

    await perennial("migrate")
    async with open_app(settings_for(empty, tmp_path), connections=3) as house:
        doomed, kept = await make_world(house, world.http), await make_world(house, world.http)
        for one in (doomed, kept):
            async with house.database.transaction(one.project_id) as tx:
                await catalog.audit(tx, actor="test", action="look", target="x")
        owner = await asyncpg.connect(empty)
        for one in (doomed, kept):
            await owner.execute(
                "INSERT INTO customer (project_id, customer_id, original_app_user_id, first_seen_at, version) "
                "SELECT $1, 'cus_' || n, 'user' || n, now(), 1 FROM generate_series(1, 12000) n",
                one.project_id,
            )
        before = await rows_of(owner, kept.project_id)
        had = sum((await rows_of(owner, doomed.project_id)).values())
        assert "give its name again" in await perennial("projects", "delete", doomed.project_id, code=1)
        assert "nothing was deleted" in await perennial("projects", "delete", doomed.project_id, "--yes", "Wrld", code=1)
        assert (await rows_of(owner, doomed.project_id))["customer"] == 12000
        await perennial("projects", "delete", doomed.project_id, "--yes", "World")
        left = await rows_of(owner, doomed.project_id)
        assert {table: count for table, count in left.items() if count} == {"deleted_project": 1}
        assert await rows_of(owner, kept.project_id) == before
        (deleted,) = (await json_of("projects", "list", "--deleted"))["items"]
        assert (deleted["id"], deleted["name"], deleted["by"], int(deleted["rows"])) == (doomed.project_id, "World", "cli", had - 1)
        assert [one["id"] for one in (await json_of("projects", "list"))["items"]] == [kept.project_id]
        await owner.close()


async def rows_of(owner: Any, project_id: str) -> dict[str, int]:
    tables = await owner.fetch(
        "SELECT c.table_name AS name FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name) "
        "WHERE c.table_schema = 'public' AND c.column_name = 'project_id' AND t.table_type = 'BASE TABLE'"
    )
    return {row["name"]: await owner.fetchval(f"SELECT count(*) FROM {row['name']} WHERE project_id = $1", project_id) for row in tables}


async def test_init_beside_a_running_up_says_so_and_does_not_count_the_demo(empty: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    await perennial("migrate")
    demo = re.search(r"proj_\w+", await perennial("projects", "create", "Demo"))[0]  # type: ignore[index]
    (tmp_path / "demo.json").write_text(json.dumps({"project_id": demo}))
    (tmp_path / "run.json").write_text(json.dumps({"database_url": empty, "pid": os.getpid(), "port": 18765}))
    monkeypatch.delenv("DATABASE_URL")
    said = await perennial("init", "--name", "Mine")
    assert "perennial up runs here, on port 18765" in said and "made the project Mine" in said
    again = await perennial("init", "--name", "Mine")
    assert "there are projects already" in again and "(Mine)" in again and "nothing was made" in again


# The demo -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "option", "shown"),
    [
        ({}, None, "1"),
        ({"DATABASE_URL": "postgresql://x"}, None, "0"),
        ({"DATABASE_URL": "postgresql://x"}, True, "1"),
        ({"DATABASE_URL": "postgresql://x", "PERENNIAL_DEMO": "1"}, None, "1"),
        ({"PERENNIAL_DEMO": "0"}, None, "0"),
        ({}, False, "0"),
        ({"HOST": "0.0.0.0"}, None, "0"),
    ],
)
def test_a_database_of_ones_own_has_no_demo_unless_asked(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], option: bool | None, shown: str
) -> None:
    for name in ("DATABASE_URL", "PERENNIAL_DEMO", "HOST", "PERENNIAL_ALLOW_INTERNAL_WEBHOOKS"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name, text in environment.items():
        monkeypatch.setenv(name, text)
    processes._show_the_demo(option)
    assert os.environ["PERENNIAL_DEMO"] == shown


def test_up_prints_the_secret_key_on_a_terminal_alone(database_url: str, tmp_path: Path) -> None:
    """Its output is a pipe here, as where logs are kept."""
    environment = {**os.environ, "DATABASE_URL": database_url, "PERENNIAL_HOME": str(tmp_path), "PORT": str(free_port()), "HOST": "127.0.0.1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "perennial", "up", "--demo"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    said = ""
    assert process.stdout is not None
    for line in process.stdout:
        said += line
        if "Ctrl-C stops it" in line:
            break
    process.send_signal(signal.SIGINT)
    said += process.communicate(timeout=60)[0]
    demo = json.loads((tmp_path / "demo.json").read_text())
    assert "is ready" in said and demo["secret_key"] not in said and "secret_key in" in said, said
    assert stat.S_IMODE((tmp_path / "demo.json").stat().st_mode) == 0o600
    shown = processes._about(demo, settings_for(database_url, tmp_path), shows_secret=True)
    assert any(demo["secret_key"] in line for line in shown)


# Every command --------------------------------------------------------------------------------------------------------------------


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


ALL = list(commands(typer.main.get_command(app)))
RUN_FOREVER = {("up",), ("serve",), ("worker",)}


@pytest.mark.parametrize(("path", "command"), ALL, ids=lambda one: " ".join(one) if isinstance(one, tuple) else "")
def test_every_command_has_help_and_json(path: tuple[str, ...], command: Any) -> None:
    assert command.help and len(command.help) > 15, path
    options = {option: parameter for parameter in command.params for option in parameter.opts}
    assert "--json" in options or path in RUN_FOREVER, path
    for option, parameter in options.items():
        if option.startswith("--"):
            assert parameter.help, f"{path} {option} has no help"
    assert "--type" not in options or "--store" in options, f"{path}: a store is called --store"


READS = [
    path
    for path, command in ALL
    if path not in RUN_FOREVER
    and path[0] not in ("migrate", "init", "compare", "catch-up", "restore", "backup", "forget-secrets")
    and not any(parameter.required for parameter in command.params)
]


@pytest.mark.parametrize("path", READS, ids=" ".join)
async def test_what_a_command_prints_as_json_parses(path: tuple[str, ...], world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_PROJECT", world.project_id)
    monkeypatch.chdir(world.app.settings.home)
    result = await invoke(*path, "--json")
    document = json.loads(result.stdout)
    assert isinstance(document, dict)
    assert result.exit_code == 0 or "error" in document or path in (("check",), ("doctor",)), result.output


async def test_an_error_is_json_too(world: World) -> None:
    document = await json_of("customer", "show", "nobody", "-p", world.project_id, code=1)
    assert "no customer has the id 'nobody'" in document["error"]["message"]
    assert document["project"] == {"id": world.project_id, "name": "World"}


def test_the_version_is_said() -> None:
    for arguments in (["--version"], ["version"]):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0 and re.match(r"perennial \d+\.\d+\.\d+", result.output)
    assert make_project is not None


# Installing -----------------------------------------------------------------------------------------------------------------------


def test_uv_is_pinned_by_the_hashes_of_every_platform() -> None:
    root = Path(__file__).parents[2]
    lock, script = (root / "tools/uv.lock").read_text(), (root / "tools/bootstrap.sh").read_text()
    assert re.findall(r"^(\S+)==", lock, re.MULTILINE) == ["uv"] and len(re.findall(r"--hash=sha256:[0-9a-f]{64}", lock)) >= 10
    assert "://" not in lock and "index" not in lock
    assert re.search(r"pip install .*--require-hashes -r tools/uv\.lock", script) and "uv>=" not in script


# Customers and apps ---------------------------------------------------------------------------------------------------------------


async def test_customers_are_listed_granted_refunded_cancelled_and_deleted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_PROJECT", world.project_id)
    await world.buy("ada", "pro_monthly")
    await world.buy("bob", "pro_monthly")
    listed = await json_of("customers", "list", "--limit", "1")
    (first,) = listed["items"]
    rest = await json_of("customers", "list", "--after", listed["next_after"])
    assert sorted([first["app_user_id"], *(one["app_user_id"] for one in rest["items"])]) == ["ada", "bob"]
    assert [one["app_user_id"] for one in (await json_of("customers", "list", "--search", "ada"))["items"]] == ["ada"]
    assert "may use pro until" in await perennial("customers", "grant", "carol", "pro", "--days", "3")
    assert await world.entitled("carol") == ["pro"]
    assert "has no granted pro any more" in await perennial("customers", "grant", "carol", "pro", "--revoke")
    assert await world.entitled("carol") == []
    assert "say until when" in await perennial("customers", "grant", "carol", "pro", code=1)
    assert "no entitlement 'gold'" in await perennial("customers", "grant", "carol", "gold", "--for-good", code=1)
    line = (await json_of("customers", "show", "ada"))["holds"][0]["line"]
    assert "ends with its period" in await perennial("customers", "cancel", line)
    await world.run_due()
    assert (await world.customer("ada"))["subscriptions"]["pro_monthly"]["unsubscribe_detected_at"] is not None
    assert "access ends" in await perennial("customers", "refund", line)
    assert await world.entitled("ada") == []
    assert "no subscription or purchase 'sub_x'" in await perennial("customers", "refund", "sub_x", code=1)
    assert "give --yes" in await perennial("customers", "delete", "bob", code=1)
    assert "deleted bob" in await perennial("customers", "delete", "bob", "--yes")
    assert "no customer has the id 'bob'" in await perennial("customer", "show", "bob", code=1)
    async with world.app.database.transaction(world.project_id) as tx:
        acts = [row["action"] for row in await tx.fetch("SELECT action FROM audit WHERE actor = 'cli'")]
    assert sorted(acts) == [
        "customer.delete",
        "customer.grant_entitlement",
        "customer.revoke_granted_entitlement",
        "subscription.cancel",
        "subscription.revoke",
    ]


@pytest.mark.parametrize(
    ("status", "body", "state", "words"),
    [
        (404, {"error": {"message": "No such subscription"}}, "green", "Stripe"),
        (401, {"error": {"message": "Invalid API Key provided: sk_test_***"}}, "wrong", "api_key"),
        (403, {"error": {"message": "The key lacks permissions"}}, "wrong", "restricted key"),
        (500, {"error": {"message": "boom"}}, "silent", "answered 500"),
    ],
)
async def test_an_apps_credentials_are_tried(
    world: World, monkeypatch: pytest.MonkeyPatch, status: int, body: dict[str, Any], state: str, words: str
) -> None:
    monkeypatch.setattr("perennial.app.StripeBilling", partial(StripeBilling, pauses=(0, 0)))  # it is asked again without a pause
    store = Answering()
    store.answer("GET /v1/subscriptions/sub_perennialcheck", body, status=status)
    async with world.app.database.transaction(world.project_id) as tx:
        made, _ = await catalog.create_app(
            tx, world.app.vault, name="Web", store="stripe", api_base_url=store.address, secrets={"api_key": "sk_test_CANARY1"}
        )
    command = ("apps", "check", made.app_id, "-p", world.project_id)
    (told,) = (await json_of(*command, code=0 if state == "green" else 1))["apps"]
    assert told["state"] == state and words in told["said"] and told["last_notification_at"] is None, told
    said = await perennial(*command, code=0 if state == "green" else 1)
    assert "no notification yet" in said and "CANARY" not in said
    stored = await perennial("apps", "update", made.app_id, "--secret", "api_key=sk_test_2", "-p", world.project_id)
    assert ("takes these credentials" in stored) == (state == "green") and f"changed the app {made.app_id}" in stored
    asked = len(store.asked)
    await perennial("apps", "update", made.app_id, "--secret", "api_key=sk_test_3", "--no-check", "-p", world.project_id)
    await perennial("apps", "update", made.app_id, "--name", "Shop", "-p", world.project_id)
    assert len(store.asked) == asked
    store.close()
