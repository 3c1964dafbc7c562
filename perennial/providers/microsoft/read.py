"""From a recurrence to what it states. Pure.

A recurrence tells the end of the present period only, so periods are made up as they are seen, and named by their end:
`<id>#<epoch seconds>`. The name needs no memory. Where an earlier period is known, the next begins at its end; else at `startTime`.

Where Microsoft leaves a choice, this is ours:

- **InDunning** is a failed charge: access until `expirationTimeWithGrace`, none after it, until the state says otherwise.
- **Canceled** is the end at once, with or without a refund: `expirationTime` is then the moment of it. The running period is cut there; money is
  not told, so none is stated as given back.
- **Failed** is `billing_error`, **Inactive** `unsubscribe`. **None** is a perpetual subscription, which does not end.
- **An extension** cannot be told from a renewal by a recurrence alone. Ours say so when they are asked about; of others, an end later by less
  than the shortest plan Microsoft sells (a week) is one.
- **Price**: Microsoft tells none. Where our catalog has exactly one price of the product it is taken for paid periods.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from perennial.base import reading
from perennial.base.money import Money
from perennial.base.reading import EARLIEST, note
from perennial.base.time import EPOCH
from perennial.base.value import replace
from perennial.catalog.model import Product
from perennial.intake.model import StoreApp
from perennial.providers.microsoft.payload import Recurrence
from perennial.subscriptions.model import EndReason, Environment, Line, Purchase, Renewal, Statement

SHORTEST_PLAN = timedelta(days=7)

_ENDED: dict[str, EndReason] = {"Inactive": "unsubscribe", "Canceled": "unsubscribe", "Failed": "billing_error"}
_SAME = timedelta(minutes=1)
_STATES = frozenset(("None", "Active", "InDunning", *_ENDED))


def environment(app: StoreApp) -> Environment:
    return "sandbox" if app.settings.get("sandbox") else "production"


def statement(
    app: StoreApp, recurrence: Recurrence, line: Line | None, products: Sequence[Product], now: datetime, *, is_extended: bool = False
) -> Statement:
    """What a recurrence states at `now`; `line` is what is already known of it. `is_extended`: a later end is our own doing."""
    held = [one.purchase for one in line.held] if line is not None and line.store_line == recurrence.id else []
    purchase = _period(recurrence, held, products, now, is_extended=is_extended)
    return Statement(
        store=app.store,
        environment=environment(app),
        line=recurrence.id,
        purchases=(purchase,),
        renewals=(_renewal(recurrence, purchase, held, now),) if _is_known(recurrence) else (),
        original_purchased_at=recurrence.start_time,
    )


def _is_known(recurrence: Recurrence) -> bool:
    """Of a state that we do not know, nothing is concluded: what was paid for goes on to its end."""
    if recurrence.recurrence_state not in _STATES:
        note("recurrenceState", recurrence.recurrence_state)
    return recurrence.recurrence_state in _STATES


def _period(recurrence: Recurrence, held: Sequence[Purchase], products: Sequence[Product], now: datetime, *, is_extended: bool) -> Purchase:
    end = _end(recurrence)
    known = _known(recurrence, held, is_extended=is_extended)
    begins = known.purchased_at if known is not None else max((one.expires_at for one in held if one.expires_at), default=recurrence.start_time)
    is_perpetual = recurrence.recurrence_state == "None"
    if is_perpetual:
        transaction = recurrence.id
    else:
        transaction = known.transaction if known is not None else f"{recurrence.id}#{int((end - EPOCH).total_seconds())}"
    is_first = begins <= recurrence.start_time
    return Purchase(
        transaction=transaction,
        product=recurrence.product_id,
        kind="subscription",
        purchased_at=min(begins, end) if not is_perpetual else begins,
        expires_at=None if is_perpetual else end,
        as_of=now,
        is_first=is_first,
        is_renewal=not is_first,
        period_type="trial" if recurrence.is_trial else "normal",
        price=None if recurrence.is_trial else _price(products, recurrence.product_id),
        country=reading.country(recurrence.market),
        revocation=known.revocation if known is not None else None,  # the Clawback queue alone tells of it, and takes it back
    )


def _end(recurrence: Recurrence) -> datetime:
    cancelled_at = recurrence.cancellation_date
    if recurrence.recurrence_state != "Canceled" or cancelled_at is None or cancelled_at <= EARLIEST:
        return recurrence.expiration_time
    return min(recurrence.expiration_time, cancelled_at)


def _known(recurrence: Recurrence, held: Sequence[Purchase], *, is_extended: bool) -> Purchase | None:
    """The period this one is: of the same end, or the latest where it was cut or drawn out by less than a plan."""
    for one in held:
        if abs(_named_end(one) - recurrence.expiration_time) <= _SAME:
            return one
    if not held:
        return None
    last = held[-1]
    if last.expires_at is None:
        return last if recurrence.recurrence_state == "None" else None
    moved = recurrence.expiration_time - last.expires_at
    return last if (is_extended or moved < SHORTEST_PLAN) and (last.period_type == "trial") == recurrence.is_trial else None


def _named_end(purchase: Purchase) -> datetime:
    """The end a period was named by: what was cut off it or added later is not in its name."""
    seconds = purchase.transaction.rpartition("#")[2]
    return reading.seconds(seconds, "end") if seconds.isascii() and seconds.isdigit() else EARLIEST


def _renewal(recurrence: Recurrence, purchase: Purchase, held: Sequence[Purchase], now: datetime) -> Renewal:
    """A cancellation ends the recurrence as a whole: a period that was renewed before it ended is over too."""
    stated = Renewal(as_of=now, transaction=purchase.transaction, auto_renew=recurrence.auto_renew)
    match recurrence.recurrence_state:
        case "InDunning":
            grace = recurrence.expiration_time_with_grace
            return replace(stated, auto_renew=True, in_billing_retry=True, grace_until=grace if grace and grace > EARLIEST else None)
        case "Inactive" | "Canceled" | "Failed" as state:
            end = _end(recurrence)
            runs_on = any(one.expires_at is not None and one.expires_at > end and one.transaction != purchase.transaction for one in held)
            return replace(stated, auto_renew=False, off_reason=_ENDED[state], ended=_ENDED[state], ended_at=end if runs_on else None)
    return stated if recurrence.auto_renew else replace(stated, off_reason="unsubscribe")


def _price(products: Sequence[Product], identifier: str) -> Money | None:
    prices = [price for product in products if product.store_identifier == identifier for price in product.prices]
    return prices[0] if len(prices) == 1 else None
