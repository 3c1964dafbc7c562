"""What a server or worker needs, asked before it starts: whatever is missing is said in one sentence, with what to do."""

import asyncio

from perennial.api.signing import Signer
from perennial.app import App, open_app
from perennial.base.db import readiness
from perennial.base.errors import Invalid, NotPrepared, Unavailable
from perennial.base.migrate import MigrationRefused, find_folder, read_migrations
from perennial.base.secrets import WrongKey, has_key, place_of_key
from perennial.settings import Settings

LIMIT = 10.0  # seconds for the database to answer


def check(settings: Settings) -> None:
    """Raises what is wrong: the key, the database, its schema, and whether the one opens what is in the other."""
    require_key(settings)
    asyncio.run(_check(settings))


def require_key(settings: Settings) -> None:
    """A key made here would be another one on every machine, and in every new container."""
    if not has_key(settings.home):
        raise Invalid(
            "PERENNIAL_SECRET_KEY is not set: the key that the secrets in the database are sealed with, the same for all servers and workers. "
            f"Make one once with: openssl rand -base64 32; and keep it safe. ({settings.home} has no secret.key either.)",
            param="PERENNIAL_SECRET_KEY",
        )


async def _check(settings: Settings) -> None:
    async with open_app(settings, application="perennial start", connections=1, limit=LIMIT) as app:
        await check_schema(app)
        await check_key(app)


async def check_schema(app: App) -> None:
    known = {migration.name for migration in read_migrations(find_folder())}
    try:
        found = await readiness(app.database)
    except NotPrepared as error:
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


async def check_key(app: App) -> None:
    """The signing root is what every database has sealed."""
    try:
        await Signer.open(app.database, app.vault, app.settings.home)
    except WrongKey as error:
        raise WrongKey(
            f"{place_of_key(app.settings.home)} is not the key that the secrets of this database were sealed with; set that one. "
            "Where it is lost for good: perennial forget-secrets",
            param="PERENNIAL_SECRET_KEY",
        ) from error
