"""The objects of the simulated Stripe, in the shape of its API of 2026-10-28 (endive)."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from perennial.base.money import Money
from perennial.base.time import EPOCH
from perennial.providers.simulated.stripe.model import Back, Charged, Happening, Invoice, Life, Plan
from perennial.providers.simulated.stripe.rules import given_back
from perennial.providers.stripe.api import VERSION
from perennial.providers.stripe.money import to_stripe

Object = dict[str, Any]

FEE_PPM = 29_000  # 2.9 %
FEE_FIXED = 30  # Stripe's minor units
DISPUTE_FEE = 1500  # Stripe's minor units; it stays whoever wins
_PRICE = "price_"
_INTERVALS = {"P1D": ("day", 1), "P1W": ("week", 1), "P1M": ("month", 1), "P3M": ("month", 3), "P6M": ("month", 6), "P1Y": ("year", 1)}


def seconds(at: datetime) -> int:
    return (at - EPOCH) // timedelta(seconds=1)


def maybe_seconds(at: datetime | None) -> int | None:
    return None if at is None else seconds(at)


def page(data: list[Object], *, has_more: bool = False) -> Object:
    return {"object": "list", "data": data, "has_more": has_more}


def customer(life: Life) -> Object:
    address = {"country": life.country} if life.country is not None else None
    return {
        "id": f"cus_{life.code}",
        "object": "customer",
        "created": seconds(life.created_at),
        "livemode": False,
        "address": address,
        "metadata": {},
    }


def price(plan: Plan) -> Object:
    interval, count = _INTERVALS.get(plan.duration or "", ("day", 1))
    return {
        "id": _price_id(plan.product),
        "object": "price",
        "product": plan.product,
        "currency": plan.price.currency.lower(),
        "unit_amount": to_stripe(plan.price),
        "type": "one_time" if plan.duration is None else "recurring",
        "recurring": None if plan.duration is None else {"interval": interval, "interval_count": count, "usage_type": "licensed"},
    }


def subscription(life: Life, expand: Collection[str] = ()) -> Object:
    item = {
        "id": item_id(life),
        "object": "subscription_item",
        "created": seconds(life.created_at),
        "price": price(life.plan),
        "quantity": life.quantity,
        "current_period_start": seconds(life.period_start),
        "current_period_end": seconds(life.period_end),
    }
    planned = schedule(life) if "schedule.phases.items.price" in expand else f"sub_sched_{life.code}"
    pause = {"behavior": life.pause.behavior, "resumes_at": maybe_seconds(life.pause.resumes_at)} if life.pause is not None else None
    return {
        "id": f"sub_{life.code}",
        "object": "subscription",
        "status": life.status,
        "livemode": False,
        "created": seconds(life.created_at),
        "start_date": seconds(life.created_at),
        "billing_cycle_anchor": seconds(life.anchor),
        "customer": customer(life) if "customer" in expand else f"cus_{life.code}",
        "currency": life.plan.price.currency.lower(),
        "items": page([item]),
        "trial_start": maybe_seconds(life.trial_start),
        "trial_end": maybe_seconds(life.trial_end),
        "cancel_at_period_end": life.cancel_at_period_end,
        "cancel_at": seconds(life.period_end) if life.cancel_at_period_end else None,
        "canceled_at": maybe_seconds(life.canceled_at),
        "ended_at": maybe_seconds(life.ended_at),
        "cancellation_details": {"reason": life.end_reason or ("cancellation_requested" if life.canceled_at is not None else None)},
        "pause_collection": pause,
        "pending_update": None,
        "schedule": planned if life.next_plan is not None else None,
        "latest_invoice": invoice_id(life, life.invoices[-1]),
        "metadata": _metadata(life),
    }


def schedule(life: Life) -> Object:
    """The phase that runs and the one planned; released, it has neither."""
    phases = [(life.plan, life.period_start), *([(life.next_plan, life.period_end)] if life.next_plan is not None else [])]
    is_on = life.next_plan is not None
    return {
        "id": f"sub_sched_{life.code}",
        "object": "subscription_schedule",
        "status": "active" if is_on else "released",
        "subscription": f"sub_{life.code}" if is_on else None,
        "released_subscription": None if is_on else f"sub_{life.code}",
        "phases": [{"start_date": seconds(start), "items": [{"price": price(plan), "quantity": life.quantity}]} for plan, start in phases],
    }


def invoice(life: Life, one: Invoice, expand: Collection[str] = ()) -> Object:
    paid = page([invoice_payment(life, one)] if one.paid else [])
    return {
        "id": invoice_id(life, one),
        "object": "invoice",
        "status": one.status,
        "livemode": False,
        "created": seconds(one.created_at),
        "customer": f"cus_{life.code}",
        "currency": life.plan.price.currency.lower(),
        "billing_reason": one.reason,
        "collection_method": "charge_automatically",
        "attempt_count": one.attempts,
        "subtotal": _amount(life, one.total),
        "total": _amount(life, one.total),
        "amount_due": _amount(life, max(0, one.total)),
        "amount_paid": _amount(life, one.paid),
        "next_payment_attempt": maybe_seconds(one.collects_at),
        "status_transitions": {"paid_at": maybe_seconds(one.paid_at)},
        "customer_address": {"country": life.country} if life.country is not None else None,
        "discounts": [],
        "total_taxes": [],
        "lines": page([_line(life, one, place, charged) for place, charged in enumerate(one.lines, 1)]),
        "parent": {
            "type": "subscription_details",
            "subscription_details": {"subscription": f"sub_{life.code}", "metadata": _metadata(life)},
        },
    } | ({"payments": paid} if "payments" in expand else {})


def invoice_payment(life: Life, one: Invoice) -> Object:
    return {
        "id": f"inpay_{life.code}_{one.number}",
        "object": "invoice_payment",
        "invoice": invoice_id(life, one),
        "amount_paid": _amount(life, one.paid),
        "currency": life.plan.price.currency.lower(),
        "status": "paid",
        "payment": {"type": "payment_intent", "payment_intent": payment_id(life, one)},
    }


def payment_intent(life: Life, one: Invoice) -> Object:
    return {
        "id": payment_id(life, one),
        "object": "payment_intent",
        "status": "succeeded",
        "amount": _amount(life, one.paid),
        "amount_received": _amount(life, one.paid),
        "currency": life.plan.price.currency.lower(),
        "customer": f"cus_{life.code}",
    }


def charge(life: Life, one: Invoice, expand: Collection[str] = ()) -> Object:
    amount = _amount(life, one.paid)
    kept = {
        "id": f"txn_{life.code}_{one.number}",
        "object": "balance_transaction",
        "amount": amount,
        "fee": amount * FEE_PPM // 1_000_000 + FEE_FIXED,
        "currency": life.plan.price.currency.lower(),
    }
    return {
        "id": charge_id(life, one),
        "object": "charge",
        "status": "succeeded",
        "paid": True,
        "livemode": False,
        "created": seconds(one.paid_at or one.created_at),
        "amount": amount,
        "amount_refunded": _amount(life, given_back(one)),
        "refunded": given_back(one) == one.paid,
        "disputed": one.dispute is not None,
        "currency": life.plan.price.currency.lower(),
        "customer": f"cus_{life.code}",
        "payment_intent": payment_id(life, one),
        "balance_transaction": kept if "balance_transaction" in expand else kept["id"],
        "billing_details": {"address": {"country": life.country}},
    } | ({"refunds": page([refund(life, one, back) for back in reversed(one.refunds)])} if "refunds" in expand else {})


def refund(life: Life, one: Invoice, back: Back) -> Object:
    return {
        "id": f"re_{life.code}_{one.number}_{back.number}",
        "object": "refund",
        "status": "failed" if back.has_failed else "succeeded",
        "amount": _amount(life, back.amount),
        "created": seconds(back.at),
        "currency": life.plan.price.currency.lower(),
        "charge": charge_id(life, one),
        "payment_intent": payment_id(life, one),
    }


def dispute(life: Life, one: Invoice) -> Object:
    assert one.dispute is not None, "asked for where there is one"
    return {
        "id": f"dp_{life.code}_{one.number}",
        "object": "dispute",
        "status": one.dispute.status,
        "reason": "fraudulent",
        "amount": _amount(life, one.paid),
        "created": seconds(one.dispute.at),
        "currency": life.plan.price.currency.lower(),
        "charge": charge_id(life, one),
        "payment_intent": payment_id(life, one),
        "balance_transactions": [
            {
                "id": f"txn_{life.code}_{one.number}_dispute",
                "object": "balance_transaction",
                "amount": -_amount(life, one.paid),
                "fee": DISPUTE_FEE,
                "currency": life.plan.price.currency.lower(),
            }
        ],
    }


def session(life: Life, expand: Collection[str] = ()) -> Object:
    first = life.invoices[0]
    bought = {
        "id": f"li_{life.code}",
        "object": "item",
        "amount_total": _amount(life, max(0, first.total)),
        "amount_tax": 0,
        "quantity": life.quantity,
        "price": price(life.plan),
    }
    is_paid = first.paid_at is not None
    return {
        "id": f"cs_test_{life.code}",
        "object": "checkout.session",
        "mode": life.mode,
        "status": "complete",
        "payment_status": "unpaid" if not is_paid else "paid" if first.total else "no_payment_required",
        "livemode": False,
        "created": seconds(life.created_at),
        "currency": life.plan.price.currency.lower(),
        "amount_total": bought["amount_total"],
        "client_reference_id": life.app_user_id,
        "customer": customer(life) if "customer" in expand else f"cus_{life.code}",
        "customer_details": {"address": {"country": life.country}},
        "subscription": f"sub_{life.code}" if life.mode == "subscription" else None,
        "payment_intent": payment_id(life, first) if life.mode == "payment" else None,
        "metadata": {},
    } | ({"line_items": page([bought])} if "line_items" in expand else {})


def event(life: Life, one: Happening) -> Object:
    return {
        "id": f"evt_{life.code}_{one.number}",
        "object": "event",
        "api_version": VERSION,
        "type": one.type,
        "created": seconds(one.at),
        "livemode": False,
        "data": {"object": _object(life, one)},
    }


def _object(life: Life, one: Happening) -> Object:
    about = life.invoices[one.invoice - 1]
    match one.about:
        case "subscription":
            return subscription(life)
        case "schedule":
            return schedule(life)
        case "invoice":
            return invoice(life, about)
        case "session":
            return session(life)
        case "charge":
            return charge(life, about)
        case "refund":
            return refund(life, about, about.refunds[one.refund - 1])
        case "dispute":
            return dispute(life, about)


def invoice_id(life: Life, one: Invoice) -> str:
    return f"in_{life.code}_{one.number}"


def payment_id(life: Life, one: Invoice) -> str:
    return f"pi_{life.code}_{one.number}"


def charge_id(life: Life, one: Invoice) -> str:
    return f"ch_{life.code}_{one.number}"


def _line(life: Life, one: Invoice, place: int, charged: Charged) -> Object:
    details = {"proration": charged.is_proration, "subscription": f"sub_{life.code}", "subscription_item": item_id(life)}
    return {
        "id": f"il_{life.code}_{one.number}_{place}",
        "object": "line_item",
        "amount": _amount(life, charged.amount),
        "currency": life.plan.price.currency.lower(),
        "period": {"start": seconds(charged.start), "end": seconds(charged.end)},
        "quantity": charged.quantity,
        "parent": _parent(charged, details),
        "pricing": {"type": "price_details", "price_details": {"price": _price_id(charged.product), "product": charged.product}},
    }


def _parent(charged: Charged, details: Object) -> Object:
    """What is sold beside is an invoice item, and of none of the subscription's own items."""
    if charged.is_beside:
        beside = {**details, "subscription_item": None}
        return {"type": "invoice_item_details", "invoice_item_details": beside, "subscription_item_details": None}
    return {"type": "subscription_item_details", "subscription_item_details": details, "invoice_item_details": None}


def _metadata(life: Life) -> dict[str, str]:
    return {"app_user_id": life.app_user_id} if life.app_user_id is not None and not life.is_told_by_session else {}


def _price_id(product: str) -> str:
    return f"{_PRICE}{product}"


def product_of(price: str) -> str:
    """The product a price's id is of; what is no such id is no product."""
    return price.removeprefix(_PRICE) if price.startswith(_PRICE) else ""


def item_id(life: Life) -> str:
    return f"si_{life.code}"


def _amount(life: Life, amount: int) -> int:
    return to_stripe(Money(amount=amount, currency=life.plan.price.currency))
