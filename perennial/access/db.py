"""SQL of access: collaborators, kept answers, third parties and their tokens."""

from collections.abc import Sequence
from datetime import datetime

from perennial.access.model import AccessToken, Code, Collaborator, KeptAnswer, OAuthClient, Token
from perennial.base.db import Database, Row, Tx
from perennial.base.ids import ProjectId

# Collaborators ----------------------------------------------------------------------------------------------------------------


async def insert_collaborator(tx: Tx, one: Collaborator) -> None:
    await tx.execute(
        """
        INSERT INTO collaborator (project_id, collaborator_id, email, name, role, accepted_at, created_at)
        VALUES (%(project_id)s, %(collaborator_id)s, %(email)s, %(name)s, %(role)s, %(accepted_at)s, %(created_at)s)
        """,
        project_id=tx.project_id,
        collaborator_id=one.collaborator_id,
        email=one.email,
        name=one.name,
        role=one.role,
        accepted_at=one.accepted_at,
        created_at=one.created_at,
    )


async def get_collaborators(tx: Tx, *, after: str | None = None, limit: int = 100) -> list[Collaborator]:
    rows = await tx.fetch(
        """
        SELECT collaborator_id, email, name, role, accepted_at, created_at FROM collaborator
        WHERE %(after)s::text IS NULL OR collaborator_id > %(after)s ORDER BY collaborator_id LIMIT %(limit)s
        """,
        after=after,
        limit=limit,
    )
    return [Collaborator(**dict(row)) for row in rows]


async def delete_collaborator(tx: Tx, collaborator_id: str) -> bool:
    count = await tx.execute("DELETE FROM collaborator WHERE collaborator_id = %(collaborator_id)s", collaborator_id=collaborator_id)
    return count == 1


# Answers kept for those who ask again -----------------------------------------------------------------------------------------


async def lock_request(tx: Tx, key_id: str, idempotency_key: str) -> bool:
    """False while another transaction has it. Held until this one ends, and let go of by its death."""
    held: bool = await tx.fetch_value(
        "SELECT pg_try_advisory_xact_lock(hashtextextended(%(name)s, 5273664170019))", name=f"{tx.project_id}|{key_id}|{idempotency_key}"
    )
    return held


async def get_kept(tx: Tx, key_id: str, idempotency_key: str) -> KeptAnswer | None:
    row = await tx.fetch_one(
        """
        SELECT request_hash, status, body, claimed_until FROM idempotent_request
        WHERE key_id = %(key_id)s AND idempotency_key = %(idempotency_key)s AND wake_at > %(now)s
        """,
        key_id=key_id,
        idempotency_key=idempotency_key,
        now=tx.now,
    )
    return KeptAnswer(**dict(row)) if row is not None else None


async def save_kept(tx: Tx, key_id: str, idempotency_key: str, kept: KeptAnswer, wake_at: datetime) -> None:
    """Over what was claimed, or what is long forgotten."""
    await tx.execute(
        """
        INSERT INTO idempotent_request (project_id, key_id, idempotency_key, request_hash, status, body, claimed_until, wake_at)
        VALUES (%(project_id)s, %(key_id)s, %(idempotency_key)s, %(request_hash)s, %(status)s, %(body)s, %(claimed_until)s, %(wake_at)s)
        ON CONFLICT (project_id, key_id, idempotency_key) DO UPDATE SET
          request_hash = excluded.request_hash, status = excluded.status, body = excluded.body, claimed_until = excluded.claimed_until,
          wake_at = excluded.wake_at
        """,
        project_id=tx.project_id,
        key_id=key_id,
        idempotency_key=idempotency_key,
        request_hash=kept.request_hash,
        status=kept.status,
        body=kept.body,
        claimed_until=kept.claimed_until,
        wake_at=wake_at,
    )


