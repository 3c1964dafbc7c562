"""Files of events in a bucket or a folder, made for loading into BigQuery and whatever else reads newline JSON or Parquet.

One object for each batch, `events/dt=2030-05-01/batch_01....ndjson`, whose name was fixed before the first attempt, so that a repeat writes
the same object again; and `schema.json` beside, in the form `bq load` takes. An object appears whole or not at all: it is put in one request,
and in a folder it is renamed into place. Sources: BigQuery's documentation of JSON and Parquet loading, of schema files, and of partitioned
(`dt=...`) names.

Objects are put by addresses signed here, so that every call of an integration goes through the one guarded door, and keys are never looked for
in the machine's own surroundings: a project must not borrow the operator's.
"""

import tempfile
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec
import obstore
from msgspec import Meta
from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, S3Store

from perennial.base.errors import Invalid
from perennial.base.time import from_ms
from perennial.base.value import value
from perennial.providers.integrations import reading
from perennial.providers.integrations.model import Event, Fields, Hidden, Item, Request

if TYPE_CHECKING:
    from obstore.store import AzureConfig, GCSConfig, S3Config

KIND = "files"
SIGNED_FOR = timedelta(minutes=5)

Store = S3Store | GCSStore | AzureStore


class Settings(Fields, frozen=True):
    """`url` is `s3://bucket/path`, `gs://bucket/path`, `az://account/container/path`, or `file:///folder` where the operator allows one."""

    url: Annotated[str, Meta(min_length=1, max_length=2000)]
    format: Literal["ndjson", "parquet"] = "ndjson"
    every_minutes: Annotated[int, Meta(ge=1, le=1440)] = 60  # how long events are gathered for one object
    region: str | None = None  # of s3
    endpoint: str | None = None  # of what speaks S3's or Azure's language elsewhere: MinIO, R2, Azurite


class Secrets(Hidden, frozen=True):
    access_key_id: str | None = None  # s3
    secret_access_key: str | None = None  # s3
    session_token: str | None = None  # s3, where the keys are passing ones
    service_account_key: str | None = None  # gs: the JSON of it
    account_key: str | None = None  # az


@value
class Object:
    name: str
    content: bytes
    content_type: str


# Where they go --------------------------------------------------------------------------------------------------------------------


def address(settings: Settings, secrets: Secrets) -> str:
    scheme = _split(settings.url).scheme
    if scheme not in _STORES and scheme != "file":
        raise Invalid("settings.url must begin with s3://, gs://, az:// or file:///", param="settings.url")
    if settings.endpoint is not None:
        reading.check_base(settings.endpoint, "settings.endpoint")
    if scheme != "file":
        _sign(settings, secrets, "try")
    return f"{settings.endpoint or ''} {settings.url}"


def folder(settings: Settings, allowed: Path | None) -> Path | None:
    """Of `file:///`, else None. `Invalid` outside of the one folder the operator named: whoever may edit a project is not the operator."""
    parts = _split(settings.url)
    if parts.scheme != "file":
        return None
    if allowed is None:
        raise Invalid("files in folders are off here: the operator names a folder for them with PERENNIAL_FILES", param="settings.url")
    try:
        wanted = Path(unquote(parts.path)).resolve()
    except (OSError, ValueError) as error:
        raise Invalid(f"settings.url is no path: {error}", param="settings.url") from error
    if parts.netloc or not wanted.is_relative_to(allowed.resolve()):
        raise Invalid(f"settings.url must be a folder under file://{allowed}", param="settings.url")
    return wanted


def requests(settings: Settings, secrets: Secrets, objects: Sequence[Object]) -> list[Request]:
    blob = ((b"x-ms-blob-type", b"BlockBlob"),) if _split(settings.url).scheme == "az" else ()
    return [
        Request(method="PUT", url=_sign(settings, secrets, one.name), body=one.content, content_type=one.content_type, headers=blob)
        for one in objects
    ]


def _sign(settings: Settings, secrets: Secrets, name: str) -> str:
    try:
        store = _STORES[_split(settings.url).scheme](settings, secrets)
        return obstore.sign(store, "PUT", name, SIGNED_FOR)
    except (BaseError, ValueError) as error:  # its text may show a key
        raise Invalid(
            f"the keys do not sign for {settings.url} ({type(error).__name__}); look at the secrets and the region", param="secrets"
        ) from None


def _s3(settings: Settings, secrets: Secrets) -> Store:
    bucket, prefix = _parts(settings.url)
    config: S3Config = {
        "region": settings.region or "us-east-1",
        "access_key_id": _needed(secrets.access_key_id, "access_key_id"),
        "secret_access_key": _needed(secrets.secret_access_key, "secret_access_key"),
    }
    if secrets.session_token:
        config["session_token"] = secrets.session_token
    if settings.endpoint:
        config["endpoint"] = settings.endpoint
    return S3Store(bucket, prefix=prefix, config=config, client_options={"allow_http": True})


def _gs(settings: Settings, secrets: Secrets) -> Store:
    bucket, prefix = _parts(settings.url)
    if settings.endpoint:
        raise Invalid("settings.endpoint is of s3 and az; leave it out", param="settings.endpoint")
    config: GCSConfig = {"service_account_key": _needed(secrets.service_account_key, "service_account_key")}
    return GCSStore(bucket, prefix=prefix, config=config, client_options={"allow_http": True})


