"""The verbs of access: people come and go, third parties are let in and out, answers are kept."""

import re
from collections.abc import Sequence
from datetime import datetime

from perennial.access import db, rules
from perennial.access.model import (
    ACCESS_LIVES,
    ACCESS_PREFIX,
    ANSWERS_KEPT,
    CLAIM_LASTS,
    CODE_LIVES,
    REFRESH_LIVES,
    REFRESH_PREFIX,
    ROLES,
    AccessToken,
    Authorization,
    ClientMissing,
    Collaborator,
    CollaboratorExists,
    CollaboratorMissing,
    KeptAnswer,
    OAuthClient,
    OAuthRefused,
    Role,
    Tokens,
)
from perennial.base.db import Database, Tx, UniqueViolation
from perennial.base.errors import Invalid, KeyReused, Locked
from perennial.base.ids import ProjectId, new_token
from perennial.base.secrets import hash_key, same

_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,255}")
_SWEPT = 500  # kept answers forgotten at once


# Collaborators ----------------------------------------------------------------------------------------------------------------


async def add_collaborator(tx: Tx, *, email: str, role: str, name: str | None = None) -> Collaborator:
    """They need no acceptance yet: whoever runs the installation says who works on a project."""
    if _EMAIL.fullmatch(email) is None:
        raise Invalid(f"email: {email[:80]!r} is not an e-mail address", param="email")
    made = Collaborator(collaborator_id=tx.new_id("collab"), email=email, role=_role(role), name=name or None, accepted_at=tx.now, created_at=tx.now)
    try:
        await db.insert_collaborator(tx, made)
    except UniqueViolation as error:
        raise CollaboratorExists(f"{email} works on this project already", param="email") from error
    return made


def _role(name: str) -> Role:
    found = next((role for role in ROLES if role == name), None)
    if found is None:
        raise Invalid(f"role: {name[:80]!r} is not one of {', '.join(ROLES)}", param="role")
    return found


async def remove_collaborator(tx: Tx, collaborator_id: str) -> None:
    if not await db.delete_collaborator(tx, collaborator_id):
        raise CollaboratorMissing(f"no collaborator {collaborator_id[:80]!r} on this project", param="collaborator_id")


# Answers kept for those who ask again -----------------------------------------------------------------------------------------


async def look_up(tx: Tx, key_id: str, idempotency_key: str, request_hash: bytes, wall: datetime) -> KeptAnswer | None:
    """What this very request was answered before, or None: then it is this transaction's to carry out. Others who bring the key meanwhile, and
    those who bring it with another request, are refused."""
    if not await db.lock_request(tx, key_id, idempotency_key):
        raise _at_work()
    kept = await db.get_kept(tx, key_id, idempotency_key)
    if kept is None:
        return None
    if not same(kept.request_hash, request_hash):
        raise KeyReused("this Idempotency-Key was sent with another request; send a new one with a new request")
    if kept.status is None:
        assert kept.claimed_until is not None
        if wall < kept.claimed_until <= wall + 2 * CLAIM_LASTS:  # beyond that, it was claimed by a process whose clock ran ahead
            raise _at_work()
        raise KeyReused("this request was begun and its answer was never recorded; see whether it was done, then use a new Idempotency-Key")
    return kept


def _at_work() -> Locked:
    return Locked("the same request is being worked on at this moment; ask again for its answer")


async def claim(tx: Tx, key_id: str, idempotency_key: str, request_hash: bytes, wall: datetime) -> None:
    """To be committed before the work begins, where the work cannot be in one transaction."""
    claimed = KeptAnswer(request_hash=request_hash, claimed_until=wall + CLAIM_LASTS)
    await db.save_kept(tx, key_id, idempotency_key, claimed, tx.now + ANSWERS_KEPT)


async def keep(tx: Tx, key_id: str, idempotency_key: str, request_hash: bytes, *, status: int, sealed_body: bytes) -> None:
    kept = KeptAnswer(request_hash=request_hash, status=status, body=sealed_body)
    await db.save_kept(tx, key_id, idempotency_key, kept, tx.now + ANSWERS_KEPT)


async def let_go(tx: Tx, key_id: str, idempotency_key: str) -> None:
    """Nothing was done: the key may be used again."""
    await db.delete_kept(tx, key_id, idempotency_key)


async def forget_due(database: Database, project_id: ProjectId) -> int:
    async with database.transaction(project_id) as tx:
        return await db.forget_kept(tx, _SWEPT)


# Third parties ----------------------------------------------------------------------------------------------------------------


async def register_client(
    tx: Tx, wall: datetime, *, name: str, redirect_uris: Sequence[str], permissions: Sequence[str], is_confidential: bool
) -> tuple[OAuthClient, str | None]:
    """The client, and the secret of a confidential one, which is shown this once."""
    if not 1 <= len(name.strip()) <= 255:
        raise Invalid("name: give the application a name of 1 to 255 characters", param="name")
    secret = new_token(32) if is_confidential else None
    client = OAuthClient(
        client_id=tx.new_id("client"),
        name=name.strip(),
        redirect_uris=rules.check_redirect_uris(redirect_uris),
        permissions=rules.check_scopes(permissions),
        secret_hash=hash_key(secret) if secret is not None else None,
        created_at=wall,
    )
    await db.insert_client(tx, client)
    return client, secret


