"""App user ids are texts of any script: every door that takes a customer's name takes them, and refuses only what the contract forbids."""

import csv
import gzip
import io
from pathlib import Path
from urllib.parse import quote

import pytest

from perennial import customers, exports, telemetry
from perennial.base.errors import Invalid
from perennial.customers.model import check_app_user_id
from tests.flows.test_export import delivered, planned
from tests.flows.test_external_purchases import open_shop, subscription, tell
from tests.moving import perennial
from tests.world import World, make_world

NAMES = [
    "\N{WOMAN}\u200d\N{WOMAN}\u200d\N{GIRL}",  # a family: joined by ZWJ
    "می\u200cخواهم",  # Persian, with ZWNJ
    "അവന്\u200d",  # Malayalam, with ZWJ
    "a\u00a0b",  # no-break space
    "山田\u3000太郎",  # ideographic space
    "\u3000太郎\u3000",  # the same at both ends
    "co\u00adop",  # soft hyphen
    "\u202eadalovelace\u202c",  # marks of direction
    "\u2066x\u2069\ufeff",
    "line\u2028separator",
    "\ue000private",
    "\u0378unassigned",
    "e\u0301",  # not the same as U+00E9: ids are compared as they are
    "é",
    " ada ",
    "x" * 100,
]


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def escaped(name: str) -> str:
    return quote(name, safe="")


@pytest.mark.parametrize("name", NAMES)
async def test_every_door_of_the_api_takes_a_name_in_any_script(world: World, name: str):
    bought = await world.buy(name, "pro_monthly")
    assert bought.status_code == 200, bought.text
    read = await world.http.get(f"/v1/subscribers/{escaped(name)}", headers=world.sdk())
    assert (read.status_code, read.json()["subscriber"]["original_app_user_id"]) == (200, name)
    assert list(read.json()["subscriber"]["entitlements"]) == ["pro"]
    noted = {"attributes": {"$displayName": {"value": name, "updated_at_ms": 1}}}
    for method, path, body in (
        ("POST", f"/v1/subscribers/{escaped(name)}/attributes", noted),
        ("GET", f"/v1/subscribers/{escaped(name)}/offerings", None),
        ("GET", f"/v1/subscribers/{escaped(name)}/virtual_currencies", None),
    ):
        answer = await world.http.request(method, path, headers=world.sdk(), json=body)
        assert answer.status_code == 200, answer.text
    shown = await world.http.get(f"/v2/projects/{world.project_id}/customers/{escaped(name)}", headers=world.secret)
    assert (shown.status_code, shown.json()["id"]) == (200, name)
    assert {body["app_user_id"] for body in await world.bodies(name)} == {name}


@pytest.mark.parametrize("name", NAMES[:6])
async def test_who_logs_in_under_a_name_in_any_script_keeps_what_they_hold(world: World, name: str):
    anonymous = "$RCAnonymousID:" + "0" * 32
    await world.buy(anonymous, "pro_monthly")
    answer = await world.http.post("/v1/subscribers/identify", headers=world.sdk(), json={"app_user_id": anonymous, "new_app_user_id": name})
    assert answer.status_code == 201, answer.text
    assert await world.entitled(escaped(name)) == ["pro"]
    made = await world.http.post(f"/v2/projects/{world.project_id}/customers", headers=world.secret, json={"id": name + "2"})
    assert made.status_code == 201, made.text


@pytest.mark.parametrize("name", NAMES[:6])
async def test_another_system_may_name_who_bought(world: World, name: str):
    await open_shop(world)
    answer = await tell(world, subscription("2026-01-20", "2026-02-20", customer_id=name))
    assert answer.status_code == 200, answer.text
    assert await world.entitled(escaped(name)) == ["pro"]


