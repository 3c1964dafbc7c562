"""Two systems side by side: where they agree, nothing is said; a planted difference is found."""

from pathlib import Path

import pytest

from tests.e2e.server import open_server
from tests.flows.test_import import import_export, town
from tests.moving import perennial, write
from tests.world import World, make_world


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


async def test_two_servers_are_compared_customer_by_customer(world: World, database_url: str, tmp_path: Path) -> None:
    path = write(tmp_path / "full.csv", town())
    other = await make_world(world.app, world.http)
    for one in (world, other):
        await import_export(one, path)
    (tmp_path / "server").mkdir()
    async with open_server(database_url, tmp_path / "server") as url:
        command = ("compare", "--url", url, "--key", world.secret_key, "--project", other.project_id)
        assert "6 customers compared: no difference" in await perennial(*command)
        assert "3 customers compared: no difference" in await perennial(*command, "--sample", "3")
        await other.http.post("/v1/subscribers/bob/entitlements/pro/promotional", headers=other.secret, json={"duration": "monthly"})
        async with other.app.database.transaction(other.project_id) as tx:
            await tx.execute("UPDATE purchase SET expires_at = expires_at + interval '30 seconds' WHERE transaction = '1002'")
            await tx.execute("UPDATE purchase SET expires_at = expires_at + interval '1 hour' WHERE transaction = '4000'")
        said = await perennial(*command, "--report", "differences.csv", code=1)
        assert "6 customers compared: 2 differ, 1 of them in what they may use now" in said
        found = sorted(line.split(",")[:2] + line.split(",")[-1:] for line in (tmp_path / "differences.csv").read_text().splitlines()[1:])
        assert found == [
            ["bob", "entitlements.pro.expires_date", "access"],
            ["bob", "entitlements.pro.product_identifier", "detail"],
            ["bob", "entitlements.pro.purchase_date", "detail"],
            ["bob", "subscriptions.rc_promo_pro_monthly", "detail"],
            ["dan", "entitlements.pro.expires_date", "detail"],
            ["dan", "subscriptions.pro_annual.expires_date", "detail"],
        ]
        (tmp_path / "ids.txt").write_text("ada\nnobody-here\n")
        strict = await perennial(*command, "--ids", "ids.txt", "--tolerance", "0", code=1)
        assert "2 customers compared: 1 differ" in strict and "subscriptions.pro_monthly.expires_date" in strict
        assert "answers 401" in await perennial(*command[:3], "--key", "sk_wrong", *command[5:], code=1)
