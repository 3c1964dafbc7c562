"""The entitlement read, `GET /v1/subscribers/{id}`: a bare ASGI handler, because it is asked a thousand times for every write.

Whatever requests wait at one moment go as one query through a door in the tenant wall that checks the keys beside the rows. A hit is
the kept document; a miss (new customer, a write since, an access that ended) is rendered, in batches of their own, so that hits never wait
for a rendering. Nothing is cached in this process: a write by anyone is seen by the very next read of everyone, because a write takes the
kept document away in its own transaction.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_to_bytes

from perennial import customers
from perennial.api.auth import key_of
from perennial.api.errors import log, v1_answer
from perennial.api.floods import Floods
from perennial.api.headers import CORS, JSON, etag_of, new_request_id
from perennial.api.leaving import PIECE, Outgoing
from perennial.api.observe import OBSERVED
from perennial.api.sightings import Sightings
from perennial.api.signing import Signed, Signer, decode_nonce
from perennial.api.v1 import documents
from perennial.app import App
from perennial.base.coalesce import Coalescer
from perennial.base.errors import Forbidden, Invalid, PerennialError, Unauthorized
from perennial.base.ids import CustomerId, ProjectId
from perennial.base.secrets import hash_key
from perennial.base.time import to_ms
from perennial.base.value import replace, value
from perennial.customers.model import CustomerBlocked, check_app_user_id
from perennial.subscriptions import opening

PREFIX = b"/v1/subscribers/"
LIMIT = 2.0  # seconds: an app that waits longer for its entitlements does better with what it knows
_LAST_SLASH = len(PREFIX) - 1

_LONGEST_AUTHORIZATION = 400  # bytes that are looked at, and remembered

Asked = tuple[bytes, str]  # hash of the key, app user id

_QUERY = "SELECT place, id, kind, moment, started_at, body FROM read_customers($1, $2, $3)"


@value
class Key:
    """Whose key it is, and what time it is there."""

    project_id: ProjectId
    is_secret: bool
    now: datetime
    may_read: bool


@value
class Found:
    """What one read is answered with. `body` lacks its opening."""

    key: Key
    customer_id: CustomerId
    body: bytes
    is_new: bool = False


@value
class Missed:
    """A read whose document must be rendered first."""

    key: Key
    app_user_id: str


class CustomerRead:
    def __init__(self, app: App, sightings: Sightings, signer: Signer, floods: Floods, outgoing: Outgoing) -> None:
        self._floods = floods
        self._outgoing = outgoing
        self._app = app
        self._sightings = sightings
        self._signer = signer
        # One query at a time: while PostgreSQL works on it the next one gathers, and the fewer and larger they are, the less each read costs.
        self._read: Coalescer[Asked, Found | Missed] = Coalescer(self._read_batch, slots=1, largest=200, longest_wait=LIMIT)
        self._render: Coalescer[Missed, Found] = Coalescer(self._render_batch, slots=2, largest=200, longest_wait=LIMIT)

    @staticmethod
    def path_of(raw_path: bytes) -> bytes | None:
        """The app user id of a path this handler answers, still escaped."""
        if raw_path.startswith(PREFIX) and raw_path.rfind(b"/") == _LAST_SLASH and len(raw_path) > len(PREFIX):
            return raw_path[len(PREFIX) :]
        return None

    async def __call__(self, scope: Any, send: Any, escaped_id: bytes) -> None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        try:
            self._floods.count(scope, headers)
            found = await self._read.submit((_hash_of(headers.get(b"authorization", b"")[:_LONGEST_AUTHORIZATION]), _app_user_id(escaped_id)))
            if isinstance(found, Missed):
                found = await self._render.submit(found)
            platform = headers.get(b"x-platform")
            if platform is not None:
                self._sightings.note(found.key.project_id, found.customer_id, found.key.now, headers)
            attributed = await self._with_attributes(found, is_seen=bool(platform)) if found.key.is_secret else None
            start, body = self._answer(scope, headers, found, attributed)
            if len(body) > PIECE:
                self._outgoing.check_room(len(body))
                await self._outgoing.send(send, start, body)
                return
            await send(start)
            await send({"type": "http.response.body", "body": body})
        except PerennialError as error:
            await _fail(send, error)
        except Exception:
            log.exception("a read failed")
            await _fail(send, None)

    def _answer(self, scope: Any, headers: dict[bytes, bytes], found: Found, attributed: bytes | None) -> tuple[dict[str, Any], bytes]:
        """The message that begins the answer, and the body."""
        begins, request_time = _of_moment(found.key.now)
        body = begins + found.body if attributed is None else attributed
        answer = [JSON, CORS, request_time, (b"x-request-id", new_request_id())]
        status = 201 if found.is_new else 200
        etag = b""
        if b"x-revenuecat-etag" in headers and headers.get(b"x-platform", b"web").lower() != b"web":
            etag = etag_of(found.body)
            answer.append((b"x-revenuecat-etag", etag))
            if headers[b"x-revenuecat-etag"] == etag:
                status, body = 304, b""
        if b"x-nonce" in headers:
            answer.append((b"x-signature", self._sign(scope, headers, request_time[1], etag, body).encode()))
        answer.append((b"content-length", b"%d" % len(body)))
        return {"type": "http.response.start", "status": status, "headers": answer}, body

    async def _with_attributes(self, found: Found, *, is_seen: bool) -> bytes:
        async with self._app.database.transaction(found.key.project_id, limit=LIMIT) as tx:
            return await documents.answer(tx, found.customer_id, last_seen=found.key.now if is_seen else None, with_attributes=True)

    def _sign(self, scope: Any, headers: dict[bytes, bytes], request_time: bytes, etag: bytes, body: bytes) -> str:
        return self._signer.sign(signed_of(scope["raw_path"], headers, request_time, etag, body), self._app.database.clock())

    async def _read_batch(self, asked: Sequence[Asked]) -> list[Found | Missed | Exception]:
        wall = self._app.database.clock()
        numbers: dict[bytes, int] = {}
        key_of = [numbers.setdefault(key_hash, len(numbers) + 1) for key_hash, _ in asked]
        rows = await self._app.database.door(_QUERY, list(numbers), key_of, [app_user_id for _, app_user_id in asked], limit=LIMIT)
        OBSERVED.reads.inc(len(asked))
        OBSERVED.read_batches.inc()
        keys: dict[int, Key] = {}
        results: list[Found | Missed | Exception] = [_PLACE] * len(asked)
        for row in rows:
            place, known_id, kind, moment, started_at, body = row.values()
            if place < 0:
                now = wall if moment is None else _project_now(moment, started_at, wall)
                keys[-place] = Key(project_id=known_id, is_secret=kind == "secret", now=now, may_read=kind is not None)
            else:
                key = keys[key_of[place - 1]]
                if key.now < moment and key.may_read:
                    results[place - 1] = Found(key=key, customer_id=known_id, body=body)
        for place, result in enumerate(results):
            if result is _PLACE:
                known = keys.get(key_of[place])
                results[place] = _missed(known, asked[place][1])
        return results

    async def _render_batch(self, missed: Sequence[Missed]) -> list[Found | Exception]:
        OBSERVED.renders.inc(len(missed))
        by_project: dict[ProjectId, list[str]] = defaultdict(list)
        for one in missed:
            by_project[one.key.project_id].append(one.app_user_id)
        made = {project_id: await self._render_of(project_id, app_user_ids) for project_id, app_user_ids in by_project.items()}
        return [made[one.key.project_id].of(one) for one in missed]

    async def _render_of(self, project_id: ProjectId, app_user_ids: Sequence[str]) -> "_Rendered":
        """Without those whose ids are blocked: one of them must not fail the others."""
        async with self._app.database.transaction(project_id) as tx:
            blocked = await customers.blocked_among(tx, app_user_ids)
            ids, new = await customers.ensure(tx, [one for one in app_user_ids if one not in blocked])
            made = await documents.current(tx, list(ids.values()))
        return _Rendered(ids=ids, new=new, bodies={customer_id: document.body for customer_id, document in made.items()}, now=tx.now)


@value
class _Rendered:
    """What a project's documents became, at one moment."""

    ids: Mapping[str, CustomerId]
    new: Collection[str]
    bodies: Mapping[CustomerId, bytes]
    now: datetime

    def of(self, one: Missed) -> Found | Exception:
        customer_id = self.ids.get(one.app_user_id)
        if customer_id is None:
            return CustomerBlocked(one.app_user_id)
        return Found(key=replace(one.key, now=self.now), customer_id=customer_id, body=self.bodies[customer_id], is_new=one.app_user_id in self.new)


