"""What a server or worker needs, asked before it starts: whatever is missing is said in one sentence, with what to do."""

import asyncio
import sys

from perennial.api.signing import Signer
from perennial.app import App, open_app
from perennial.base.db import Database, Might, might_of, readiness
from perennial.base.errors import Forbidden, NotPrepared, Unavailable
from perennial.base.migrate import MigrationRefused, find_folder, read_migrations
from perennial.base.secrets import WrongKey, has_key, no_key, place_of_key
from perennial.listening import check_metrics_host
from perennial.postgres.supervisor import SERVER_USER
from perennial.settings import Settings

LIMIT = 10.0  # seconds for the database to answer


def check(settings: Settings) -> None:
    """Raises what is wrong: the key, where metrics are to be served, the database, its schema, and whether the key opens what is in it."""
    require_key(settings)
    if settings.metrics_port is not None:
        check_metrics_host(settings.metrics_host)
    asyncio.run(_check(settings))


def require_key(settings: Settings) -> None:
    if not has_key(settings.home):
        raise no_key(settings.home)


async def _check(settings: Settings) -> None:
    async with open_app(settings, application="perennial start", connections=1, limit=LIMIT) as app:
        await check_schema(app)
        await check_key(app)
        await check_login(app)


async def check_login(app: App) -> None:
    """Refuses where every statement could pass the tenant isolation; where the login alone could, by leaving its role, it warns."""
    might = await might_of(app.database)
    if might.role_could_bypass:
        raise Forbidden(
            "the role perennial_app, which every statement runs under, can pass the tenant isolation: "
            "it is a superuser, has BYPASSRLS or owns tables. Have an administrator run: ALTER ROLE perennial_app NOSUPERUSER NOBYPASSRLS;"
        )
    if (advice := advice_for(might)) is not None:
        print(f"! {advice}", file=sys.stderr, flush=True)


def advice_for(might: Might) -> str | None:
    if not might.could_bypass:
        return None
    what = "is a superuser" if might.is_superuser else "owns the tables"
    return (
        f"the login {might.login} {what}, and could pass the tenant isolation. Give servers and workers one that owns nothing:\n"
        f"    CREATE ROLE {SERVER_USER} LOGIN PASSWORD '...' IN ROLE perennial_app;\n"
        f"  name it in DATABASE_URL, and {might.login} in PERENNIAL_MIGRATE_DATABASE_URL, for `perennial migrate` alone"
    )


async def check_schema(app: App) -> None:
    known = {migration.name for migration in read_migrations(find_folder())}
    try:
        found = await readiness(app.database)
    except NotPrepared as error:
        if await is_migrated(app.database):
            raise NotPrepared("the database is older than this version; bring it up to date with: perennial migrate") from error
        raise NotPrepared("the database is not prepared yet; do that with: perennial migrate") from error
    if missing := sorted(known - found.applied):
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise NotPrepared(f"the database is older than this version: it lacks {missing[0]}{more}; apply it with: perennial migrate")
    newer = sorted(found.applied - known)
    if newer and not app.settings.allow_newer_schema:
        raise MigrationRefused(
            f"the database is newer than this version: it has {newer[-1]}; start the version that brought it, "
            "or set PERENNIAL_ALLOW_NEWER_SCHEMA=1 to go back by one version"
        )
    if found.is_standby:
        raise Unavailable("the database is a standby, which takes no writes; DATABASE_URL must lead to the primary")


async def is_migrated(database: Database) -> bool:
    """By any version."""
    rows = await database.door("SELECT to_regclass('public.schema_migration') IS NOT NULL AS is_there")
    return bool(rows[0]["is_there"])


async def check_key(app: App, *, makes_root: bool = True) -> None:
    """The signing root is what every database has sealed; it is made with the first start."""
    try:
        if makes_root:
            await Signer.open(app.database, app.vault, app.settings.home)
        else:
            await Signer.try_key(app.database, app.vault)
    except WrongKey as error:
        raise WrongKey(
            f"{place_of_key(app.settings.home)} is not the key that the secrets of this database were sealed with; set that one. "
            "Where it is lost for good: perennial forget-secrets",
            param="PERENNIAL_SECRET_KEY",
        ) from error