def _az(settings: Settings, secrets: Secrets) -> Store:
    account, path = _parts(settings.url)
    container, _, prefix = (path or "").partition("/")
    if not container:
        raise Invalid("settings.url names no container: az://account/container/path", param="settings.url")
    config: AzureConfig = {"account_name": account, "account_key": _needed(secrets.account_key, "account_key")}
    if settings.endpoint:
        config["endpoint"] = settings.endpoint
    return AzureStore(container, prefix=prefix or None, config=config, client_options={"allow_http": True})


_STORES = {"s3": _s3, "gs": _gs, "az": _az}


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError as error:
        raise Invalid(f"settings.url cannot be read: {error}", param="settings.url") from error


def _parts(url: str) -> tuple[str, str | None]:
    parts = _split(url)
    if not parts.netloc or "@" in parts.netloc or parts.query or parts.fragment or ".." in PurePosixPath(parts.path).parts:
        raise Invalid("settings.url must be a bucket and a path, such as s3://bucket/path", param="settings.url")
    return parts.netloc, parts.path.strip("/") or None


def _needed(secret: str | None, name: str) -> str:
    if not secret:
        raise Invalid(f"secrets.{name} is needed for this kind of address", param=f"secrets.{name}")
    return secret


# What they say --------------------------------------------------------------------------------------------------------------------


@value
class Column:
    name: str
    bigquery: str
    duckdb: str
    is_list: bool = False


def _text(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name=name, bigquery="STRING", duckdb="VARCHAR") for name in names)


def _moments(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name=name, bigquery="TIMESTAMP", duckdb="TIMESTAMPTZ") for name in names)


def _texts(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name=name, bigquery="STRING", duckdb="VARCHAR[]", is_list=True) for name in names)


def _numbers(bigquery: str, duckdb: str, *names: str) -> tuple[Column, ...]:
    return tuple(Column(name=name, bigquery=bigquery, duckdb=duckdb) for name in names)


# Columns are only ever added, at the end. `body` is the whole event, as webhooks have it, in JSON.
COLUMNS = (
    *_text("event_id", "event_type", "event_name"),
    *_moments("happened_at", "told_at"),
    *_text("environment", "store", "app_id", "app_user_id", "original_app_user_id"),
    *_texts("aliases"),
    *_text("product_id", "new_product_id", "period_type"),
    *_moments("purchased_at", "expiration_at"),
    *_text("transaction_id", "original_transaction_id"),
    *_texts("entitlement_ids"),
    *_text("presented_offering_id", "offer_code", "country_code", "currency"),
    *_numbers("NUMERIC", "DECIMAL(38,9)", "price", "price_in_purchased_currency", "revenue"),
    *_numbers("FLOAT64", "DOUBLE", "tax_percentage", "commission_percentage"),
    *_numbers("INT64", "BIGINT", "renewal_number", "sequence"),
    *_numbers("BOOL", "BOOLEAN", "is_trial_conversion", "is_family_share"),
    *_text("cancel_reason", "expiration_reason", "body"),
)

SCHEMA = [
    {
        "name": column.name,
        "type": column.bigquery,
        "mode": "REPEATED" if column.is_list else "REQUIRED" if column.name in ("event_id", "event_type") else "NULLABLE",
    }
    for column in COLUMNS
]


def item(event: Event) -> Item:
    """A row. Moments are ISO 8601, as both readers take them; lists are never null, as BigQuery knows no null list."""
    said = {column.name: event.get(column.name) for column in COLUMNS}
    derived = {
        "event_id": event["id"],
        "event_type": event["type"],
        "event_name": reading.name(event),
        "happened_at": reading.timestamp(event),
        "told_at": reading.moment(from_ms(event["event_timestamp_ms"])),
        "purchased_at": _moment(event.get("purchased_at_ms")),
        "expiration_at": _moment(event.get("expiration_at_ms")),
        "revenue": reading.revenue(event),
        "sequence": event.get("perennial", {}).get("sequence"),
        "body": msgspec.json.encode(event).decode(),
    }
    lists = {column.name: said[column.name] or [] for column in COLUMNS if column.is_list}
    return {**said, **derived, **lists}


def _moment(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else reading.moment(from_ms(milliseconds))


def objects(settings: Settings, batch: str, rows: Sequence[Mapping[str, Any]]) -> list[Object]:
    """The schema first: whoever finds the data finds its description."""
    schema = Object(name="schema.json", content=msgspec.json.format(msgspec.json.encode(SCHEMA), indent=2), content_type="application/json")
    lines = b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
    if settings.format == "parquet":
        return [schema, Object(name=f"events/{batch}.parquet", content=_parquet(lines), content_type="application/vnd.apache.parquet")]
    return [schema, Object(name=f"events/{batch}.ndjson", content=lines, content_type="application/x-ndjson")]


def _parquet(lines: bytes) -> bytes:
    """DuckDB reads and writes files alone, so it is given a folder for the moment."""
    import duckdb  # large, and few have such files written: not every command should wait for it

    types = {column.name: column.duckdb for column in COLUMNS}
    with tempfile.TemporaryDirectory(prefix="perennial-files-") as place:
        source, target = Path(place) / "rows.ndjson", Path(place) / "rows.parquet"
        source.write_bytes(lines)
        with duckdb.connect(config={"autoinstall_known_extensions": "false", "threads": "1", "memory_limit": "256MB"}) as connection:
            read = connection.read_json(str(source), columns=types, format="newline_delimited", maximum_object_size=len(lines) + 1)
            read.write_parquet(str(target), compression="zstd")
        return target.read_bytes()
