"""The entitlement read, `GET /v1/subscribers/{id}`: a bare ASGI handler, because it is asked a thousand times for every write.

Whatever requests wait at one moment go as one query through a door in the tenant wall that checks every key beside its row. A hit is
the kept document; a miss (new customer, a write since, an access that ended) is rendered, in batches of their own, so that hits never wait
for a rendering. Nothing is cached in this process: a write by anyone is seen by the very next read of everyone, because versions are
compared in the query itself.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

from perennial import customers
from perennial.api.auth import key_of
from perennial.api.errors import error_body, log, status_of
from perennial.api.headers import CORS, JSON, RawHeaders, client_of, etag_of, new_request_id
from perennial.api.observe import OBSERVED
from perennial.api.sightings import Sightings
from perennial.api.signing import Signed, Signer, decode_nonce
from perennial.api.v1 import documents
from perennial.api.v1.customer_info import opening
from perennial.app import App
from perennial.base.coalesce import Coalescer
from perennial.base.errors import Invalid, PerennialError, Unauthorized
from perennial.base.ids import CustomerId, ProjectId
from perennial.base.secrets import hash_key
from perennial.base.time import to_ms
from perennial.customers.model import check_app_user_id

PREFIX = b"/v1/subscribers/"

Asked = tuple[bytes, str]  # hash of the key, app user id

_QUERY = "SELECT place, project_id, kind, clock_at, clock_started_at, customer_id, fresh_until, body, last_seen_at FROM read_customers($1, $2)"

# Who was seen so lately need not be written down again.
SEEN_LATELY = timedelta(minutes=10)


class Found(NamedTuple):
    """What one read is answered with. `body` lacks its opening. A tuple, as one is made for every read, and a frozen value costs thrice that."""

    project_id: ProjectId
    customer_id: CustomerId
    body: bytes
    now: datetime
    is_new: bool = False
    is_secret: bool = False
    last_seen_at: datetime | None = None


class Missed(NamedTuple):
    """A read whose document must be rendered first."""

    project_id: ProjectId
    app_user_id: str
    is_secret: bool


class CustomerRead:
    def __init__(self, app: App, sightings: Sightings, signer: Signer) -> None:
        self._app = app
        self._sightings = sightings
        self._signer = signer
        # One query at a time: while PostgreSQL works on it the next one gathers, and the fewer and larger they are, the less each read costs.
        self._read: Coalescer[Asked, Found | Missed] = Coalescer(self._read_batch, slots=1, largest=200)
        self._render: Coalescer[Missed, Found] = Coalescer(self._render_batch, slots=2, largest=200)

    @staticmethod
    def path_of(raw_path: bytes) -> bytes | None:
        """The app user id of a path this handler answers, still escaped."""
        rest = raw_path[len(PREFIX) :]
        return rest if raw_path.startswith(PREFIX) and rest and b"/" not in rest else None

    async def __call__(self, scope: Any, send: Any, escaped_id: bytes) -> None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        try:
            found = await self._read.submit((_hash_of(headers.get(b"authorization", b"")), _app_user_id(escaped_id)))
            if isinstance(found, Missed):
                found = await self._render.submit(found)
            await self._answer(scope, send, headers, found)
        except PerennialError as error:
            await _fail(send, status_of(error), error.message, error.code)
        except Exception:
            log.exception("a read failed")
            await _fail(send, 500, "something went wrong on our side; it was logged", None)

    async def _answer(self, scope: Any, send: Any, headers: dict[bytes, bytes], found: Found) -> None:
        platform = headers.get(b"x-platform")
        if platform is not None and (found.last_seen_at is None or found.now - found.last_seen_at > SEEN_LATELY):
            self._sightings.note(found.project_id, found.customer_id, found.now, client_of(headers))
        begins, request_time = _of_moment(found.now)
        body = begins + found.body if not found.is_secret else await self._with_attributes(found, is_seen=bool(platform))
        answer = [JSON, CORS, request_time]
        status = 201 if found.is_new else 200
        etag = b""
        if b"x-revenuecat-etag" in headers and platform is not None and platform.lower() != b"web":
            etag = etag_of(found.body)
            answer.append((b"x-revenuecat-etag", etag))
            if headers[b"x-revenuecat-etag"] == etag:
                status, body = 304, b""
        if b"x-nonce" in headers:
            answer.append((b"x-signature", self._sign(scope, headers, request_time[1], etag, body).encode()))
        answer += ((b"content-length", b"%d" % len(body)), (b"x-request-id", new_request_id().encode()))
        await send({"type": "http.response.start", "status": status, "headers": answer})
        await send({"type": "http.response.body", "body": body})

    async def _with_attributes(self, found: Found, *, is_seen: bool) -> bytes:
        async with self._app.database.transaction(found.project_id) as tx:
            return await documents.answer(tx, found.customer_id, last_seen=found.now if is_seen else None, with_attributes=True)

    def _sign(self, scope: Any, headers: dict[bytes, bytes], request_time: bytes, etag: bytes, body: bytes) -> str:
        return self._signer.sign(signed_of(scope["raw_path"], headers, request_time, etag, body), self._app.database.clock())

    async def _read_batch(self, asked: Sequence[Asked]) -> list[Found | Missed | Exception]:
        wall = self._app.database.clock()
        rows = await self._app.database.door(_QUERY, [key_hash for key_hash, _ in asked], [app_user_id for _, app_user_id in asked])
        OBSERVED.reads.inc(len(asked))
        OBSERVED.read_batches.inc()
        results: list[Found | Missed | Exception] = [_unknown_key() for _ in asked] if len(rows) < len(asked) else [_PLACE] * len(asked)
        for row in rows:
            place, project_id, kind, clock_at, clock_started_at, customer_id, fresh_until, body, last_seen_at = row.values()
            now = wall if clock_at is None else _project_now(clock_at, clock_started_at, wall)
            if body is not None and now < fresh_until:
                results[place - 1] = Found(project_id, customer_id, body, now, False, kind == "secret", last_seen_at)
            else:
                results[place - 1] = Missed(project_id, asked[place - 1][1], kind == "secret")
        return results

    async def _render_batch(self, missed: Sequence[Missed]) -> list[Found | Exception]:
        OBSERVED.renders.inc(len(missed))
        by_project: dict[ProjectId, list[str]] = defaultdict(list)
        for one in missed:
            by_project[one.project_id].append(one.app_user_id)
        made = {project_id: await self._render_of(project_id, app_user_ids) for project_id, app_user_ids in by_project.items()}
        return [made[one.project_id][one.app_user_id]._replace(is_secret=one.is_secret) for one in missed]

    async def _render_of(self, project_id: ProjectId, app_user_ids: Sequence[str]) -> dict[str, Found]:
        async with self._app.database.transaction(project_id) as tx:
            ids, new = await customers.ensure(tx, app_user_ids)
            made = await documents.current(tx, list(ids.values()))
        return {
            app_user_id: Found(project_id, customer_id, made[customer_id].body, tx.now, is_new=app_user_id in new)
            for app_user_id, customer_id in ids.items()
        }


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


_PLACE = Exception("filled by its row")


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


async def _fail(send: Any, status: int, message: str, code: int | None) -> None:
    body = error_body("/v1", status, message, code=code)
    headers: RawHeaders = [JSON, CORS, (b"content-length", b"%d" % len(body)), (b"x-request-id", new_request_id().encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
