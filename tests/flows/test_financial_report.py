"""What the App Store takes: estimated until Apple's financial report says it."""

import gzip
from pathlib import Path
from typing import Any

import pytest

from perennial import imports
from perennial.base.errors import Invalid
from perennial.providers.apple.signer import SigningAuthority
from tests.apple_messages import trust
from tests.flows.test_app_store import fresh, hear
from tests.moving import perennial
from tests.world import START, World

HEADER = (
    "Start Date\tEnd Date\tUPC\tISRC/ISBN\tVendor Identifier\tQuantity\tPartner Share\tExtended Partner Share\tPartner Share Currency\t"
    "Sales or Return\tApple Identifier\tTitle\tCountry Of Sale\tCustomer Price\tCustomer Currency"
)


def row(share: str = "7.00", *, product: str = "pro_monthly", country: str = "US", price: str = "9.99", kind: str = "S", **other: str) -> str:
    start, end = other.get("start", "01/04/2026"), other.get("end", "01/31/2026")
    paid_in, shared_in = other.get("paid_in", "USD"), other.get("shared_in", "USD")
    return f"{start}\t{end}\t\t\t{product}\t3\t{share}\t21.00\t{shared_in}\t{kind}\t99\tPro\t{country}\t{price}\t{paid_in}"


def written(folder: Path, *rows: str, packed: bool = False) -> Path:
    content = "\n".join([HEADER, *rows, "Total_Rows\t3", "Country Of Sale\tPartner Share Currency\tQuantity\tExtended Partner Share"]).encode()
    path = folder / ("report.txt.gz" if packed else "report.txt")
    path.write_bytes(gzip.compress(content) if packed else content)
    return path


@pytest.fixture
async def sold(world: World) -> World:
    """A purchase of 21 January for 9.99 USD in the United States, by an app of the App Store."""
    pen = SigningAuthority.create(START)
    await trust(world, pen)
    token = "6f0d1c2e-8f5e-4a55-9d5e-0a1b2c3d4e5f"
    await world.customer(token.upper(), store="app_store")
    life = fresh()
    life.subscribe()
    await hear(world, pen, life, token=token)
    return world


async def balances(world: World) -> dict[str, int]:
    async with world.app.database.transaction(world.project_id) as tx:
        rows = await tx.fetch("SELECT to_account, sum(amount)::bigint AS amount FROM transfer GROUP BY to_account")
        return {row["to_account"].removeprefix("sandbox/"): row["amount"] for row in rows}


async def apply(world: World, path: Path, **more: Any) -> imports.ReportOutcome:
    return await imports.apply_report(world.app.database, world.project_id, world.app_ids["app_store"], path, **more)


async def revenue(world: World) -> dict[str, Any]:
    (line,) = await world.lines("6F0D1C2E-8F5E-4A55-9D5E-0A1B2C3D4E5F")
    answer = await world.http.get(f"/v2/projects/{world.project_id}/subscriptions/{line.line_id}", headers=world.secret)
    found: dict[str, Any] = answer.json()["total_revenue_in_usd"]
    return found


async def test_what_the_store_does_not_state_is_estimated_marked_and_not_booked(sold: World) -> None:
    (body,) = await sold.bodies()
    shares = {name: body[name] for name in ("tax_percentage", "commission_percentage", "takehome_percentage")}
    assert shares == {"tax_percentage": 0.0, "commission_percentage": 0.3, "takehome_percentage": 0.7}
    assert body["perennial"]["estimated"] == ["tax_percentage", "commission_percentage"]
    assert await balances(sold) == {"revenue/app_store": 999}
    assert await revenue(sold) == {"currency": "USD", "gross": 9.99, "commission": 3.0, "tax": 0.0, "proceeds": 6.99}


async def test_a_financial_report_replaces_the_estimate_and_is_booked_once(sold: World, tmp_path: Path) -> None:
    path = written(tmp_path, row("8.49"), row(product="other"), row(country="DE"), row("-8.49", kind="R"))
    assert (await apply(sold, path, is_dry_run=True)).purchases == 1
    assert await balances(sold) == {"revenue/app_store": 999}
    done = await apply(sold, path)
    assert (done.reported, done.purchases, done.left_out) == (3, 1, ())
    assert await balances(sold) == {"revenue/app_store": 999, "stores/app_store/commission": 150}
    assert await revenue(sold) == {"currency": "USD", "gross": 9.99, "commission": 1.5, "tax": 0.0, "proceeds": 8.49}
    assert (await apply(sold, written(tmp_path, row("8.49"), packed=True))).purchases == 0  # again
    assert await balances(sold) == {"revenue/app_store": 999, "stores/app_store/commission": 150}
    assert await sold.told() == ["INITIAL_PURCHASE"]
    await sold.advance(days=40)
    assert (await sold.bodies())[-1]["perennial"].get("estimated") is None  # what is stated is not marked


@pytest.mark.parametrize(
    "other",
    [
        {"start": "02/01/2026", "end": "02/28/2026"},
        {"end": "01/20/2026"},
        {"price": "4.99", "share": "3.49"},
        {"country": "GB"},
        {"paid_in": "EUR", "shared_in": "EUR"},
    ],
)
async def test_a_purchase_that_the_report_does_not_cover_keeps_its_estimate(sold: World, tmp_path: Path, other: dict[str, str]) -> None:
    share = other.pop("share", "7.00")
    assert (await apply(sold, written(tmp_path, row(share, **other)))).purchases == 0
    assert await balances(sold) == {"revenue/app_store": 999}


async def test_rows_that_cannot_be_used_are_named_and_the_others_count(sold: World, tmp_path: Path) -> None:
    bad = [row("much"), row("0"), row("99.00"), row(start="2026-01-04"), row(end="13/45/2026"), row(shared_in="EUR"), row("1e400"), row("NaN")]
    done = await apply(sold, written(tmp_path, *bad, row("8.49")))
    assert ([line for line, _ in done.left_out], done.purchases) == (list(range(2, 10)), 1)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"a,b\n1,2", b"\x1f\x8bnothing", gzip.compress(b"", mtime=0)])
async def test_a_file_that_is_no_report_is_refused(sold: World, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "report.txt"
    path.write_bytes(content)
    with pytest.raises(Invalid):
        await apply(sold, path)


async def test_the_command_says_what_it_did(sold: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    path = written(tmp_path, row("8.49"), row("much"))
    said = await perennial("import", "financial-report", str(path), "--app", sold.app_ids["app_store"], "--project", sold.project_id)
    assert "1 purchase got the tax and commission" in said and "line 3 was left out" in said
    refused = await perennial("import", "financial-report", str(path), "--app", sold.app_ids["test_store"], "--project", sold.project_id, code=1)
    assert "Apple's" in refused


async def test_a_price_is_never_null_where_a_trial_or_a_grant_has_none(world: World) -> None:
    await world.http.post("/v1/subscribers/hal/entitlements/pro/promotional", headers=world.secret, json={"duration": "monthly"})
    await world.buy("gus", "pro_annual")  # begins with its trial
    await world.advance(days=1)
    for name in ("hal", "gus"):
        (held,) = (await world.customer(name))["subscriptions"].values()
        assert held["price"] == {"amount": 0.0, "currency": "USD"}, name
