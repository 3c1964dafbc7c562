"""SQL of apps as providers need them."""

from collections.abc import Sequence

import msgspec

from perennial.base.db import Row, Tx
from perennial.base.secrets import Secret, Vault, covered
from perennial.catalog import API_SECRET, STORE_SECRETS
from perennial.intake.model import StoreApp


async def store_apps(tx: Tx, vault: Vault, app_ids: Sequence[str] | None = None) -> dict[str, StoreApp]:
    """Apps as providers need them. A simulated store's root counts in a sandbox project alone."""
    rows = await tx.fetch(
        """
        SELECT a.*, CASE WHEN p.is_sandbox THEN s.root END AS simulated_root
        FROM app a JOIN project p ON p.project_id = a.project_id
        LEFT JOIN simulated_store s ON s.project_id = a.project_id AND s.app_id = a.app_id
        WHERE %(ids)s::text[] IS NULL OR a.app_id = ANY (%(ids)s)
        """,
        ids=None if app_ids is None else list(app_ids),
    )
    return {row["app_id"]: _store_app(row, vault) for row in rows}


def _store_app(row: Row, vault: Vault) -> StoreApp:
    return StoreApp(
        project_id=row["project_id"],
        app_id=row["app_id"],
        store=row["store"],
        bundle_id=row["bundle_id"],
        app_apple_id=row["app_apple_id"],
        api_key_id=row["api_key_id"],
        api_issuer=row["api_issuer"],
        api_base_url=row["api_base_url"],
        api_private_key=vault.unseal(row["api_secret"], API_SECRET) if row["api_secret"] else None,
        settings=row["settings"],
        secrets=_secrets(vault, row["secrets"]),
        simulated_roots=(row["simulated_root"],) if row["simulated_root"] else (),
    )


def _secrets(vault: Vault, sealed: bytes | None) -> dict[str, Secret]:
    return covered(msgspec.json.decode(vault.unseal(sealed, STORE_SECRETS).reveal_bytes(), type=dict[str, str])) if sealed else {}