def signed_of(raw_path: bytes, headers: dict[bytes, bytes], request_time: bytes, etag: bytes, body: bytes) -> Signed:
    def text(name: bytes) -> str:
        return headers.get(name, b"").decode("latin-1")

    return Signed(
        api_key=key_of(text(b"authorization")),
        nonce=decode_nonce(text(b"x-nonce")),
        path=raw_path.decode("latin-1"),
        post_params_hash=text(b"x-post-params-hash"),
        headers_hash=text(b"x-headers-hash"),
        request_time=request_time.decode(),
        etag=etag.decode(),
        body=body,
    )


_PLACE = Exception("filled by its row, where it has one")


def _missed(key: Key | None, app_user_id: str) -> Missed | Exception:
    if key is None:
        return _unknown_key()
    if not key.may_read:
        return Forbidden("this key may not read customers; it lacks customer_information:customers:read", code=7225)
    return Missed(key=key, app_user_id=app_user_id)


def _unknown_key() -> Unauthorized:
    return Unauthorized("this API key is not known here, or it was revoked; check that it belongs to this installation", code=7225)


@lru_cache(maxsize=4096)
def _hash_of(authorization: bytes) -> bytes:
    """Of the same bytes always the same hash: nothing about the key's validity is remembered."""
    return hash_key(key_of(authorization.decode("latin-1")))


def _app_user_id(escaped: bytes) -> str:
    try:
        return check_app_user_id((unquote_to_bytes(escaped) if b"%" in escaped else escaped).decode())
    except UnicodeDecodeError as error:
        raise Invalid("the app user id in the path is not UTF-8", param="app_user_id", code=7256) from error


@lru_cache(maxsize=64)
def _of_moment(now: datetime) -> tuple[bytes, tuple[bytes, bytes]]:
    """The opening of a body and the header that name the moment: all reads of a batch share it."""
    return opening(now, now), (b"x-revenuecat-request-time", b"%d" % to_ms(now))


def _project_now(clock_at: datetime, clock_started_at: datetime | None, wall: datetime) -> datetime:
    return clock_at if clock_started_at is None else clock_at + (wall - clock_started_at)


async def _fail(send: Any, error: PerennialError | None) -> None:
    """Without an error it is a fault of ours."""
    status, wait, body = v1_answer(error)
    headers = [JSON, CORS, (b"content-length", b"%d" % len(body)), (b"x-request-id", new_request_id())]
    if wait is not None:
        headers.append((b"retry-after", b"%d" % wait))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
