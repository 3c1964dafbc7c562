"""What customers do to a line."""

from datetime import datetime, timedelta
from typing import Literal

from perennial.base.errors import Conflict, Invalid
from perennial.base.ids import AppId
from perennial.base.value import replace
from perennial.providers.simulated.app_store.model import Delivery, ItemType, Offer, Outbox, Plan, Subscription
from perennial.providers.simulated.app_store.payloads import current
from perennial.providers.simulated.app_store.rules.allowed import has_access, require_open, require_running, require_subscription
from perennial.providers.simulated.app_store.rules.charges import charged, with_charge
from perennial.providers.simulated.app_store.rules.outbox import announce, whole
from perennial.providers.simulated.app_store.rules.playing import RETRY_DAYS


def buy(
    *,
    app_id: AppId,
    store_line: str,
    type: ItemType,
    plan: Plan,
    now: datetime,
    offer: Offer | None = None,
    app_account_token: str | None = None,
    storefront: str = "USA",
    is_family_shared: bool = False,
    delivery: Delivery | None = None,
) -> Subscription:
    """A new line with its first charge."""
    at = whole(now)
    empty = Subscription(
        app_id=app_id,
        store_line=store_line,
        type=type,
        plan=plan,
        charges=(),
        anchor=at,
        months=0,
        run_started_at=at,
        storefront=storefront,
        app_account_token=app_account_token,
        is_family_shared=is_family_shared,
        outbox=Outbox(delivery=delivery or Delivery()),
        auto_renew=type == "Auto-Renewable Subscription",
    )
    line = charged(empty, plan, offer, at, is_renewal=False, offer_periods_left=offer.periods - 1 if offer else 0)
    if type != "Auto-Renewable Subscription":
        return announce(line, "ONE_TIME_CHARGE", None, now)
    return announce(line, "SUBSCRIBED", "INITIAL_BUY", now)


def resubscribe(line: Subscription, plan: Plan, now: datetime, *, offer: Offer | None = None) -> Subscription:
    """Comes back after the end, to the same or another product."""
    require_subscription(line)
    if has_access(line, now):
        raise Conflict("the simulated subscription still runs; upgrade or downgrade it instead")
    at = whole(now)
    lapsed = at - (current(line).expires_at or at)
    started = at if lapsed >= timedelta(days=RETRY_DAYS) else line.run_started_at
    again = replace(
        line,
        plan=plan,
        anchor=at,
        months=0,
        run_started_at=started,
        auto_renew=True,
        next_plan=None,
        next_offer=None,
        failure=None,
        trouble=None,
        price_notice=None,
        ending=None,
    )
    again = charged(again, plan, offer, at, is_renewal=False, offer_periods_left=offer.periods - 1 if offer else 0)
    return announce(again, "SUBSCRIBED", "RESUBSCRIBE", now)


def cancel(line: Subscription, now: datetime) -> Subscription:
    """Turns auto-renew off. What is paid for stays; a line in billing retry ends with it, one in grace at the grace's end."""
    require_open(line)
    if not line.auto_renew:
        raise Conflict("auto-renew of the simulated subscription is off already")
    return announce(replace(line, auto_renew=False), "DID_CHANGE_RENEWAL_STATUS", "AUTO_RENEW_DISABLED", now)


def uncancel(line: Subscription, now: datetime) -> Subscription:
    require_open(line)
    if line.auto_renew:
        raise Conflict("auto-renew of the simulated subscription is on already")
    return announce(replace(line, auto_renew=True), "DID_CHANGE_RENEWAL_STATUS", "AUTO_RENEW_ENABLED", now)


def upgrade(line: Subscription, plan: Plan, now: datetime, *, offer: Offer | None = None) -> Subscription:
    """At once: the old transaction is marked as upgraded (its history shows it), a new one begins now."""
    upgraded = _switch(line, plan, now, offer)
    return announce(upgraded, "DID_CHANGE_RENEWAL_PREF", "UPGRADE", now)


def _switch(line: Subscription, plan: Plan, now: datetime, offer: Offer | None) -> Subscription:
    require_running(line, now)
    if plan.product == current(line).product:
        raise Conflict(f"the simulated subscription is of {plan.product!r} already")
    at = whole(now)
    old = replace(current(line), is_upgraded=True, changed_at=at)
    left = offer.periods - 1 if offer else 0
    line = replace(
        with_charge(line, old), plan=plan, anchor=at, months=0, auto_renew=True, next_plan=None, next_offer=None, failure=None, price_notice=None
    )
    return charged(line, plan, offer, at, is_renewal=False, offer_periods_left=left)


def downgrade(line: Subscription, plan: Plan, now: datetime) -> Subscription:
    """At the next renewal. Like the real store, it turns auto-renew on again without saying so."""
    require_running(line, now)
    if plan.product == current(line).product:
        raise Conflict(f"the simulated subscription is of {plan.product!r} already; revert a scheduled downgrade instead")
    return announce(replace(line, next_plan=plan, auto_renew=True), "DID_CHANGE_RENEWAL_PREF", "DOWNGRADE", now)


def revert_downgrade(line: Subscription, now: datetime) -> Subscription:
    require_running(line, now)
    if line.next_plan is None:
        raise Conflict("no downgrade of the simulated subscription is scheduled")
    return announce(replace(line, next_plan=None), "DID_CHANGE_RENEWAL_PREF", None, now)


def redeem_offer(
    line: Subscription, offer: Offer, now: datetime, *, plan: Plan | None = None, change: Literal["upgrade", "downgrade"] | None = None
) -> Subscription:
    """An active subscriber redeems an offer: for the next period, or with an upgrade or downgrade to `plan`. The lapsed resubscribe."""
    require_running(line, now)
    if (plan is None) != (change is None):
        raise Invalid("an offer for another product says whether it is an upgrade or a downgrade", param="change")
    if plan is not None and change == "upgrade":
        return announce(_switch(line, plan, now, offer), "OFFER_REDEEMED", "UPGRADE", now)
    redeemed = replace(line, next_plan=plan or line.next_plan, next_offer=offer, auto_renew=True)
    return announce(redeemed, "OFFER_REDEEMED", "DOWNGRADE" if plan is not None else None, now)


def consent(line: Subscription, now: datetime) -> Subscription:
    """Agrees to the higher price."""
    require_open(line)
    if line.price_notice is None or line.price_notice.is_accepted:
        raise Conflict("no price increase of the simulated subscription waits for consent")
    return announce(replace(line, price_notice=replace(line.price_notice, is_accepted=True)), "PRICE_INCREASE", "ACCEPTED", now)
