"""What the pages show of a customer, from what is held and the time. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from perennial.base.ids import LineId
from perennial.base.money import Money
from perennial.base.time import FOREVER, from_ms
from perennial.base.value import value
from perennial.catalog.model import Product
from perennial.customers.model import why_refused
from perennial.dashboard.acts import Offered, Outlook
from perennial.dashboard.rendering import day, moment, price
from perennial.subscriptions import access_end, auto_renew_off_at, billing_issue_at, grace_until, is_grant, latest, refunded_at, status
from perennial.subscriptions.model import Held, Line, Refund, Renewal, Status

Products = Mapping[tuple[str | None, str], Product]  # by (app, store identifier)
Colour = Literal["paid", "trial", "grace", "refunded", "replaced"]

MOST_PERIODS = 100  # of a line, the newest
WIDTH = 1000  # of a drawn timeline, in its own units
_NARROWEST = 4
_KINDS = {"trial": "trial", "intro": "introductory", "prepaid": "prepaid", "promotional": "granted"}
_SOURCES = {"in_app_purchase": "by a purchase", "admin_api": "by the project's server"}


@value
class Given:
    """An entitlement a customer has now, and until when; None: for good."""

    lookup_key: str
    until: datetime | None
    product: str
    will_renew: bool


@value
class Period:
    """One purchase as a row, newest first. `colour` is what the drawing and the row have in common."""

    transaction: str
    product: str
    begins_at: datetime
    ends_at: datetime | None
    price: Money | None
    kind: str
    colour: Colour
    note: str


@value
class Bar:
    """A period on a line's drawing, in its units."""

    x: int
    width: int
    colour: Colour
    label: str


@value
class Drawing:
    bars: tuple[Bar, ...]
    now: int
    begins_at: datetime
    ends_at: datetime


@value
class LineView:
    """A line as a card: what it is now, what may be done to it, and its periods."""

    line: Line
    name: str
    product: str
    status: Status
    until: datetime | None
    sentence: str
    notes: tuple[str, ...]
    periods: tuple[Period, ...]
    left_out: int
    drawing: Drawing | None
    acts: tuple[Offered, ...]


def entitlements(lines: Iterable[Line], products: Products, outlook: Mapping[LineId, Outlook], now: datetime) -> list[Given]:
    """Each one once, by the purchase that gives it longest."""
    best: dict[str, tuple[datetime, Given]] = {}
    for line in lines:
        is_renewing = is_to_renew(line, outlook.get(line.line_id, Outlook()), now)
        for held in line.held:
            end = access_end(line, held)
            product = products.get((line.app_id, held.purchase.product))
            for lookup_key in product.entitlements if product is not None and end > now else ():
                if lookup_key not in best or end > best[lookup_key][0]:
                    given = Given(lookup_key=lookup_key, until=_until(end), product=held.purchase.product, will_renew=is_renewing)
                    best[lookup_key] = (end, given)
    return [best[lookup_key][1] for lookup_key in sorted(best)]


def products_of(line: Line) -> set[str]:
    """What it ever was of, and what it is to become."""
    planned = [renewal.next_product for renewal in line.renewals[-1:] if renewal.next_product is not None]
    return {held.purchase.product for held in line.held}.union(planned)


def renews(line: Line, now: datetime) -> bool:
    """Whether another charge is to come: a refund alone does not turn that off. Nothing prepaid or granted renews."""
    held = latest(line)
    is_plan = held is not None and held.purchase.kind == "subscription" and held.purchase.period_type not in ("prepaid", "promotional")
    is_open = status(line, now) != "expired"
    return is_plan and is_open and auto_renew_off_at(line) is None and not (line.renewals and line.renewals[-1].ended)


def is_to_renew(line: Line, ahead: Outlook, now: datetime) -> bool:
    """Whether the present period ends with a charge, as far as anybody knows: it is neither paused, nor late, nor planned to fail."""
    return renews(line, now) and status(line, now) == "active" and not _is_paused(line) and ahead.planned is None


def _is_paused(line: Line) -> bool:
    return bool(line.renewals) and line.renewals[-1].pause is not None