async def delete_kept(tx: Tx, key_id: str, idempotency_key: str) -> None:
    await tx.execute(
        "DELETE FROM idempotent_request WHERE key_id = %(key_id)s AND idempotency_key = %(idempotency_key)s",
        key_id=key_id,
        idempotency_key=idempotency_key,
    )


async def forget_kept(tx: Tx, limit: int) -> int:
    return await tx.execute(
        """
        DELETE FROM idempotent_request WHERE (key_id, idempotency_key) IN (
          SELECT key_id, idempotency_key FROM idempotent_request WHERE wake_at <= %(now)s ORDER BY wake_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
        """,
        now=tx.now,
        limit=limit,
    )


# Third parties ----------------------------------------------------------------------------------------------------------------


async def insert_client(tx: Tx, client: OAuthClient) -> None:
    await tx.execute(
        """
        INSERT INTO oauth_client (project_id, client_id, name, redirect_uris, permissions, secret_hash, created_at)
        VALUES (%(project_id)s, %(client_id)s, %(name)s, %(redirect_uris)s, %(permissions)s, %(secret_hash)s, %(created_at)s)
        """,
        project_id=tx.project_id,
        client_id=client.client_id,
        name=client.name,
        redirect_uris=list(client.redirect_uris),
        permissions=list(client.permissions),
        secret_hash=client.secret_hash,
        created_at=client.created_at,
    )


async def get_clients(tx: Tx, *, client_id: str | None = None) -> list[OAuthClient]:
    rows = await tx.fetch(
        """
        SELECT client_id, name, redirect_uris, permissions, secret_hash, created_at FROM oauth_client
        WHERE %(client_id)s::text IS NULL OR client_id = %(client_id)s ORDER BY client_id LIMIT 1000
        """,
        client_id=client_id,
    )
    return [_client(row) for row in rows]


def _client(row: Row) -> OAuthClient:
    return OAuthClient(**{**dict(row), "redirect_uris": tuple(row["redirect_uris"]), "permissions": tuple(row["permissions"])})


async def delete_client(tx: Tx, client_id: str) -> bool:
    """With everything that was granted to it."""
    count = await tx.execute("DELETE FROM oauth_client WHERE client_id = %(client_id)s", client_id=client_id)
    return count == 1


async def project_of_client(database: Database, client_id: str) -> ProjectId | None:
    rows = await database.door("SELECT project_of_oauth_client($1) AS project_id", client_id)
    return rows[0]["project_id"] if rows else None


async def project_of_secret(database: Database, secret_hash: bytes) -> ProjectId | None:
    """Whose code or token it is."""
    rows = await database.door("SELECT project_of_oauth_secret($1) AS project_id", secret_hash)
    return rows[0]["project_id"] if rows else None


async def find_access_token(database: Database, token_hash: bytes, wall: datetime) -> AccessToken | None:
    rows = await database.door("SELECT project_id, grant_id, permissions FROM find_access_token($1, $2)", token_hash, wall)
    if not rows:
        return None
    return AccessToken(project_id=rows[0]["project_id"], grant_id=rows[0]["grant_id"], permissions=tuple(rows[0]["permissions"]))


async def insert_grant(tx: Tx, grant_id: str, client_id: str, permissions: Sequence[str], now: datetime) -> None:
    await tx.execute(
        """
        INSERT INTO oauth_grant (project_id, grant_id, client_id, permissions, created_at)
        VALUES (%(project_id)s, %(grant_id)s, %(client_id)s, %(permissions)s, %(now)s)
        """,
        project_id=tx.project_id,
        grant_id=grant_id,
        client_id=client_id,
        permissions=list(permissions),
        now=now,
    )


