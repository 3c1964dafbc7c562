"""What stories of moving in and out share: the vendor's table, and the command line."""

import asyncio
import csv
import gzip
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from perennial import invariants
from perennial.cli import app
from perennial.exports import COLUMNS
from tests.world import World


def exported(**cells: Any) -> dict[str, str]:
    """A row of the vendor's scheduled data export: a running month of `ada`, but for what is said otherwise."""
    row = {
        "rc_original_app_user_id": "ada",
        "rc_last_seen_app_user_id_alias": "ada",
        "country": "DE",
        "country_source": "from_sdk",
        "product_identifier": "pro_monthly",
        "start_time": "2026-01-20 12:00:00",
        "end_time": "2026-02-20 12:00:00",
        "effective_end_time": "2026-02-20 12:00:00",
        "store": "app_store",
        "is_auto_renewable": "true",
        "is_trial_period": "false",
        "is_in_intro_offer_period": "false",
        "is_sandbox": "false",
        "purchased_currency": "EUR",
        "price_in_purchased_currency": "9.99",
        "purchase_price_in_purchased_currency": "9.99",
        "tax_percentage": "0.19",
        "commission_percentage": "0.15",
        "store_transaction_id": "1000",
        "original_store_transaction_id": "1000",
        "entitlement_identifiers": '["pro"]',
        "renewal_number": "1",
        "is_trial_conversion": "false",
        "ownership_type": "PURCHASED",
        "updated_at": "2026-01-31 06:00:00",
        "first_seen_time": "2025-06-01 08:00:00",
    }
    return {**dict.fromkeys(COLUMNS, ""), **row, **{name: str(cell) for name, cell in cells.items()}}


def write(path: Path, rows: Sequence[dict[str, str]], *, delimiter: str = ";") -> Path:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    encoded = text.getvalue().encode()
    path.write_bytes(gzip.compress(encoded) if path.suffix == ".gz" else encoded)
    return path


def report(path: Path) -> list[tuple[str, str, str]]:
    """The change, the line and the subject of each finding."""
    with path.open(newline="") as file:
        return [(one["change"], one["line"], one["subject"]) for one in csv.DictReader(file)]


async def perennial(*arguments: str, code: int = 0) -> str:
    """What the command printed. In a thread of its own, as it brings its own event loop."""
    result: Result = await asyncio.to_thread(CliRunner().invoke, app, list(arguments))
    assert result.exit_code == code, f"{' '.join(arguments)}: {result.exit_code}\n{result.output}\n{result.exception!r}"
    return result.output


async def broken(world: World) -> list[invariants.Violation]:
    return [one for one in await invariants.run(world.app.database, world.project_id) if one.level == "error"]
