"""Slack, by an incoming webhook: one sentence for people, and a line of details.

Source: Slack's documentation of incoming webhooks and of formatting text: `text` is what notifications show, `blocks` what the channel shows;
`&`, `<` and `>` are escaped; about one message a second, more is answered 429 with Retry-After. The webhook's address is the secret. Slack
knows no id of ours, so a message whose answer was lost may appear twice.
"""

from collections.abc import Sequence
from datetime import datetime

from perennial.providers.integrations import reading
from perennial.providers.integrations.model import Event, Hidden, Item, Limits, NoSettings, Receiver, Request

_DID = {
    "INITIAL_PURCHASE": "subscribed to",
    "RENEWAL": "renewed",
    "NON_RENEWING_PURCHASE": "bought",
    "PRODUCT_CHANGE": "changed from",
    "UNCANCELLATION": "will renew again:",
    "SUBSCRIPTION_EXTENDED": "was given more time of",
    "SUBSCRIPTION_PAUSED": "pauses",
    "BILLING_ISSUE": "could not be charged for",
    "REFUND": "was given money back for",
    "REFUND_REVERSED": "was charged again after a refund of",
    "TEMPORARY_ENTITLEMENT_GRANT": "has access for now, until the store answers, to",
    "INVOICE_ISSUANCE": "was sent an invoice for",
}
_WHY = {
    "UNSUBSCRIBE": "turned off renewal",
    "BILLING_ERROR": "could not be charged",
    "DEVELOPER_INITIATED": "ended by the developer",
    "PRICE_INCREASE": "did not agree to a new price",
    "CUSTOMER_SUPPORT": "refunded by support",
    "SUBSCRIPTION_PAUSED": "paused",
}


class Secrets(Hidden, frozen=True):
    url: str  # https://hooks.slack.com/services/...


def address(settings: NoSettings, secrets: Secrets) -> str:
    return reading.check_base(secrets.url, "secrets.url")


def item(event: Event) -> Item:
    said = _sentence(event)
    return {
        "text": said,
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": said}},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": _details(event)}]},
        ],
    }


def _sentence(event: Event) -> str:
    kind, who, what = event["type"], f"*{escape(event.get('app_user_id') or 'a customer')}*", f"`{escape(event.get('product_id') or 'unknown')}`"
    match kind:
        case "TEST":
            return "A test from Perennial: events will appear here."
        case "TRANSFER":
            return f"Purchases moved from *{_people(event, 'transferred_from')}* to *{_people(event, 'transferred_to')}*."
        case "INITIAL_PURCHASE" if event.get("period_type") == "TRIAL":
            return f"{who} started a {'' if reading.moved_money(event) else 'free '}trial of {what}{_money(event, 'for')}."
        case "RENEWAL" if event.get("is_trial_conversion"):
            return f"{who} went on after the free trial of {what}{_money(event, 'for')}."
        case "CANCELLATION" | "EXPIRATION":
            thing = "The free trial" if event.get("period_type") == "TRIAL" else "The subscription"
            what_became = "will not renew" if kind == "CANCELLATION" else "ended"
            return f"{thing} of {who} to {what} {what_became}{_reason(event)}{_money(event, 'and gave back')}."
        case "PRODUCT_CHANGE":
            return f"{who} changed from {what} to `{escape(event.get('new_product_id') or 'unknown')}`{_money(event, 'for')}."
        case "VIRTUAL_CURRENCY_TRANSACTION":
            return f"The wallet of {who} changed: {_wallet(event)}."
        case _ if kind in _DID:
            return f"{who} {_DID[kind]} {what}{_money(event, 'for')}."
        case _:
            return f"{who}: {escape(kind.replace('_', ' ').lower())}."


def _people(event: Event, key: str) -> str:
    return escape(", ".join(event.get(key) or ["unknown"])[:300])


def _wallet(event: Event) -> str:
    return escape(", ".join(f"{one['amount']:+d} {one['currency']['code']}" for one in event.get("adjustments") or ()) or "nothing")


def _reason(event: Event) -> str:
    said = _WHY.get(event.get("cancel_reason") or event.get("expiration_reason") or "")
    return f" ({said})" if said else ""


def _money(event: Event, how: str) -> str:
    amount = reading.revenue(event)
    if not amount:
        return ""
    how = "and got back" if amount < 0 and how == "for" else how
    return f" {how} {abs(amount):.2f} {escape(event.get('currency') or '')}".rstrip()


def _details(event: Event) -> str:
    store = str(event.get("store") or "").replace("_", " ").title()
    sandbox = "sandbox" if event.get("environment") == "SANDBOX" else ""
    parts = (store, event.get("country_code"), sandbox, reading.happened_at(event).strftime("%Y-%m-%d %H:%M UTC"))
    return " · ".join(escape(part) for part in parts if part)


def escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def request(settings: NoSettings, secrets: Secrets, items: Sequence[Item], sent_at: datetime) -> Request:
    (one,) = items
    return Request(url=address(settings, secrets), body=reading.encode(one))


RECEIVER = Receiver(
    kind="slack",
    title="Slack",
    settings=NoSettings,
    secrets=Secrets,
    limits=Limits(events=1, bytes=100_000, each=100_000),
    address=address,
    item=item,
    request=request,
)