def show_line(line: Line, products: Products, ahead: Outlook, now: datetime) -> LineView | None:
    """None for a line that holds nothing yet."""
    held = latest(line) or (line.held[-1] if line.held else None)
    if held is None:
        return None
    product = products.get((line.app_id, held.purchase.product))
    shown = line.held[-MOST_PERIODS:]
    return LineView(
        line=line,
        name=(product.display_name if product else None) or held.purchase.product,
        product=held.purchase.product,
        status=status(line, now),
        until=_until(access_end(line, held)),
        sentence=sentence(line, held, ahead, now),
        notes=(*notes(line, held, products, now), *([ahead.note] if ahead.note is not None else [])),
        periods=tuple(show_period(line, one) for one in reversed(shown)),
        left_out=len(line.held) - len(shown),
        drawing=draw(line, shown, now),
        acts=ahead.acts,
    )


def sentence(line: Line, held: Held, ahead: Outlook, now: datetime) -> str:
    """How the line goes on, in words that the end of access follows, or that stand alone where access has no end."""
    match status(line, now):
        case "revoked":
            what = "refunded" if refunded_at(held.purchase) else "taken back"
            return f"{what}, but still to renew; without access since" if renews(line, now) and not _is_paused(line) else what
        case "in_grace_period":
            return f"{'could not be charged' if billing_issue_at(line) is not None else 'is about to be charged'}; access stays until"
        case "in_billing_retry":
            is_over = bool(line.renewals) and line.renewals[-1].ended is not None
            return "could not be charged; ended" if is_over else "could not be charged; the store is still trying, since"
        case "paused":
            return "paused since"
        case "expired":
            return "ended"
        case "active":
            return _goes_on(line, held, ahead, now)


def _goes_on(line: Line, held: Held, ahead: Outlook, now: datetime) -> str:
    """Of what is active."""
    if held.purchase.expires_at is None:
        if is_grant(line):
            return "granted by hand, for good"
        return "bought" if held.purchase.kind == "consumable" else "for good"
    if is_grant(line):
        return "granted by hand until"
    if not renews(line, now):
        return "will not renew; ends"
    if _is_paused(line):
        return "will be paused; access until"
    match ahead.planned:
        case "failure":
            return "will fail to renew; paid until"
        case "no_charge":
            return "collection is paused; the period ends"
        case None:
            return "renews"


def notes(line: Line, held: Held, products: Products, now: datetime) -> tuple[str, ...]:
    """Whose it is, where that is not simply known, and what is to become of it beyond its present period, as far as its store said: in sentences."""
    renewal = line.renewals[-1] if line.renewals else None
    found = list(_buyer(line))
    if renewal is None or status(line, now) == "expired":
        return tuple(found)
    if renewal.pause is not None:
        found.append(_pause(renewal))
    if renewal.next_product is not None and renewal.next_product != held.purchase.product and auto_renew_off_at(line) is None:
        product = products.get((line.app_id, renewal.next_product))
        found.append(f"Changes to {(product.display_name if product else None) or renewal.next_product} with the next renewal.")
    if renewal.price_consent == "pending":
        found.append("A higher price waits for the customer's yes; without it, this ends with the period.")
    return tuple(found)


def _buyer(line: Line) -> Iterator[str]:
    if line.unclaimed is not None:
        yield f"Nobody has said who bought it since {moment(line.unclaimed.since)}: it is told to nobody until its app posts it."
    if line.refused_name is not None:
        yield f"Your backend named {line.refused_name!r} as its buyer: {why_refused(line.refused_name)}. Name another, and it moves to them."


def _pause(renewal: Renewal) -> str:
    until = f", and goes on by itself on {day(renewal.resumes_at)}" if renewal.resumes_at is not None else ""
    return f"A pause begins when the period ends{until}." if renewal.pause == "scheduled" else f"It is paused{until}."


def show_period(line: Line, held: Held) -> Period:
    purchase = held.purchase
    notes = []
    if purchase.revocation is not None:
        notes.append("refunded" if purchase.revocation.refunded else "taken back")
    notes += [_refunded(refund) for refund in purchase.refunds]
    if purchase.is_superseded:
        notes.append("replaced by an upgrade")
    if (grace := grace_until(line, held)) is not None and purchase.expires_at is not None and access_end(line, held) > purchase.expires_at:
        notes.append(f"grace until {grace:%d %b}")
    if held is latest(line) and billing_issue_at(line) is not None:
        notes.append("billing issue")
    if purchase.ownership == "family_shared":
        notes.append("shared by the family")
    if held.presented_offering:
        notes.append(f"offered in {held.presented_offering}")
    return Period(
        transaction=purchase.transaction,
        product=purchase.product,
        begins_at=purchase.purchased_at,
        ends_at=purchase.expires_at,
        price=purchase.price,
        kind="proration" if purchase.is_proration else _KINDS.get(purchase.period_type) or ("renewal" if purchase.is_renewal else "purchase"),
        colour=_colour(held),
        note=", ".join(notes),
    )