async def remove_client(tx: Tx, client_id: str) -> None:
    """Its tokens are dead at once."""
    if not await db.delete_client(tx, client_id):
        raise ClientMissing(f"no OAuth client {client_id[:80]!r} in this project", param="client_id")


async def require_client(tx: Tx, client_id: str) -> OAuthClient:
    found = await db.get_clients(tx, client_id=client_id)
    if not found:
        raise ClientMissing(f"no OAuth client {client_id[:80]!r} in this project", param="client_id")
    return found[0]


async def grant(tx: Tx, authorization: Authorization, wall: datetime) -> tuple[str, str]:
    """A person said yes. Returns the grant's id, and the code to send along."""
    await db.delete_stale_grants(tx, wall)
    grant_id, code = tx.new_id("grant"), new_token(32)
    await db.insert_grant(tx, grant_id, authorization.client.client_id, authorization.permissions, wall)
    await db.insert_code(
        tx,
        grant_id,
        code_hash=hash_key(code),
        redirect_uri=authorization.redirect_uri,
        challenge=authorization.challenge,
        expires_at=wall + CODE_LIVES,
    )
    return grant_id, code


def check_secret(client: OAuthClient, secret: str | None) -> None:
    """A confidential client proves itself; a public one must not pretend to."""
    if client.secret_hash is None and secret is None:
        return
    if client.secret_hash is None or secret is None or not same(hash_key(secret), client.secret_hash):
        raise OAuthRefused("invalid_client", "the client is not known, or its secret is not right")


async def redeem(tx: Tx, client: OAuthClient, *, code: str, redirect_uri: str, verifier: str, wall: datetime) -> Tokens | OAuthRefused:
    """Tokens for a code, once. One that comes a second time was stolen, or its tokens were: all of its grant ends.

    A refusal is returned, not raised, as the end of the grant must be committed with it.
    """
    found = await db.lock_code(tx, hash_key(code))
    if found is None or not same(found.client_id, client.client_id):
        return _unknown_grant()
    if found.used_at is not None:
        await db.revoke_grant(tx, found.grant_id, wall)
        return _unknown_grant()
    try:
        rules.check_code(found, redirect_uri=redirect_uri, verifier=verifier, now=wall)
    except OAuthRefused as refused:
        return refused
    await db.use_code(tx, found.grant_id, wall)
    return await _issue(tx, found.grant_id, found.permissions, wall)


async def refresh(tx: Tx, client: OAuthClient, *, refresh_token: str, wall: datetime) -> Tokens | OAuthRefused:
    """New tokens for a refresh token, once. One that comes a second time ends its whole grant: we cannot tell the thief from the victim."""
    found = await db.lock_token(tx, hash_key(refresh_token))
    if found is None or found.kind != "refresh" or not same(found.client_id, client.client_id):
        return _unknown_grant()
    if found.used_at is not None:
        await db.revoke_grant(tx, found.grant_id, wall)
        return _unknown_grant()
    if found.expires_at <= wall or found.grant_revoked_at is not None:
        return _unknown_grant()
    await db.use_token(tx, hash_key(refresh_token), wall)
    return await _issue(tx, found.grant_id, found.permissions, wall)


def _unknown_grant() -> OAuthRefused:
    return OAuthRefused("invalid_grant", "the code or refresh token is not valid, was used before, or was revoked; ask the person again")


async def _issue(tx: Tx, grant_id: str, permissions: tuple[str, ...], wall: datetime) -> Tokens:
    await db.delete_expired_tokens(tx, grant_id, wall)
    made = Tokens(access=ACCESS_PREFIX + new_token(32), refresh=REFRESH_PREFIX + new_token(32), permissions=permissions)
    await db.insert_token(tx, grant_id, "access", hash_key(made.access), wall + ACCESS_LIVES)
    await db.insert_token(tx, grant_id, "refresh", hash_key(made.refresh), wall + REFRESH_LIVES)
    return made


async def revoke_token(tx: Tx, client: OAuthClient, token: str, wall: datetime) -> None:
    """Of a refresh token, everything that came of it. What is unknown, or another's, is as good as revoked (RFC 7009)."""
    found = await db.lock_token(tx, hash_key(token))
    if found is None or not same(found.client_id, client.client_id):
        return
    if found.kind == "refresh":
        await db.revoke_grant(tx, found.grant_id, wall)
    else:
        await db.delete_token(tx, hash_key(token))


async def find_token(database: Database, token: str) -> AccessToken | None:
    return await db.find_access_token(database, hash_key(token), database.clock())