async def test_names_move_in_and_out_and_are_found_by_the_command_line(world: World, tmp_path: Path):
    names, aliases = NAMES[:7], [name + "\u00a0alias" for name in NAMES[:7]]
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(["app_user_id", "store", "product_id", "transaction_id", "purchased_at", "expires_at", "aliases"])
    for number, (name, alias) in enumerate(zip(names, aliases, strict=True)):
        writer.writerow([name, "app_store", "pro_monthly", f"70{number}", "2026-01-20", "2026-02-20", f"{alias} second-{number}"])
    (tmp_path / "rows.csv").write_bytes(table.getvalue().encode())
    said = await perennial("import", "rows", "rows.csv", "-p", world.project_id)
    assert "refused" not in said, said
    for number, (name, alias) in enumerate(zip(names, aliases, strict=True)):
        assert await world.entitled(escaped(name)) == await world.entitled(escaped(alias)) == await world.entitled(f"second-{number}") == ["pro"]
        assert alias in await perennial("customer", "show", name, "-p", world.project_id)

    await exports.run(world.app.database, world.project_id, await planned(world, tmp_path / "out"))
    [file] = delivered(tmp_path / "out")
    text = gzip.decompress(file.read_bytes()).decode()
    assert all(name in text for name in names)
    other = await make_world(world.app, world.http)
    await perennial("import", "export", str(file), "-p", other.project_id)
    for name in names:
        assert (await other.http.get(f"/v1/subscribers/{escaped(name)}", headers=other.sdk())).status_code == 200


@pytest.mark.parametrize(("name", "said"), [("a\nb", "U+000A"), ("a\x7f", "U+007F"), ("a\x85b", "U+0085"), ("\x00", "U+0000"), ("a\ud800", "U+D800")])
def test_what_no_id_may_hold_is_named(name: str, said: str):
    with pytest.raises(Invalid, match=said.replace("+", r"\+")) as caught:
        check_app_user_id(name)
    assert caught.value.code == 7256


@pytest.mark.parametrize("path", ["/v1/subscribers/{}", "/v1/subscribers/{}/offerings", "/v1/subscribers/{}/virtual_currencies"])
@pytest.mark.parametrize("escape", ["a%00b", "a%0Ab", "a%C2%85b", "a%ED%A0%80b", "a%FFb"])
async def test_what_cannot_be_kept_is_refused_in_every_path(world: World, path: str, escape: str):
    answer = await world.http.get(path.format(escape), headers=world.sdk())
    assert answer.status_code == 400, answer.text
    shown = await world.http.get(f"/v2/projects/{world.project_id}/customers/{escape}", headers=world.secret)
    assert (shown.status_code, shown.json()["type"]) == (400, "parameter_error")


@pytest.mark.parametrize("half", [b"x\\ud800y", b"x\\udc00", b"x\\ud800"])
async def test_half_a_character_in_a_body_is_refused_and_named(world: World, half: bytes):
    body = b'{"app_user_id":"' + half + b'","fetch_token":"test_1","product_id":"pro_monthly"}'
    answer = await world.http.post("/v1/receipts", headers={**world.sdk(), "Content-Type": "application/json"}, content=body)
    assert answer.status_code == 400 and "surrogate" in answer.json()["message"], answer.text


async def test_an_id_that_is_no_text_is_refused_by_the_command_line(world: World):
    assert "surrogate" in await perennial("customer", "show", "a\udc80", "-p", world.project_id, code=1)


async def test_events_of_sdks_are_kept_of_people_in_any_script(world: World):
    now = await world.now()
    for name in NAMES[:8]:
        sent = {"id": "e1", "type": "paywall_impression", "app_user_id": name, "timestamp": int(now.timestamp() * 1000)}
        assert telemetry.read_event(sent, None, now) is not None
    assert telemetry.read_event({**sent, "app_user_id": "a\x00"}, None, now) is None


async def test_two_spellings_of_one_word_are_two_customers(world: World):
    for name in ("e\u0301", "é", "É", "\u3000é", "é\u00a0"):
        await world.customer(escaped(name))
    async with world.app.database.transaction(world.project_id) as tx:
        assert len(set((await customers.find(tx, ["e\u0301", "é", "É", "\u3000é", "é\u00a0"])).values())) == 5
