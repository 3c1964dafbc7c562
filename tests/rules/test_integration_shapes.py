"""What each receiver is sent, field by field, as its own documentation has it; and what its answers mean."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import duckdb
import pytest

import perennial
from perennial.base.errors import Invalid
from perennial.base.ids import EndpointId
from perennial.base.outgoing import Reply
from perennial.base.time import EPOCH
from perennial.events.model import EVENT_TYPES, Shipment
from perennial.providers.integrations import KINDS, RECEIVERS, Integrations, amplitude, files, firebase, mixpanel, posthog, reading, segment, slack
from perennial.providers.integrations.model import Item, Judgement, Receiver, Request, Skipped

NOON = datetime(2030, 5, 1, 12, tzinfo=UTC)
SENT_AT = datetime(2030, 5, 1, 12, 0, 7, 500_000, tzinfo=UTC)
NOON_MS = 1_903_867_200_000
UUID = "6ce968fb-b3eb-5a5b-9b3d-e5473546ae6d"


def event(kind: str = "INITIAL_PURCHASE", **fields: Any) -> dict[str, Any]:
    body = {
        "type": kind,
        "id": UUID,
        "app_id": "app_1",
        "event_timestamp_ms": NOON_MS + 5000,
        "app_user_id": "ada",
        "original_app_user_id": "$RCAnonymousID:1",
        "aliases": ["ada", "$RCAnonymousID:1"],
        "subscriber_attributes": {"$email": {"value": "ada@example.com", "updated_at_ms": 1}},
        "product_id": "pro_monthly",
        "period_type": "NORMAL",
        "purchased_at_ms": NOON_MS,
        "expiration_at_ms": NOON_MS + 86_400_000,
        "store": "APP_STORE",
        "environment": "PRODUCTION",
        "presented_offering_id": "default",
        "transaction_id": "t2",
        "original_transaction_id": "t1",
        "is_family_share": False,
        "country_code": "DE",
        "offer_code": None,
        "renewal_number": 1,
        "price": None,
        "currency": "EUR",
        "price_in_purchased_currency": 9.99,
        "tax_percentage": 0.19,
        "commission_percentage": 0.15,
        "takehome_percentage": 0.85,
        "entitlement_id": None,
        "entitlement_ids": ["pro"],
        "perennial": {"sequence": 3, "happened_at_ms": NOON_MS},
    }
    return {**body, **fields}


def attributed(**attributes: str) -> dict[str, Any]:
    return {"subscriber_attributes": {f"${name}": {"value": one, "updated_at_ms": 1} for name, one in attributes.items()}}


TRANSFER = {
    "type": "TRANSFER",
    "id": UUID,
    "app_id": "app_1",
    "event_timestamp_ms": NOON_MS,
    "store": "APP_STORE",
    "environment": "PRODUCTION",
    "transferred_from": ["ada"],
    "transferred_to": ["<grace>"],
    "perennial": {"sequence": 1, "happened_at_ms": NOON_MS},
}
REFUND = event("CANCELLATION", cancel_reason="CUSTOMER_SUPPORT", price_in_purchased_currency=-9.99)

PROPERTIES = {
    "app_id": "app_1",
    "app_user_id": "ada",
    "original_app_user_id": "$RCAnonymousID:1",
    "aliases": ["ada", "$RCAnonymousID:1"],
    "subscriber_attributes": {"$email": "ada@example.com"},
    "product_id": "pro_monthly",
    "period_type": "NORMAL",
    "purchased_at": "2030-05-01T12:00:00.000Z",
    "expiration_at": "2030-05-02T12:00:00.000Z",
    "store": "APP_STORE",
    "environment": "PRODUCTION",
    "presented_offering_id": "default",
    "transaction_id": "t2",
    "original_transaction_id": "t1",
    "is_family_share": False,
    "country_code": "DE",
    "offer_code": None,
    "renewal_number": 1,
    "price": None,
    "currency": "EUR",
    "revenue": 9.99,
    "tax_percentage": 0.19,
    "commission_percentage": 0.15,
    "takehome_percentage": 0.85,
    "entitlement_id": None,
    "entitlement_ids": ["pro"],
}


def made(item: Item | Skipped) -> Item:
    assert not isinstance(item, Skipped)
    return item


def asked(receiver: Receiver, settings: dict[str, Any], secrets: dict[str, str], *events: dict[str, Any]) -> Request:
    items = [made(receiver.item(one)) for one in events]
    return receiver.request(receiver.settings(**settings), receiver.secrets(**secrets), items, SENT_AT)


def body(request: Request) -> Any:
    return json.loads(request.body)


# Every receiver -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "name"),
    [
        (event(), "rc_initial_purchase_event"),
        (event(period_type="TRIAL"), "rc_trial_started_event"),
        (event("RENEWAL", is_trial_conversion=False), "rc_renewal_event"),
        (event("RENEWAL", is_trial_conversion=True), "rc_trial_converted_event"),
        (event("CANCELLATION"), "rc_cancellation_event"),
        (event("CANCELLATION", period_type="TRIAL"), "rc_trial_cancelled_event"),
        (event("UNCANCELLATION"), "rc_uncancellation_event"),
        (event("NON_RENEWING_PURCHASE"), "rc_non_subscription_purchase_event"),
        (event("SUBSCRIPTION_PAUSED"), "rc_subscription_paused_event"),
        (event("EXPIRATION", period_type="TRIAL"), "rc_expiration_event"),
        (event("BILLING_ISSUE"), "rc_billing_issue_event"),
        (event("PRODUCT_CHANGE"), "rc_product_change_event"),
        (event("REFUND"), "rc_refund_event"),
        (event("TEST"), "rc_test_event"),
    ],
)
def test_names_are_the_vendors(told: dict[str, Any], name: str) -> None:
    assert reading.name(told) == name
    if name != "rc_test_event":
        assert made(segment.item(told))["event"] == made(posthog.item(told))["event"] == made(mixpanel.item(told))["event"] == name
        assert made(amplitude.item(told))["event_type"] == name


@pytest.mark.parametrize(
    ("told", "revenue"),
    [
        (event(), 9.99),
        (event("RENEWAL"), 9.99),
        (event("NON_RENEWING_PURCHASE"), 9.99),
        (event(period_type="TRIAL", price_in_purchased_currency=0.0), 0.0),
        (event(price_in_purchased_currency=None), None),
        (event("CANCELLATION"), 0.0),
        (event("EXPIRATION"), 0.0),
        (event("PRODUCT_CHANGE"), 0.0),
        (REFUND, -9.99),
        (event("REFUND", price_in_purchased_currency=-4.0), -4.0),
        (event("REFUND_REVERSED"), 9.99),
    ],
)
def test_money_counts_once_and_a_refund_is_negative(told: dict[str, Any], revenue: float | None) -> None:
    assert reading.revenue(told) == revenue
    assert reading.properties(told)["revenue"] == revenue


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("type_", [one.upper() for one in EVENT_TYPES])
def test_every_receiver_knows_what_to_do_with_every_event(kind: str, type_: str) -> None:
    told = TRANSFER if type_ == "TRANSFER" else event(type_, **attributed(firebaseAppInstanceId="f" * 32))
    item = files.item(told) if kind == files.KIND else RECEIVERS[kind].item(told)
    assert isinstance(item, Skipped) == (type_ == "TRANSFER" and kind not in ("slack", "files"))
    assert isinstance(item, Skipped) or json.dumps(item)


def test_the_vendors_word_for_the_deterministic_id_is_each_receivers_key() -> None:
    assert made(segment.item(event()))["messageId"] == UUID
    assert made(posthog.item(event()))["uuid"] == UUID
    assert made(amplitude.item(event()))["insert_id"] == UUID
    assert made(mixpanel.item(event()))["properties"]["$insert_id"] == UUID
    assert files.item(event())["event_id"] == UUID


@pytest.mark.parametrize(
    ("module", "attribute", "key"),
    [(segment, "segmentId", "userId"), (posthog, "posthogUserId", "distinct_id")],
)
def test_an_attribute_set_for_the_tool_names_the_user(module: Any, attribute: str, key: str) -> None:
    assert module.item(event())[key] == "ada"
    assert module.item(event(**attributed(**{attribute: "tool-7"})))[key] == "tool-7"
    assert mixpanel.item(event(**attributed(mixpanelDistinctId="m")))["properties"]["distinct_id"] == "m"  # type: ignore[index]


# One by one -----------------------------------------------------------------------------------------------------------------------


def test_segment() -> None:
    request = asked(segment.RECEIVER, {"base_url": "https://events.eu1.segmentapis.com/"}, {"write_key": "wk"}, event(), REFUND)
    assert (request.method, request.url, request.content_type) == ("POST", "https://events.eu1.segmentapis.com/v1/batch", "application/json")
    assert request.headers == ((b"Authorization", b"Basic " + base64.b64encode(b"wk:")),)
    sent = body(request)
    assert sent.keys() == {"batch", "sentAt"} and sent["sentAt"] == "2030-05-01T12:00:07.500Z"
    assert sent["batch"][0] == {
        "type": "track",
        "messageId": UUID,
        "userId": "ada",
        "event": "rc_initial_purchase_event",
        "timestamp": "2030-05-01T12:00:00.000Z",
        "properties": PROPERTIES,
        "context": {"environment": "production", "library": {"name": "perennial", "version": perennial.__version__}},
    }
    assert (sent["batch"][1]["properties"]["revenue"], sent["batch"][1]["properties"]["cancel_reason"]) == (-9.99, "CUSTOMER_SUPPORT")


def test_posthog() -> None:
    request = asked(posthog.RECEIVER, {}, {"api_key": "phc_1"}, event())
    assert (request.url, request.headers) == ("https://us.i.posthog.com/batch/", ())
    assert body(request) == {
        "api_key": "phc_1",
        "historical_migration": False,
        "batch": [
            {
                "uuid": UUID,
                "event": "rc_initial_purchase_event",
                "distinct_id": "ada",
                "timestamp": "2030-05-01T12:00:00.000Z",
                "properties": {**PROPERTIES, "$lib": "perennial"},
            }
        ],
    }


def test_amplitude() -> None:
    request = asked(amplitude.RECEIVER, {"base_url": "https://api.eu.amplitude.com"}, {"api_key": "k"}, event(), event("EXPIRATION"))
    assert (request.url, request.headers) == ("https://api.eu.amplitude.com/2/httpapi", ())
    sent = body(request)
    assert (sent["api_key"], sent["options"], sent.keys()) == ("k", {"min_id_length": 1}, {"api_key", "options", "events"})
    assert sent["events"][0] == {
        "user_id": "ada",
        "event_type": "rc_initial_purchase_event",
        "time": NOON_MS,
        "insert_id": UUID,
        "platform": "iOS",
        "country": "DE",
        "revenue": 9.99,
        "productId": "pro_monthly",
        "revenueType": "purchase",
        "currency": "EUR",
        "event_properties": PROPERTIES,
    }
    assert "revenue" not in sent["events"][1], "no money moved"
    refund = made(amplitude.item(REFUND))
    assert (refund["revenue"], refund["revenueType"]) == (-9.99, "refund")


def test_amplitude_gets_the_ids_there_are_for_it() -> None:
    both = made(amplitude.item(event(**attributed(amplitudeUserId="u", amplitudeDeviceId="d"))))
    assert (both["user_id"], both["device_id"]) == ("u", "d")
    device = made(amplitude.item(event(**attributed(amplitudeDeviceId="d"))))
    assert device["device_id"] == "d" and "user_id" not in device


def test_mixpanel() -> None:
    request = asked(mixpanel.RECEIVER, {}, {"token": "tok"}, event())
    assert request.url == "https://api.mixpanel.com/import?strict=1"
    assert request.headers == ((b"Authorization", b"Basic " + base64.b64encode(b"tok:")),)
    expected = {**PROPERTIES, "time": NOON_MS, "distinct_id": "ada", "$insert_id": UUID}
    assert body(request) == [{"event": "rc_initial_purchase_event", "properties": expected}]


def analytics(told: dict[str, Any]) -> dict[str, Any]:
    return dict(body(asked(firebase.RECEIVER, {"firebase_app_id": "1:2:ios:3"}, {"api_secret": "s/=&"}, told)))


IN_APP = attributed(firebaseAppInstanceId="f" * 32)


def test_firebase_purchase() -> None:
    request = asked(firebase.RECEIVER, {"firebase_app_id": "1:2:ios:3"}, {"api_secret": "s/=&"}, event(**IN_APP))
    parts = urlsplit(request.url)
    assert (parts.netloc, parts.path) == ("www.google-analytics.com", "/mp/collect")
    assert parse_qs(parts.query) == {"firebase_app_id": ["1:2:ios:3"], "api_secret": ["s/=&"]}
    assert body(request) == {
        "app_instance_id": "f" * 32,
        "user_id": "ada",
        "timestamp_micros": NOON_MS * 1000,
        "events": [
            {
                "name": "purchase",
                "params": {
                    "event_id": UUID,
                    "product_id": "pro_monthly",
                    "period_type": "NORMAL",
                    "purchased_at": NOON_MS * 1000,
                    "expiration_at": (NOON_MS + 86_400_000) * 1000,
                    "environment": "PRODUCTION",
                    "presented_offering_id": "default",
                    "transaction_id": "t2",
                    "original_transaction_id": "t1",
                    "original_app_user_id": "$RCAnonymousID:1",
                    "app_id": "app_1",
                    "affiliation": "APP_STORE",
                    "currency": "EUR",
                    "value": 9.99,
                    "items": [{"item_id": "pro_monthly", "affiliation": "APP_STORE", "price": 9.99, "quantity": 1}],
                    "is_renewal": False,
                    "is_trial_conversion": False,
                },
            }
        ],
    }


def test_firebase_names_and_money() -> None:
    def told(one: dict[str, Any]) -> list[tuple[str, Any]]:
        return [(part["name"], part["params"].get("value")) for part in analytics(one)["events"]]

    assert told(event("RENEWAL", is_trial_conversion=True, **IN_APP)) == [("purchase", 9.99)]
    assert told(event(period_type="TRIAL", price_in_purchased_currency=0.0, **IN_APP)) == [("rc_trial_start", None)]
    assert told(event(period_type="TRIAL", price_in_purchased_currency=50.0, **IN_APP)) == [("purchase", 50.0)]
    assert told(event("CANCELLATION", **IN_APP)) == [("rc_cancellation", None)]
    assert told(event("PRODUCT_CHANGE", **IN_APP)) == [("rc_product_change", None)]
    change = event("PRODUCT_CHANGE", **IN_APP)
    change["perennial"] = {**change["perennial"], "proration": {"transaction_id": "t3", "price_in_purchased_currency": 5.0, "currency": "EUR"}}
    assert told(change) == [("rc_product_change", None), ("purchase", 5.0)]
    assert reading.revenue(change) == 5.0
    assert told({**REFUND, **IN_APP}) == [("rc_cancellation", None), ("refund", 9.99)]
    assert told(event("REFUND", price_in_purchased_currency=-4.0, **IN_APP)) == [("refund", 4.0)]
    assert told(event("EXPIRATION", **IN_APP)) == [("rc_expiration", None)]


def test_firebase_fits_googles_limits() -> None:
    long = event("CANCELLATION", original_app_user_id="x" * 300, cancel_reason="CUSTOMER_SUPPORT", price_in_purchased_currency=-1.0, **IN_APP)
    for part in analytics(long)["events"]:
        assert len(part["name"]) <= 40 and len(part["params"]) <= 25
        assert all(len(name) <= 40 and (not isinstance(one, str) or len(one) <= 100) for name, one in part["params"].items())
        assert None not in part["params"].values()


def test_firebase_needs_an_instance_and_names_no_anonymous_user() -> None:
    skipped = firebase.item(event())
    assert isinstance(skipped, Skipped)
    assert skipped.reason == "skipped: the customer has no attribute $firebaseAppInstanceId, by which Google Analytics knows them"
    assert "user_id" not in analytics(event(app_user_id="$RCAnonymousID:1", **IN_APP))


def test_a_test_goes_to_googles_validation_server() -> None:
    request = asked(firebase.RECEIVER, {"firebase_app_id": "1:2:ios:3"}, {"api_secret": "s"}, event("TEST"))
    assert urlsplit(request.url).path == "/debug/mp/collect"
    wrong = b'{"validationMessages": [{"fieldPath": "events", "description": "Event at index: [0] has invalid name"}]}'
    assert firebase.judge(Reply(status=200, headers={}, content=wrong)) == Judgement(
        refused={0: "not valid: Event at index: [0] has invalid name"}, took_the_others=True
    )
    assert firebase.judge(Reply(status=200, headers={}, content=b'{"validationMessages": []}')) is None
    assert firebase.judge(Reply(status=204, headers={}, content=b"")) is None


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        (event(), "*ada* subscribed to `pro_monthly` for 9.99 EUR."),
        (event(period_type="TRIAL", price_in_purchased_currency=0.0), "*ada* started a free trial of `pro_monthly`."),
        (event("RENEWAL", is_trial_conversion=True), "*ada* went on after the free trial of `pro_monthly` for 9.99 EUR."),
        (event("RENEWAL"), "*ada* renewed `pro_monthly` for 9.99 EUR."),
        (event("CANCELLATION", cancel_reason="UNSUBSCRIBE"), "The subscription of *ada* to `pro_monthly` will not renew (turned off renewal)."),
        (REFUND, "The subscription of *ada* to `pro_monthly` will not renew (refunded by support) and gave back 9.99 EUR."),
        (event("EXPIRATION", expiration_reason="BILLING_ERROR"), "The subscription of *ada* to `pro_monthly` ended (could not be charged)."),
        (event("PRODUCT_CHANGE", new_product_id="pro_annual"), "*ada* changed from `pro_monthly` to `pro_annual`."),
        (event(app_user_id="<!channel> & co"), "*&lt;!channel&gt; &amp; co* subscribed to `pro_monthly` for 9.99 EUR."),
        (TRANSFER, "Purchases moved from *ada* to *&lt;grace&gt;*."),
    ],
)
def test_slack_reads_like_a_sentence(told: dict[str, Any], sentence: str) -> None:
    assert slack.item(told)["text"] == sentence


def test_slack() -> None:
    request = asked(slack.RECEIVER, {}, {"url": "https://hooks.slack.com/services/T/B/x"}, event(environment="SANDBOX"))
    assert request.url == "https://hooks.slack.com/services/T/B/x"
    sentence = "*ada* subscribed to `pro_monthly` for 9.99 EUR."
    assert body(request) == {
        "text": sentence,
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": sentence}},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": "App Store · DE · sandbox · 2030-05-01 12:00 UTC"}]},
        ],
    }


# Files ----------------------------------------------------------------------------------------------------------------------------

S3 = files.Settings(url="s3://bucket/some/path", region="eu-central-1")
S3_KEYS = files.Secrets(access_key_id="AK", secret_access_key="SK")
BATCH = "dt=2030-05-01/batch_01"


def test_a_row_has_every_column_of_the_schema() -> None:
    row = files.item(event())
    assert list(row) == [column["name"] for column in files.SCHEMA]
    expected = {
        "event_id": UUID,
        "event_type": "INITIAL_PURCHASE",
        "event_name": "rc_initial_purchase_event",
        "happened_at": "2030-05-01T12:00:00.000Z",
        "told_at": "2030-05-01T12:00:05.000Z",
        "aliases": ["ada", "$RCAnonymousID:1"],
        "price": None,
        "price_in_purchased_currency": 9.99,
        "revenue": 9.99,
        "renewal_number": 1,
        "sequence": 3,
        "is_family_share": False,
        "is_trial_conversion": None,
    }
    assert expected.items() <= row.items()
    assert json.loads(row["body"]) == event()
    assert files.item(TRANSFER)["aliases"] == [] and files.item(TRANSFER)["app_user_id"] is None


def test_the_schema_is_what_bigquery_takes() -> None:
    assert {"name": "event_id", "type": "STRING", "mode": "REQUIRED"} in files.SCHEMA
    assert {"name": "aliases", "type": "STRING", "mode": "REPEATED"} in files.SCHEMA
    assert {column["type"] for column in files.SCHEMA} <= {"STRING", "TIMESTAMP", "NUMERIC", "FLOAT64", "INT64", "BOOL"}
    assert {column["mode"] for column in files.SCHEMA} == {"REQUIRED", "NULLABLE", "REPEATED"}


@pytest.mark.parametrize("form", ["ndjson", "parquet"])
def test_objects_say_the_same_in_both_forms_and_every_time(form: Any, tmp_path: Path) -> None:
    rows = [files.item(event()), files.item(TRANSFER), files.item(REFUND)]
    settings = files.Settings(url="s3://bucket", format=form)
    schema, data = files.objects(settings, BATCH, rows)
    assert (schema.name, json.loads(schema.content)) == ("schema.json", files.SCHEMA)
    assert data.name == f"events/dt=2030-05-01/batch_01.{form}"
    assert files.objects(settings, BATCH, rows)[1].content == data.content
    path = tmp_path / f"data.{form}"
    path.write_bytes(data.content)
    read = duckdb.sql(
        f"SELECT event_type, epoch_ms(happened_at::TIMESTAMPTZ), revenue::VARCHAR, len(aliases), body FROM '{path}'"
        if form == "parquet"
        else f"SELECT event_type, epoch_ms(happened_at::TIMESTAMPTZ), revenue::VARCHAR, len(aliases), body FROM read_json('{path}')"
    ).fetchall()
    zeros = "0000000" if form == "parquet" else ""
    assert [line[:4] for line in read] == [
        ("INITIAL_PURCHASE", NOON_MS, f"9.99{zeros}", 2),
        ("TRANSFER", NOON_MS, "0.000000000" if form == "parquet" else "0.0", 0),
        ("CANCELLATION", NOON_MS, f"-9.99{zeros}", 2),
    ]


def test_parquet_columns_have_bigquerys_types(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    path.write_bytes(files.objects(files.Settings(url="s3://b", format="parquet"), BATCH, [files.item(event())])[1].content)
    types = {row[0]: row[1] for row in duckdb.sql(f"DESCRIBE SELECT * FROM '{path}'").fetchall()}
    assert types == {column.name: column.duckdb.replace("TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE") for column in files.COLUMNS}


def test_a_put_into_a_bucket_is_signed_and_goes_where_it_should() -> None:
    data = files.Object(name="events/dt=1/b.ndjson", content=b"{}", content_type="application/x-ndjson")
    (s3,) = files.requests(S3, S3_KEYS, [data])
    parts = urlsplit(s3.url)
    assert (s3.method, parts.netloc, parts.path) == ("PUT", "s3.eu-central-1.amazonaws.com", "/bucket/some/path/events/dt%3D1/b.ndjson")
    assert parse_qs(parts.query)["X-Amz-SignedHeaders"] == ["host"] and "SK" not in s3.url
    key = base64.b64encode(b"k" * 32).decode()
    (az,) = files.requests(files.Settings(url="az://acc/cont/p"), files.Secrets(account_key=key), [data])
    assert az.url.startswith("https://acc.blob.core.windows.net/cont/p/events/") and az.headers == ((b"x-ms-blob-type", b"BlockBlob"),)


@pytest.mark.parametrize(
    ("settings", "secrets", "param"),
    [
        ({"url": "s3://bucket"}, {}, "secrets.access_key_id"),
        ({"url": "gs://bucket"}, {}, "secrets.service_account_key"),
        ({"url": "gs://bucket"}, {"service_account_key": "{}"}, "secrets"),
        ({"url": "az://account"}, {"account_key": "a2V5"}, "settings.url"),
        ({"url": "ftp://x"}, {}, "settings.url"),
        ({"url": "s3://bucket/../x"}, {"access_key_id": "a", "secret_access_key": "b"}, "settings.url"),
        ({"url": "file:///etc"}, {}, "settings.url"),
        ({"url": "file:///srv/files/../../etc"}, {}, "settings.url"),
        ({"url": "s3://b", "every_minutes": 0}, {}, "settings.every_minutes"),
        ({"url": "s3://b", "format": "csv"}, {}, "settings.format"),
        ({"url": "s3://b", "colour": "red"}, {}, "settings"),
    ],
)
def test_files_that_may_not_be(settings: dict[str, Any], secrets: dict[str, str], param: str) -> None:
    carrier = Integrations(allow_internal=True, files_folder=Path("/srv/files"))
    with pytest.raises(Invalid) as trouble:
        carrier.check("files", settings, secrets)
    assert trouble.value.param == param


def test_a_folder_is_the_operators_to_give() -> None:
    given = files.Settings(url="file:///srv/files/events")
    assert files.folder(given, Path("/srv/files")) == Path("/srv/files/events")
    with pytest.raises(Invalid):
        files.folder(given, None)
    configured = Integrations(allow_internal=True, files_folder=Path("/srv/files")).check("files", {"url": given.url, "every_minutes": 5}, {})
    assert configured.gather_for == timedelta(minutes=5)


# Answers --------------------------------------------------------------------------------------------------------------------------


def reply(status: int, content: Any = b"", **headers: str) -> Reply:
    return Reply(status=status, headers=headers, content=content if isinstance(content, bytes) else json.dumps(content).encode())


def test_amplitude_names_what_it_refuses_and_wants_the_rest_again() -> None:
    refusal = {
        "code": 400,
        "error": "Request missing required field",
        "events_with_invalid_fields": {"time": [3]},
        "events_with_missing_fields": {"event_type": [0, 2]},
        "silenced_events": [5],
    }
    assert amplitude.judge(reply(400, refusal)) == Judgement(
        refused={
            0: "answered 400: the event lacks event_type",
            2: "answered 400: the event lacks event_type",
            3: "answered 400: the event is refused for time",
            5: "answered 400: the event's device is silenced",
        },
        took_the_others=False,
    )
    assert amplitude.judge(reply(400, {"code": 400, "error": "Invalid API key: k"})) is None
    assert amplitude.judge(reply(400, b"<html>")) is None and amplitude.judge(reply(200, {"code": 200})) is None


def test_mixpanel_takes_what_it_can() -> None:
    refusal = {
        "code": 400,
        "num_records_imported": 1,
        "failed_records": [{"index": 1, "insert_id": "x", "field": "time", "message": "'time' is old"}],
    }
    assert mixpanel.judge(reply(400, refusal)) == Judgement(refused={1: "answered 400: 'time' is old"}, took_the_others=True)
    assert mixpanel.judge(reply(400, {"error": "bad token"})) is None


def test_a_receivers_words_show_no_secret() -> None:
    secrets = {"api_key": "k/very secret"}
    said = b'{"error":\n "Invalid key k/very secret, k%2Fvery%20secret and ' + base64.b64encode(b"k/very secret:") + b'"}\x00'
    assert reading.words(said, secrets) == '{"error": "Invalid key ***, *** and ***"}'
    assert len(reading.words(b"x" * 10_000, {})) == 300


def test_retry_after_is_read_in_seconds() -> None:
    assert reading.retry_after({"retry-after": " 30"}) == 30
    for text in ("", "soon", "-1", "Wed, 21 Oct 2030 07:28:00 GMT", "9" * 20):
        assert reading.retry_after({"retry-after": text}) is None


def test_a_shipment_shows_no_secret() -> None:
    shipment = Shipment(
        endpoint_id=EndpointId("intgr_1"),
        kind="slack",
        settings={},
        secrets={"url": "https://hooks.example/secret"},
        events=(event(),),
        batch=None,
        sent_at=EPOCH,
        within=timedelta(seconds=1),
    )
    assert "secret" not in repr(shipment)
    assert "secret" not in repr(asked(slack.RECEIVER, {}, {"url": "https://hooks.example/secret"}, event()))


@pytest.mark.parametrize("url", ["ftp://x", "https://", "https://a:b@c", "https://x?y=1", "https://x#y", "https://x y", "https://[::1"])
def test_an_address_paths_cannot_be_put_behind(url: str) -> None:
    with pytest.raises(Invalid) as trouble:
        reading.check_base(url, "settings.base_url")
    assert trouble.value.param == "settings.base_url"
    assert reading.check_base("https://posthog.example/ingest/", "x") == "https://posthog.example/ingest"
