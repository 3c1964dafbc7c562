"""What SDKs report: events, diagnostics of themselves, and where a customer came from.

Events are kept, a batch in one statement. Diagnostics are counted in this process's metrics and not kept. Both answer the same whatever
was in them: an SDK would send what was refused again and again, or lose what was good beside it.
"""

from typing import Any

from litestar import Response, post
from litestar.params import FromPath, JSONBody

from perennial import customers, telemetry
from perennial.api.auth import HttpRequest, app_of, caller_of
from perennial.api.observe import OBSERVED
from perennial.api.v1.answers import to_json
from perennial.api.v1.wire import AdServicesAttribution, Attribution, Diagnostics, Events
from perennial.catalog.model import Caller
from perennial.customers.model import Attribute

MOST_ENTRIES = 1000  # diagnostics of one request

# The names SDKs use; others are counted together, so that no caller can make the metrics grow.
DIAGNOSTICS = frozenset(
    {
        "amazon_purchase_attempt",
        "amazon_query_product_details_request",
        "amazon_query_purchases_request",
        "apple_app_transaction_error",
        "apple_present_code_redemption_sheet_request",
        "apple_products_request",
        "apple_purchase_attempt",
        "apple_purchase_intent_received",
        "apple_transaction_queue_received",
        "apple_transaction_update_received",
        "apple_trial_or_intro_eligibility_request",
        "clearing_diagnostics_after_failed_sync",
        "customer_info_verification_result",
        "entered_offline_entitlements_mode",
        "error_entering_offline_entitlements_mode",
        "get_customer_info_result",
        "get_customer_info_started",
        "get_offerings_result",
        "get_offerings_started",
        "get_products_result",
        "get_products_started",
        "google_billing_service_disconnected",
        "google_billing_setup_finished",
        "google_billing_start_connection",
        "google_purchase_started",
        "google_purchase_update_received",
        "google_query_product_details_request",
        "google_query_purchase_history_request",
        "google_query_purchases_request",
        "http_request_performed",
        "max_diagnostics_sync_retries_reached",
        "max_events_stored_limit_reached",
        "product_details_not_supported",
        "purchase_result",
        "purchase_started",
        "restore_purchases_result",
        "restore_purchases_started",
        "sync_purchases_result",
        "sync_purchases_started",
    }
)


@post("/v1/events", operation_id="post_events", summary="Events of SDKs", status_code=200)
async def post_events(request: HttpRequest, data: JSONBody[Events]) -> Response[bytes]:
    """Kept for 90 days. What cannot be read is left out."""
    caller = await caller_of(request)
    async with app_of(request).database.transaction(caller.project_id) as tx:
        read = [telemetry.read_event(sent, caller.app_id, tx.now) for sent in data.events[: telemetry.MOST_EVENTS]]
        events = [event for event in read if event is not None]
        new = await telemetry.keep(tx, events)
    OBSERVED.sdk_events.labels("kept").inc(new)
    OBSERVED.sdk_events.labels("known").inc(len(events) - new)
    OBSERVED.sdk_events.labels("left out").inc(len(data.events) - len(events))
    return to_json({})


@post("/v1/diagnostics", operation_id="post_diagnostics", summary="Diagnostics of SDKs", status_code=200)
async def post_diagnostics(request: HttpRequest, data: JSONBody[Diagnostics]) -> Response[bytes]:
    """Counted in the metrics, by name and outcome."""
    await caller_of(request)
    for entry in data.entries[:MOST_ENTRIES]:
        OBSERVED.sdk_diagnostics.labels(*diagnosed(entry)).inc()
    return to_json({})


def diagnosed(entry: Any) -> tuple[str, str]:
    """The name and outcome an entry is counted under."""
    name = entry.get("name") if isinstance(entry, dict) else None
    properties = entry.get("properties") if isinstance(entry, dict) else None
    success = properties.get("successful") if isinstance(properties, dict) else None
    outcome = {True: "success", False: "failure"}[success] if isinstance(success, bool) else "none"
    return (name if isinstance(name, str) and name in DIAGNOSTICS else "other", outcome)


@post("/v1/subscribers/{app_user_id:str}/attribution", operation_id="post_attribution", summary="What a network said of a customer", status_code=200)
async def post_attribution(request: HttpRequest, app_user_id: FromPath[str], data: JSONBody[Attribution]) -> Response[bytes]:
    """From old SDKs. The latest word of each network is kept; device identifiers in it become attributes."""
    await _attribute(await caller_of(request), request, app_user_id, telemetry.network_name(int(data.network)), data.data)
    return to_json({})


@post(
    "/v1/subscribers/{app_user_id:str}/adservices_attribution",
    operation_id="post_adservices_attribution",
    summary="A token of Apple's ad services",
    status_code=200,
)
async def post_adservices_attribution(request: HttpRequest, app_user_id: FromPath[str], data: JSONBody[AdServicesAttribution]) -> Response[bytes]:
    await _attribute(await caller_of(request), request, app_user_id, "adservices", {"token": data.aad_attribution_token})
    return to_json({})


async def _attribute(caller: Caller, request: HttpRequest, app_user_id: str, network: str, data: dict[str, Any]) -> None:
    async with app_of(request).database.transaction(caller.project_id) as tx:
        ids, _ = await customers.ensure(tx, [app_user_id])
        await telemetry.attribute(tx, ids[app_user_id], network, data)
        attributes = {name: Attribute(value=text, updated_at=tx.now) for name, text in telemetry.attributes_of(data).items()}
        if attributes:
            await customers.set_attributes(tx, ids[app_user_id], attributes)


HANDLERS = [post_events, post_diagnostics, post_attribution, post_adservices_attribution]
