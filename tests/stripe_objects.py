"""Objects as Stripe writes them (endive), for tests: each function gives the smallest one that is whole."""

import json
from datetime import UTC, datetime
from typing import Any

MONTH = 2_678_400  # of 31 days
START = 1_767_225_600  # 2026-01-01
SECRET = "whsec_worlds"


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def price(product: str = "prod_pro", amount: int = 999, currency: str = "usd") -> dict[str, Any]:
    return {"id": f"price_{product}", "object": "price", "product": product, "unit_amount": amount, "currency": currency, "type": "recurring"}


def item(identifier: str = "si_1", *, product: str = "prod_pro", created: int = START, quantity: int = 1, end: int = START + MONTH) -> dict[str, Any]:
    return {
        "id": identifier,
        "object": "subscription_item",
        "created": created,
        "price": price(product),
        "quantity": quantity,
        "current_period_start": START,
        "current_period_end": end,
    }


def subscription(*items: dict[str, Any], **said: Any) -> dict[str, Any]:
    return {
        "id": "sub_1",
        "object": "subscription",
        "status": "active",
        "livemode": False,
        "created": START,
        "start_date": START,
        "customer": "cus_1",
        "items": {"object": "list", "data": list(items) or [item()], "has_more": False},
        "trial_start": None,
        "trial_end": None,
        "cancel_at_period_end": False,
        "cancel_at": None,
        "canceled_at": None,
        "ended_at": None,
        "pause_collection": None,
        "pending_update": None,
        "schedule": None,
        "latest_invoice": "in_1",
        "metadata": {"app_user_id": "ada"},
        **said,
    }


def line(
    amount: int = 999,
    start: int = START,
    end: int = START + MONTH,
    *,
    product: str = "prod_pro",
    item: str | None = "si_1",
    proration: bool = False,
    quantity: int = 1,
) -> dict[str, Any]:
    details = {"proration": proration, "subscription": "sub_1", "subscription_item": item}
    return {
        "id": f"il_{product}_{start}",
        "object": "line_item",
        "amount": amount,
        "period": {"start": start, "end": end},
        "quantity": quantity,
        "parent": {"type": "subscription_item_details", "subscription_item_details": details, "invoice_item_details": None},
        "pricing": {"type": "price_details", "price_details": {"price": f"price_{product}", "product": product}},
    }


def invoice(identifier: str = "in_1", *lines: dict[str, Any], reason: str = "subscription_create", **said: Any) -> dict[str, Any]:
    shown = list(lines) or [line()]
    total = sum(one["amount"] for one in shown)
    return {
        "id": identifier,
        "object": "invoice",
        "status": "paid",
        "livemode": False,
        "created": shown[0]["period"]["start"] if lines else START,
        "currency": "usd",
        "billing_reason": reason,
        "total": total,
        "amount_paid": max(0, total),
        "lines": {"object": "list", "data": shown, "has_more": False},
        "next_payment_attempt": None,
        "customer_address": {"country": "DE"},
        "discounts": [],
        "total_taxes": [],
        "parent": {"type": "subscription_details", "subscription_details": {"subscription": "sub_1", "metadata": {"app_user_id": "ada"}}},
        "payments": {"object": "list", "data": [payment(f"pi_{identifier}")] if total > 0 else [], "has_more": False},
        **said,
    }


def payment(intent: str = "pi_1", amount: int = 999, invoice: str = "in_1") -> dict[str, Any]:
    return {
        "id": f"inpay_{intent}",
        "object": "invoice_payment",
        "invoice": invoice,
        "amount_paid": amount,
        "status": "paid",
        "payment": {"type": "payment_intent", "payment_intent": intent},
    }


def charge(intent: str = "pi_in_1", *refunds: dict[str, Any], amount: int = 999, **said: Any) -> dict[str, Any]:
    return {
        "id": f"ch_{intent}",
        "object": "charge",
        "amount": amount,
        "created": START,
        "currency": "usd",
        "status": "succeeded",
        "disputed": False,
        "payment_intent": intent,
        "balance_transaction": {"id": "txn_1", "object": "balance_transaction", "amount": amount, "fee": 59, "currency": "usd"},
        "refunds": {"object": "list", "data": list(refunds), "has_more": False},
        **said,
    }


def refund(identifier: str = "re_1", amount: int = 999, *, created: int = START + 86_400, status: str = "succeeded") -> dict[str, Any]:
    return {"id": identifier, "object": "refund", "amount": amount, "created": created, "currency": "usd", "status": status, "charge": "ch_pi_in_1"}


def dispute(status: str = "lost", amount: int = 999) -> dict[str, Any]:
    return {
        "id": "dp_1",
        "object": "dispute",
        "amount": amount,
        "created": START + 86_400,
        "currency": "usd",
        "status": status,
        "charge": "ch_pi_in_1",
        "payment_intent": "pi_in_1",
    }


def session(*lines: dict[str, Any], mode: str = "payment", **said: Any) -> dict[str, Any]:
    shown = list(lines) or [{"id": "li_1", "object": "item", "amount_total": 14999, "amount_tax": 2395, "quantity": 1, "price": price("prod_life")}]
    return {
        "id": "cs_test_1",
        "object": "checkout.session",
        "mode": mode,
        "status": "complete",
        "payment_status": "paid",
        "livemode": False,
        "created": START,
        "currency": "usd",
        "amount_total": sum(one["amount_total"] for one in shown),
        "client_reference_id": "ada",
        "customer": "cus_1",
        "customer_details": {"address": {"country": "FR"}},
        "subscription": None if mode == "payment" else "sub_1",
        "payment_intent": "pi_1" if mode == "payment" else None,
        "line_items": {"object": "list", "data": shown, "has_more": False},
        "metadata": {},
        **said,
    }


def event(kind: str, about: object, **said: Any) -> bytes:
    return json.dumps(
        {
            "id": "evt_1",
            "object": "event",
            "api_version": "2026-10-28.endive",
            "type": kind,
            "created": START,
            "livemode": False,
            "data": {"object": about},
            **said,
        }
    ).encode()