def _refunded(refund: Refund) -> str:
    amount = price(refund.amount)
    return f"a refund of {amount} that came to nothing" if refund.is_reversed else f"{amount} given back on {day(refund.at)}"


def told(body: Mapping[str, Any]) -> str:
    """What an event tells beyond its type, in a few words."""
    match body.get("type"):
        case "CANCELLATION" | "REFUND" | "REFUND_REVERSED" if (body.get("price_in_purchased_currency") or 0) < 0:
            return ", ".join(filter(None, [_reason(body), f"{-body['price_in_purchased_currency']:.2f} {body.get('currency')} given back"]))
        case "VIRTUAL_CURRENCY_TRANSACTION":
            changes = ", ".join(f"{one['amount']:+d} {one['currency']['code']}" for one in body.get("adjustments", ()))
            return f"{changes}, {_SOURCES.get(body.get('source', ''), '')}".rstrip(", ")
        case "SUBSCRIPTION_PAUSED":
            return f"until {day(from_ms(body['auto_resume_at_ms']))}" if body.get("auto_resume_at_ms") else "until it is resumed"
        case "BILLING_ISSUE":
            return f"grace until {day(from_ms(body['grace_period_expiration_at_ms']))}" if body.get("grace_period_expiration_at_ms") else "no grace"
        case "INITIAL_PURCHASE" | "NON_RENEWING_PURCHASE" if body.get("store") == "PROMOTIONAL":
            return "granted by hand"
        case "INITIAL_PURCHASE" if body.get("period_type") in ("TRIAL", "PREPAID"):
            return "a trial" if body["period_type"] == "TRIAL" else "prepaid"
        case "RENEWAL" if body.get("is_trial_conversion"):
            return "the first that is paid"
        case "TRANSFER":
            return f"from {', '.join(body.get('transferred_from', ())[:3])}"
        case _:
            return _reason(body)


def _reason(body: Mapping[str, Any]) -> str:
    return str(body.get("cancel_reason") or body.get("expiration_reason") or "").replace("_", " ").lower()


def draw(line: Line, shown: Sequence[Held], now: datetime) -> Drawing | None:
    """The periods on one axis, from the first one's beginning to the end of access or now. None for what has no end."""
    if not shown or any(held.purchase.expires_at is None for held in shown):
        return None
    begins_at = min(held.purchase.purchased_at for held in shown)
    ends_at = max([now, *(access_end(line, held) for held in shown)])
    span = (ends_at - begins_at).total_seconds() or 1.0

    def place(moment: datetime) -> int:
        return round((moment - begins_at).total_seconds() / span * WIDTH)

    bars = []
    for held in shown:
        purchase, end = held.purchase, access_end(line, held)
        assert purchase.expires_at is not None
        paid_until = min(end, purchase.expires_at)
        bars.append(_bar(place(purchase.purchased_at), place(paid_until), _colour(held), f"{purchase.product}, {purchase.purchased_at:%d %b %Y}"))
        if end > purchase.expires_at:
            bars.append(_bar(place(purchase.expires_at), place(end), "grace", f"grace until {end:%d %b %Y}"))
    return Drawing(bars=tuple(bars), now=min(place(now), WIDTH - 2), begins_at=begins_at, ends_at=ends_at)


def _bar(begin: int, end: int, colour: Colour, label: str) -> Bar:
    return Bar(x=min(begin, WIDTH - _NARROWEST), width=max(end - begin - 2, _NARROWEST), colour=colour, label=label)  # 2: a gap to the next


def _colour(held: Held) -> Colour:
    if held.purchase.revocation is not None:
        return "refunded"
    if held.purchase.is_superseded:
        return "replaced"
    return "trial" if held.purchase.period_type == "trial" else "paid"


def _until(end: datetime) -> datetime | None:
    return None if end == FOREVER else end