async def insert_code(tx: Tx, grant_id: str, *, code_hash: bytes, redirect_uri: str, challenge: str, expires_at: datetime) -> None:
    await tx.execute(
        """
        INSERT INTO oauth_code (project_id, grant_id, hash, redirect_uri, challenge, expires_at)
        VALUES (%(project_id)s, %(grant_id)s, %(hash)s, %(redirect_uri)s, %(challenge)s, %(expires_at)s)
        """,
        project_id=tx.project_id,
        grant_id=grant_id,
        hash=code_hash,
        redirect_uri=redirect_uri,
        challenge=challenge,
        expires_at=expires_at,
    )


async def lock_code(tx: Tx, code_hash: bytes) -> Code | None:
    """Held until the end: two who bring the same code take turns, and the second finds it used."""
    row = await tx.fetch_one(
        """
        SELECT c.grant_id, g.client_id, g.permissions, c.redirect_uri, c.challenge, c.expires_at, c.used_at, g.revoked_at AS grant_revoked_at
        FROM oauth_code c JOIN oauth_grant g ON g.project_id = c.project_id AND g.grant_id = c.grant_id
        WHERE c.hash = %(hash)s FOR UPDATE
        """,
        hash=code_hash,
    )
    return Code(**{**dict(row), "permissions": tuple(row["permissions"])}) if row is not None else None


async def use_code(tx: Tx, grant_id: str, now: datetime) -> None:
    await tx.execute("UPDATE oauth_code SET used_at = %(now)s WHERE grant_id = %(grant_id)s", grant_id=grant_id, now=now)


async def lock_token(tx: Tx, token_hash: bytes) -> Token | None:
    row = await tx.fetch_one(
        """
        SELECT t.grant_id, g.client_id, t.kind, t.expires_at, t.used_at, g.revoked_at AS grant_revoked_at, g.permissions
        FROM oauth_token t JOIN oauth_grant g ON g.project_id = t.project_id AND g.grant_id = t.grant_id
        WHERE t.hash = %(hash)s FOR UPDATE
        """,
        hash=token_hash,
    )
    return Token(**{**dict(row), "permissions": tuple(row["permissions"])}) if row is not None else None


async def insert_token(tx: Tx, grant_id: str, kind: str, token_hash: bytes, expires_at: datetime) -> None:
    await tx.execute(
        """
        INSERT INTO oauth_token (project_id, grant_id, hash, kind, expires_at)
        VALUES (%(project_id)s, %(grant_id)s, %(hash)s, %(kind)s, %(expires_at)s)
        """,
        project_id=tx.project_id,
        grant_id=grant_id,
        hash=token_hash,
        kind=kind,
        expires_at=expires_at,
    )


async def use_token(tx: Tx, token_hash: bytes, now: datetime) -> None:
    await tx.execute("UPDATE oauth_token SET used_at = %(now)s WHERE hash = %(hash)s", hash=token_hash, now=now)


async def delete_token(tx: Tx, token_hash: bytes) -> None:
    await tx.execute("DELETE FROM oauth_token WHERE hash = %(hash)s", hash=token_hash)


async def delete_expired_tokens(tx: Tx, grant_id: str, now: datetime) -> None:
    await tx.execute("DELETE FROM oauth_token WHERE grant_id = %(grant_id)s AND expires_at <= %(now)s", grant_id=grant_id, now=now)


async def delete_stale_grants(tx: Tx, now: datetime) -> None:
    """Those whose code was never brought back, and those whose every token has expired."""
    await tx.execute(
        """
        DELETE FROM oauth_grant g
        WHERE NOT EXISTS (SELECT FROM oauth_token t WHERE t.grant_id = g.grant_id AND t.expires_at > %(now)s)
          AND NOT EXISTS (SELECT FROM oauth_code c WHERE c.grant_id = g.grant_id AND c.expires_at > %(now)s)
        """,
        now=now,
    )


async def revoke_grant(tx: Tx, grant_id: str, now: datetime) -> None:
    await tx.execute("UPDATE oauth_grant SET revoked_at = %(now)s WHERE grant_id = %(grant_id)s AND revoked_at IS NULL", grant_id=grant_id, now=now)
